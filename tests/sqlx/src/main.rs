//! sqlx with its defaults through pg_dog: every statement prepared by name and kept in the driver's cache, transactions and savepoints, LISTEN with
//! PgListener, a pool of eight connections, COPY. The login is in the environment, as libpq has it; asserts by itself.

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolCopyExt, PgPoolOptions};
use sqlx::{Connection, Executor, Row};
use std::collections::BTreeSet;
use std::time::Duration;

/// Connections of the pool, and tasks that want one.
const POOL: u32 = 8;
const TASKS: i32 = 24;
/// The driver keeps so many statements of a connection.
const CACHE: i32 = 100;

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned()).unwrap_or_default()
}

/// All kinds of values, one row, no row, many rows; errors; text by the simple protocol.
async fn queries(pool: &PgPool) -> sqlx::Result<()> {
    let row = sqlx::query("SELECT $1::int4, $2::text, $3::bytea, $4::float8, $5::bool, $6::int8[], NULL::text")
        .bind(7_i32)
        .bind("ä'\"\\")
        .bind(vec![0_u8, 1, 255])
        .bind(1.5_f64)
        .bind(true)
        .bind(vec![1_i64, -1])
        .fetch_one(pool)
        .await?;
    assert_eq!((row.get::<i32, _>(0), row.get::<String, _>(1), row.get::<Vec<u8>, _>(2)), (7, "ä'\"\\".to_string(), vec![0, 1, 255]));
    assert_eq!((row.get::<f64, _>(3), row.get::<bool, _>(4), row.get::<Vec<i64>, _>(5)), (1.5, true, vec![1, -1]));
    assert_eq!(row.get::<Option<String>, _>(6), None);
    assert!(sqlx::query("SELECT 1 WHERE false").fetch_optional(pool).await?.is_none());
    let rows = sqlx::query("SELECT i FROM generate_series(1, 20000) i").fetch(pool);
    let sum = rows.try_fold(0_i64, |sum, row| async move { Ok(sum + i64::from(row.get::<i32, _>(0))) });
    assert_eq!(sum.await?, 200_010_000);
    let failed = sqlx::query("SELECT 1 / $1::int").bind(0).execute(pool).await.expect_err("it divides by zero");
    assert_eq!(code(&failed), "22012");
    let failed = sqlx::query("SELEC").execute(pool).await.expect_err("that is no statement");
    assert_eq!(code(&failed), "42601");
    let done = pool.execute("SELECT 1; SELECT 2; SELECT 'three'").await?;
    assert_eq!(done.rows_affected(), 3);
    // A reader that stops in the middle.
    let mut some = sqlx::query("SELECT i FROM generate_series(1, 100000) i").fetch(pool);
    assert_eq!(some.try_next().await?.expect("a row").get::<i32, _>(0), 1);
    drop(some);
    assert_eq!(sqlx::query_scalar::<_, String>("SELECT 'after'").fetch_one(pool).await?, "after");
    Ok(())
}

/// More texts than the driver's cache holds, again and again: it closes what it has no room for.
async fn cache(pool: &PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    for round in 0..3 {
        for i in 0..CACHE + 20 {
            let value: i32 = sqlx::query_scalar(&format!("SELECT {i} + $1::int")).bind(round).fetch_one(&mut *conn).await?;
            assert_eq!(value, i + round);
        }
    }
    assert_eq!(conn.cached_statements_size(), CACHE as usize);
    conn.clear_cached_statements().await?;
    assert_eq!(sqlx::query_scalar::<_, i32>("SELECT 1 + $1::int").bind(1).fetch_one(&mut *conn).await?, 2);
    // One that is used once, and one that is not kept.
    assert_eq!(sqlx::query_scalar::<_, i32>("SELECT 2 + $1::int").bind(1).persistent(false).fetch_one(&mut *conn).await?, 3);
    Ok(())
}

/// A transaction with a savepoint in a savepoint; kept when `task` is even, given up by being dropped when it is not.
async fn transactions(pool: &PgPool, task: i32) -> sqlx::Result<()> {
    for round in 0..5 {
        let id = task * 100 + round;
        let mut outer = pool.begin().await?;
        sqlx::query("INSERT INTO items (id, name) VALUES ($1, $2)").bind(id).bind("outer").execute(&mut *outer).await?;
        let mut inner = outer.begin().await?;
        let failed = sqlx::query("INSERT INTO items (id, name) VALUES ($1, 'twice')").bind(id).execute(&mut *inner).await.expect_err("it is there");
        assert!(failed.as_database_error().is_some_and(|error| error.is_unique_violation()), "{failed}");
        let failed = sqlx::query("SELECT 1").execute(&mut *inner).await.expect_err("the transaction has failed");
        assert_eq!(code(&failed), "25P02");
        inner.rollback().await?;
        let mut inner = outer.begin().await?;
        sqlx::query("UPDATE items SET name = 'kept' WHERE id = $1").bind(id).execute(&mut *inner).await?;
        let mut innermost = inner.begin().await?;
        sqlx::query("DELETE FROM items WHERE id = $1").bind(id).execute(&mut *innermost).await?;
        // What is dropped is rolled back with the connection's next statement.
        drop(innermost);
        inner.commit().await?;
        let name: String = sqlx::query_scalar("SELECT name FROM items WHERE id = $1").bind(id).fetch_one(&mut *outer).await?;
        assert_eq!(name, "kept");
        if task % 2 == 0 { outer.commit().await? } else { drop(outer) }
    }
    Ok(())
}

