//! tokio-postgres: simple queries, unnamed statements with given types, transactions, cancel tokens; prepared statements and portals in session mode.

use super::house::{House, one};
use super::support::{Login, SOON, Version};
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

crate::on_both!(queries_and_transactions, cancel_tokens, prepared_statements_in_session_mode);

/// Runs to the end, within a bound.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads can be started");
    runtime.block_on(async { tokio::time::timeout(SOON, work).await.expect("it ends in time") })
}

async fn connect(login: &Login) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host(&login.host).port(login.port).user(&login.user).password(&login.password).dbname(&login.database);
    let (client, connection) = config.connect(NoTls).await.expect("the login is right");
    tokio::spawn(connection);
    client
}

fn queries_and_transactions(version: Version) {
    let house = House::new(version, 3, "checkout_timeout = 20000");
    house.postgres.sql("CREATE TABLE items (id int, tag text)");
    house.postgres.sql("GRANT ALL ON items TO app");
    let login = house.login("app");
    block_on(async {
        let tasks: Vec<_> = (0..12).map(|number| tokio::spawn(transactions(login.clone(), number))).collect();
        for task in tasks {
            task.await.expect("no transaction went wrong");
        }
        let client = connect(&login).await;
        let counted = client.query_typed("SELECT count(*), count(DISTINCT tag) FROM items", &[]).await.expect("a count");
        assert_eq!((counted[0].get::<_, i64>(0), counted[0].get::<_, i64>(1)), (60, 60));
        // Many at once on one connection: pipelined, each with its own answer.
        let client = Arc::new(client);
        let mut calls = JoinSet::new();
        for i in 0..50_i64 {
            let client = client.clone();
            calls.spawn(async move { (i, client.query_typed("SELECT $1 * 2", &[(&i, Type::INT8)]).await.expect("a product")[0].get::<_, i64>(0)) });
        }
        for (i, twice) in calls.join_all().await {
            assert_eq!(twice, i * 2);
        }
        let several = client.simple_query("SELECT 'a', NULL; SELECT 'b' WHERE false; SELECT 'c', 'd'").await.expect("three results");
        let rows: Vec<_> = several
            .iter()
            .filter_map(|message| if let SimpleQueryMessage::Row(row) = message { Some((row.get(0), row.get(1))) } else { None })
            .collect();
        assert_eq!(rows, [(Some("a"), None), (Some("c"), Some("d"))]);
        let refused = client.query("SELECT 1", &[]).await.expect_err("it prepares by name");
        assert_eq!(refused.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
        let failed = client.query_typed("SELECT 1 / $1", &[(&0_i32, Type::INT4)]).await.expect_err("it divides by zero");
        assert_eq!(failed.code(), Some(&SqlState::DIVISION_BY_ZERO));
        assert_eq!(client.query_typed("SELECT 'after'", &[]).await.expect("the session goes on")[0].get::<_, &str>(0), "after");
    });
    house.watch().wait_until_settled();
}

/// Ten transactions, every second one rolled back by being dropped.
async fn transactions(login: Login, number: i32) {
    let mut client = connect(&login).await;
    for round in 0..10 {
        let tag = format!("{number}-{round}");
        let transaction = client.transaction().await.expect("a transaction begins");
        let mut pids = HashSet::new();
        for _ in 0..3 {
            let rows = transaction.query_typed("SELECT pg_backend_pid(), $1", &[(&tag, Type::TEXT)]).await.expect("a row");
            pids.insert(rows[0].get::<_, i32>(0));
            assert_eq!(rows[0].get::<_, &str>(1), tag);
        }
        assert_eq!(pids.len(), 1, "a transaction changed its server");
        transaction.execute_typed("INSERT INTO items VALUES ($1, $2)", &[(&number, Type::INT4), (&tag, Type::TEXT)]).await.expect("a row goes in");
        if round % 2 == 0 {
            transaction.commit().await.expect("it commits");
        }
    }
}

fn cancel_tokens(version: Version) {
    let house = House::new(version, 4, "");
    let login = house.login("app");
    block_on(async {
        let watch = connect(&house.postgres.login("postgres")).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Arc::new(connect(&login).await));
        }
        for round in 0..5 {
            let mut sleeps = JoinSet::new();
            for client in &clients {
                let client = client.clone();
                sleeps.spawn(async move { client.simple_query("SELECT pg_sleep(600)").await });
            }
            let active = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'";
            while watch.query_typed(active, &[]).await.expect("a look").len() < 4 {}
            for client in &clients {
                client.cancel_token().cancel_query(NoTls).await.expect("the request goes out");
            }
            for end in sleeps.join_all().await {
                assert_eq!(end.expect_err("it was cancelled").code(), Some(&SqlState::QUERY_CANCELED), "round {round}");
            }
            for (i, client) in clients.iter().enumerate() {
                let rows = client.query_typed("SELECT $1", &[(&(i as i64), Type::INT8)]).await.expect("the session goes on");
                assert_eq!(rows[0].get::<_, i64>(0), i as i64);
            }
        }
    });
    house.watch().wait_until_settled();
}

fn prepared_statements_in_session_mode(version: Version) {
    let house = House::new(version, 2, "pooler_mode = \"session\"");
    let login = house.login("app");
    block_on(async {
        let mut client = connect(&login).await;
        let double = client.prepare("SELECT $1::int8 * 2, pg_backend_pid()").await.expect("session mode prepares");
        let mut pids = HashSet::new();
        for i in 0..50_i64 {
            let row = client.query_one(&double, &[&i]).await.expect("a row");
            assert_eq!(row.get::<_, i64>(0), i * 2);
            pids.insert(row.get::<_, i32>(1));
        }
        assert_eq!(pids.len(), 1, "a session changed its server");
        // A portal read in portions.
        let transaction = client.transaction().await.expect("a transaction begins");
        let portal = transaction.bind("SELECT i FROM generate_series(1, 100) i", &[]).await.expect("a portal");
        let mut got: Vec<i32> = Vec::new();
        loop {
            let rows = transaction.query_portal(&portal, 7).await.expect("a portion");
            if rows.is_empty() {
                break;
            }
            got.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
        }
        assert_eq!(got, (1..=100).collect::<Vec<i32>>());
        transaction.rollback().await.expect("it ends");
    });
    let mut watch = house.watch();
    watch.wait_until_settled();
    // The next session begins without them.
    assert_eq!(one(&mut house.client(), "SELECT count(*) FROM pg_prepared_statements"), "0");
}
