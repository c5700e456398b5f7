//! tokio-postgres with its defaults, which prepare every statement by name: in transaction mode on fewer servers than clients, and in session mode.

use super::house::{House, one};
use super::support::{Login, SOON, Version};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashSet;
use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

crate::on_both!(
    queries_and_transactions,
    prepared_statements,
    copies_and_portals,
    notifications,
    parameters,
    cancel_tokens,
    prepared_statements_in_session_mode
);

/// Clients at once, on two servers.
const MANY: i32 = 12;

/// Runs one task for each of many clients; all have to end well.
async fn each<F: Future<Output = ()> + Send + 'static>(login: &Login, work: impl Fn(i32, Client) -> F) {
    let mut tasks = JoinSet::new();
    for number in 0..MANY {
        tasks.spawn(work(number, connect(login).await));
    }
    tasks.join_all().await;
}

/// Runs to the end, within a bound.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads can be started");
    runtime.block_on(async { tokio::time::timeout(SOON, work).await.expect("it ends in time") })
}

fn config(login: &Login) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host(&login.host).port(login.port).user(&login.user).password(&login.password).dbname(&login.database);
    config
}

async fn connect(login: &Login) -> Client {
    let (client, connection) = config(login).connect(NoTls).await.expect("the login is right");
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
        let failed = client.query_typed("SELECT 1 / $1", &[(&0_i32, Type::INT4)]).await.expect_err("it divides by zero");
        assert_eq!(failed.code(), Some(&SqlState::DIVISION_BY_ZERO));
        assert_eq!(client.query_typed("SELECT 'after'", &[]).await.expect("the session goes on")[0].get::<_, &str>(0), "after");
    });
    house.watch().wait_until_settled();
}

/// Every client calls its first statement s0, and each means another one; statements that look up types; errors; the driver closes what is dropped.
fn prepared_statements(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    house.postgres.sql("CREATE TABLE items (id int PRIMARY KEY, tag text)");
    house.postgres.sql("CREATE TYPE mood AS ENUM ('sad', 'glad')");
    house.postgres.sql("GRANT ALL ON items TO app");
    block_on(each(&house.login("app"), |number, mut client| async move {
        let own = client.prepare(&format!("SELECT {number}, $1::text, $2::int8")).await.expect("it is prepared");
        let shared = client.prepare("SELECT $1::numeric::text, $2::int[], $3::bytea, $4::text::mood, NULL::mood").await.expect("its types are found");
        assert_eq!(shared.columns()[3].type_().name(), "mood");
        for round in 0..20_i64 {
            let tag = format!("{number}-{round}");
            let row = client.query_one(&own, &[&tag, &round]).await.expect("a row");
            assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1), row.get::<_, i64>(2)), (number, &*tag, round));
            // Prepared, used and closed again.
            let row = client.query_one(&format!("SELECT {number} + $1::int"), &[&1_i32]).await.expect("a row");
            assert_eq!(row.get::<_, i32>(0), number + 1);
            let failed = client.query("SELECT 1 / $1::int", &[&0_i32]).await.expect_err("it divides by zero");
            assert_eq!(failed.code(), Some(&SqlState::DIVISION_BY_ZERO));
            let failed = client.prepare("SELEC $1").await.expect_err("that is no statement");
            assert_eq!(failed.code(), Some(&SqlState::SYNTAX_ERROR));
            // Four at once, prepared ones and others: each gets its own answer.
            let values: [[&(dyn ToSql + Sync); 2]; 2] = [[&"one", &round], [&"four", &round]];
            let (one, two) = (client.query_one(&own, &values[0]), client.query_one("SELECT $1::text", &values[0][..1]));
            let (three, four) = (client.simple_query("SELECT 'three'"), client.query_one(&own, &values[1]));
            let (one, two, three, four) = tokio::try_join!(one, two, three, four).expect("all have answers");
            assert_eq!((one.get::<_, &str>(1), two.get::<_, &str>(0), four.get::<_, &str>(1)), ("one", "one", "four"));
            assert!(three.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("three"))));
            savepoints(&mut client, number * 100 + i32::try_from(round).expect("a small number"), &own).await;
        }
    }));
    house.watch().wait_until_settled();
    assert_eq!(house.postgres.sql("SELECT count(*), count(DISTINCT id), min(tag), max(tag) FROM items"), [["120", "120", "kept", "kept"]]);
}