/// Eight connections, three times as many tasks, two servers.
async fn many(pool: &PgPool) -> sqlx::Result<()> {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                transactions(&pool, task).await?;
                for round in 0..20 {
                    let asks = sqlx::query("SELECT $1::int, $2::text, pg_sleep(0.001)::text").bind(task).bind(format!("{task}-{round}"));
                    let row = asks.fetch_one(&pool).await?;
                    assert_eq!((row.get::<i32, _>(0), row.get::<String, _>(1)), (task, format!("{task}-{round}")));
                }
                Ok::<(), sqlx::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics")?;
    }
    let (kept, other): (i64, i64) =
        sqlx::query_as("SELECT count(*) FILTER (WHERE name = 'kept'), count(*) FILTER (WHERE name <> 'kept') FROM items").fetch_one(pool).await?;
    assert_eq!((kept, other), (i64::from(TASKS) / 2 * 5, 0));
    Ok(())
}

/// A listener hears what was committed, in order, while others work; also on a channel that it takes up later.
async fn listens(pool: &PgPool) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all(["news", "Odd news"]).await?;
    for i in 0..20 {
        sqlx::query("SELECT pg_notify('news', $1)").bind(i.to_string()).execute(pool).await?;
        let mut never = pool.begin().await?;
        sqlx::query("SELECT pg_notify('news', 'never')").execute(&mut *never).await?;
        never.rollback().await?;
    }
    for i in 0..20 {
        let heard = listener.recv().await?;
        assert_eq!((heard.channel(), heard.payload()), ("news", i.to_string().as_str()));
    }
    listener.unlisten("news").await?;
    listener.listen("later").await?;
    sqlx::query("SELECT pg_notify('news', ''), pg_notify('Odd news', 'odd'), pg_notify('later', 'last')").execute(pool).await?;
    let heard = [listener.recv().await?, listener.recv().await?].map(|heard| heard.channel().to_string());
    assert_eq!(heard.into_iter().collect::<BTreeSet<_>>(), ["Odd news", "later"].map(String::from).into());
    listener.unlisten_all().await?;
    Ok(())
}

/// Both ways; given up, and refused.
async fn copies(pool: &PgPool) -> sqlx::Result<()> {
    pool.execute("TRUNCATE items").await?;
    let mut copy = pool.copy_in_raw("COPY items (id, name) FROM STDIN").await?;
    for chunk in 0..50 {
        let lines: String = (0..200).map(|i| format!("{}\tname {i}\n", chunk * 200 + i)).collect();
        copy.send(lines.as_bytes()).await?;
    }
    assert_eq!(copy.finish().await?, 10_000);
    let mut copy = pool.copy_in_raw("COPY items (id, name) FROM STDIN").await?;
    copy.send(&b"20000\thalf\n"[..]).await?;
    copy.abort("changed my mind").await?;
    let mut copy = pool.copy_in_raw("COPY items (id, name) FROM STDIN").await?;
    copy.send(&b"1\ttwice\n"[..]).await?;
    let failed = copy.finish().await.expect_err("the key is there already");
    assert_eq!(code(&failed), "23505");
    let out = pool.copy_out_raw("COPY (SELECT id FROM items ORDER BY id) TO STDOUT").await?;
    let bytes = out.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    let expected: String = (0..10_000).map(|i| format!("{i}\n")).collect();
    assert_eq!(bytes.await?, expected.as_bytes());
    Ok(())
}

/// Types that the driver looks up by itself, and a table that changes below its prepared statements.
async fn changes(login: &PgConnectOptions) -> sqlx::Result<()> {
    let mut conn = PgConnection::connect_with(login).await?;
    conn.execute("CREATE TEMP TABLE changing (a int)").await?;
    conn.execute("INSERT INTO changing VALUES (1)").await?;
    assert_eq!(sqlx::query("SELECT * FROM changing").fetch_one(&mut conn).await?.len(), 1);
    conn.execute("ALTER TABLE changing ADD b int").await?;
    let failed = sqlx::query("SELECT * FROM changing").fetch_one(&mut conn).await.err();
    assert_eq!(failed.as_ref().map(code).as_deref(), Some("0A000"), "as with PostgreSQL itself: {failed:?}");
    assert_eq!(sqlx::query("SELECT *, 1 FROM changing").fetch_one(&mut conn).await?.len(), 3);
    conn.execute("DROP TABLE changing").await?;
    conn.close().await
}

#[tokio::main(worker_threads = 2)]
async fn main() -> sqlx::Result<()> {
    // Host, port, user, password and database are read from the environment.
    let login = PgConnectOptions::new();
    let pool = PgPoolOptions::new().max_connections(POOL).acquire_timeout(Duration::from_secs(30)).connect_with(login.clone()).await?;
    queries(&pool).await?;
    cache(&pool).await?;
    many(&pool).await?;
    listens(&pool).await?;
    copies(&pool).await?;
    changes(&login).await?;
    pool.close().await;
    println!("all is well");
    Ok(())
}
