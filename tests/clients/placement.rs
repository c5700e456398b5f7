//! After many writes by every way there is, each row stands on the shard that its key hashes to, and none stands twice.

use super::shards::{Cluster, SHARDS, on_shard, tags};
use super::support::Version;
use super::support::raw::{bind, copy_data, copy_done, execute, parse, query, sync};
use crate::on_both;

on_both!(every_row_of_a_hundred_thousand_is_in_its_place);

/// Rows written by each of eight ways.
const ROWS: i64 = 12_500;

fn every_row_of_a_hundred_thousand_is_in_its_place(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let insert = "INSERT INTO users (id, name) VALUES ($1, $2)";
    let tagged = |messages: &[super::support::raw::Message], wanted: &str| {
        assert!(messages.iter().all(|message| message.tag != b'E'), "{messages:?}");
        assert_eq!(messages.iter().find(|message| message.tag == b'C').map(|message| message.text()).as_deref(), Some(wanted));
    };
    let range = |way: i64| way * ROWS..(way + 1) * ROWS;
    // One by one.
    for id in range(0).step_by(10) {
        let all: Vec<u8> = (id..id + 10).flat_map(|id| query(&format!("INSERT INTO users VALUES ({id}, 'simple')"))).collect();
        client.send(&all);
        for _ in 0..10 {
            tagged(&client.read_until_ready(), "INSERT 0 1");
        }
    }
    // Unnamed statements.
    for id in range(1) {
        let id = id.to_string();
        client.send(&[parse("", insert, &[]), bind("", "", &[Some(&id), Some("unnamed")]), execute("", 0), sync()].concat());
        tagged(&client.read_until_ready(), "INSERT 0 1");
    }
    // A named statement, in batches over all shards, each of which is one transaction.
    client.send(&[parse("in", insert, &[20, 25]), sync()].concat());
    client.read_until_ready();
    let ids: Vec<i64> = range(2).collect();
    for batch in ids.chunks(50) {
        let runs = batch.iter().flat_map(|id| [bind("", "in", &[Some(&id.to_string()), Some("named")]), execute("", 0)].concat());
        client.send(&[runs.collect(), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!(tags(&messages), format!("{}Z", "2C".repeat(batch.len())), "{messages:?}");
    }
    // Many rows at once, as text and with parameters.
    for batch in range(3).collect::<Vec<i64>>().chunks(125) {
        let rows: Vec<String> = batch.iter().map(|id| format!("({id}, 'rows')")).collect();
        tagged(&client.query(&format!("INSERT INTO users VALUES {}", rows.join(", "))), &format!("INSERT 0 {}", batch.len()));
    }
    for batch in range(4).collect::<Vec<i64>>().chunks(125) {
        let rows: Vec<String> = (0..batch.len()).map(|at| format!("(${}, ${})", 2 * at + 1, 2 * at + 2)).collect();
        let ids: Vec<String> = batch.iter().map(i64::to_string).collect();
        let values: Vec<Option<&str>> = ids.iter().flat_map(|id| [Some(id.as_str()), Some("bound")]).collect();
        let text = format!("INSERT INTO users (id, name) VALUES {}", rows.join(", "));
        client.send(&[parse("", &text, &[]), bind("", "", &values), execute("", 0), sync()].concat());
        tagged(&client.read_until_ready(), &format!("INSERT 0 {}", batch.len()));
    }
    // COPY.
    for (way, options) in [(5, ""), (6, " (FORMAT csv)")] {
        let sign = if way == 5 { '\t' } else { ',' };
        let lines: String = range(way).map(|id| format!("{id}{sign}copied\n")).collect();
        let data: Vec<u8> = lines.as_bytes().chunks(8191).flat_map(copy_data).collect();
        client.send(&[query(&format!("COPY users FROM STDIN{options}")), data, copy_done()].concat());
        tagged(&client.read_until_ready(), &format!("COPY {ROWS}"));
    }
    // Transactions over shards, some of which are rolled back.
    for (number, batch) in range(7).collect::<Vec<i64>>().chunks(5).enumerate() {
        let end = if number % 7 == 0 { "ROLLBACK" } else { "COMMIT" };
        for end in if end == "ROLLBACK" { vec![end, "COMMIT"] } else { vec![end] } {
            client.query("BEGIN");
            for id in batch {
                tagged(&client.query(&format!("INSERT INTO users VALUES ({id}, 'transaction')")), "INSERT 0 1");
            }
            tagged(&client.query(end), end);
        }
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 8 * ROWS as u64));
    let mut all: Vec<i64> = Vec::new();
    for shard in 0..SHARDS {
        all.extend(on_shard(&cluster.postgres, shard).rows("SELECT id FROM users").iter().map(|row| row[0].parse::<i64>().expect("an id")));
    }
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..8 * ROWS), "some row is missing or twice");
    assert!(cluster.postgres.sql("SELECT gid FROM pg_prepared_xacts").is_empty());
}