/// A transaction with a savepoint that fails; kept when `id` is even.
async fn savepoints(client: &mut Client, id: i32, own: &tokio_postgres::Statement) {
    let mut transaction = client.transaction().await.expect("it begins");
    let insert = transaction.prepare("INSERT INTO items VALUES ($1, $2)").await.expect("it is prepared");
    transaction.execute(&insert, &[&id, &"kept"]).await.expect("a row goes in");
    let inner = transaction.savepoint("step").await.expect("it begins");
    let failed = inner.execute(&insert, &[&id, &"twice"]).await.expect_err("the key is there already");
    assert_eq!(failed.code(), Some(&SqlState::UNIQUE_VIOLATION));
    let failed = inner.query(own, &[&"", &0_i64]).await.expect_err("the transaction has failed");
    assert_eq!(failed.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    inner.rollback().await.expect("it ends");
    let row = transaction.query_one(own, &[&"inside", &1_i64]).await.expect("the transaction goes on");
    assert_eq!(row.get::<_, &str>(1), "inside");
    if id % 2 == 0 { transaction.commit().await.expect("it commits") } else { transaction.rollback().await.expect("it ends") }
}

/// COPY both ways, and portals read in portions.
fn copies_and_portals(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    house.postgres.sql("CREATE TABLE items (id int, tag text)");
    house.postgres.sql("GRANT ALL ON items TO app");
    block_on(each(&house.login("app"), |number, mut client| async move {
        let sink = client.copy_in("COPY items FROM STDIN").await.expect("it copies");
        let mut sink = std::pin::pin!(sink);
        for i in 0..50 {
            let lines: String = (0..100).map(|j| format!("{}\t{number}\n", i * 100 + j)).collect();
            sink.send(Cursor::new(lines)).await.expect("it takes them");
        }
        assert_eq!(sink.finish().await.expect("they are stored"), 5000);
        let transaction = client.transaction().await.expect("it begins");
        let portal = transaction.bind("SELECT id, tag FROM items WHERE tag = $1::text ORDER BY id", &[&number.to_string()]).await.expect("a portal");
        let mut seen = 0;
        loop {
            let rows = transaction.query_portal(&portal, 700).await.expect("a portion");
            for row in &rows {
                assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (seen, &*number.to_string()));
                seen += 1;
            }
            if rows.is_empty() {
                break;
            }
        }
        assert_eq!(seen, 5000);
        transaction.commit().await.expect("it ends");
        let stream = client.copy_out(&format!("COPY (SELECT id FROM items WHERE tag = '{number}') TO STDOUT")).await.expect("it copies");
        let mut stream = std::pin::pin!(stream);
        let mut lines = 0;
        while let Some(piece) = stream.next().await {
            lines += piece.expect("a piece").iter().filter(|byte| **byte == b'\n').count();
        }
        assert_eq!(lines, 5000);
    }));
    house.watch().wait_until_settled();
}

/// LISTEN on one client, NOTIFY from others; one that is rolled back is not heard.
fn notifications(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    let login = house.login("app");
    block_on(async {
        let (listener, mut connection) = config(&login).connect(NoTls).await.expect("the login is right");
        let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(note) = message {
                    let _ = heard.send(note.payload().to_string());
                }
            }
        });
        listener.batch_execute("LISTEN news").await.expect("it listens");
        each(&login, |number, mut client| async move {
            client.execute("SELECT pg_notify('news', $1)", &[&format!("{number}")]).await.expect("it notifies");
            let transaction = client.transaction().await.expect("it begins");
            transaction.batch_execute("NOTIFY news, 'never'").await.expect("it notifies");
            transaction.rollback().await.expect("it ends");
        })
        .await;
        let mut got = HashSet::new();
        while got.len() < MANY as usize {
            got.insert(hears.recv().await.expect("a notification"));
        }
        assert_eq!(got, (0..MANY).map(|number| number.to_string()).collect());
        listener.batch_execute("UNLISTEN *").await.expect("it stops");
    });
    house.watch().wait_until_settled();
}

/// Every client has parameters of its own, and prepared statements that mean something else under those of the others.
fn parameters(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    for number in 0..MANY {
        house.postgres.sql(&format!("CREATE SCHEMA mine_{number} AUTHORIZATION app"));
        house.postgres.sql(&format!("CREATE TABLE mine_{number}.whoami AS SELECT {number} AS who; GRANT ALL ON mine_{number}.whoami TO app"));
    }
    let zones = ["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Europe/Berlin", "Pacific/Auckland"];
    let shifts = [0_i64, -32400, 18000, -20700, -3600, -46800];
    block_on(each(&house.login("app"), |number, client| async move {
        let at = number as usize % zones.len();
        client.batch_execute(&format!("SET search_path TO mine_{number}; SET statement_timeout = {}", 50_001 + number)).await.expect("it is set");
        client.query("SELECT set_config('TimeZone', $1, false)", &[&zones[at]]).await.expect("it is set");
        let who = client.prepare("SELECT who, current_setting('statement_timeout') FROM whoami").await.expect("the table is found");
        let when = client.prepare("SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::int8").await.expect("it is prepared");
        for round in 0..20 {
            let row = client.query_one(&who, &[]).await.expect("a row");
            assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (number, &*format!("{}ms", 50_001 + number)));
            let row = client.query_one(&when, &[]).await.expect("a row");
            assert_eq!(row.get::<_, i64>(0), 1_704_067_200 + shifts[at], "in {} in round {round}", zones[at]);
        }
        client.batch_execute("RESET ALL").await.expect("it is reset");
        for _ in 0..5 {
            let row = client.query_one("SELECT current_setting('search_path'), current_setting('TimeZone')", &[]).await.expect("a row");
            assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("\"$user\", public", "UTC"));
        }
    }));
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
