//! What is said of statements.

use super::*;
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};
use crate::route::cluster::State;
use crate::route::schema::{Row, Schema};
use crate::route::topology::Topology;

fn row(fields: &[&str]) -> Row {
    fields.iter().map(|field| Some(field.as_bytes().to_vec())).collect()
}

fn verdict(sql: &str) -> Verdict {
    let data_type = DataType::Bigint;
    let users = ShardedTable {
        schema: None,
        table: Some("users".into()),
        column: "id".into(),
        data_type,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    let sharded = Sharded { database: "app".into(), shards: 3, tables: vec![users], schemas: Vec::new(), omnisharded: Vec::new() };
    let topology = Topology::first(&sharded).expect("a map");
    let columns = [
        row(&["public", "kinds", "r", "id", "23", "-1", "t", "n"]),
        row(&["public", "users", "r", "id", "20", "-1", "t", "n"]),
        row(&["public", "users", "r", "name", "25", "-1", "t", "n"]),
    ];
    let schema = Schema::read(&columns, &[], &[row(&["\"$user\", public", "150015", "UTF8"])]).expect("an answer");
    let state = State::Known(schema.fitted(&topology));
    let cluster = Arc::new(Cluster { topology, state, servers: Vec::new(), listed: Vec::new(), commits: Default::default(), number: 1 });
    judge(Known { cluster, user: "app".to_owned() }, sql.to_owned()).expect("a thread")
}

#[test]
fn each_statement_has_its_verdict() {
    let said = verdict(
        "/* pgdog_shard: 1 */ SELECT * FROM users; SELECT * FROM users ;\n -- a remark\nUPDATE users SET name = 'x' WHERE id = $2; \
         SELECT * FROM kinds, public.users u WHERE u.id IN (-77, -77) /* why */;;",
    );
    let home = verdict("SELECT * FROM users WHERE id = -77").lines.chars().rev().nth(1).expect("a number");
    let expected = format!(
        "1: /* pgdog_shard: 1 */ SELECT * FROM users\n   tables: users (sharded by id)\n   read, shard 1, as a comment says\n\
         2: SELECT * FROM users\n   tables: users (sharded by id)\n   read, shards 0, 1, 2: their answers together are the answer\n\
         3: -- a remark\nUPDATE users SET name = 'x' WHERE id = $2\n   tables: users (sharded by id)\n   keys: id = $2\n   \
         write, shard by the value of $2\n\
         4: SELECT * FROM kinds, public.users u WHERE u.id IN (-77, -77) /* why */\n   \
         tables: kinds (on every shard), public.users (sharded by id)\n   keys: id = -77\n   read, shard {home}\n"
    );
    assert_eq!((said.lines.as_str(), said.refused), (expected.as_str(), false));
}

#[test]
fn parts_are_shown_with_their_texts() {
    let rows: Vec<String> = (0..20).map(|id| format!("({id}, 'x')")).collect();
    let said = verdict(&format!("INSERT INTO users VALUES {}", rows.join(", ")));
    assert!(said.lines.contains("\n   write, shards 0, 1, 2: each its own rows\n"), "{}", said.lines);
    for shard in 0..3 {
        assert!(said.lines.contains(&format!("\n   shard {shard}: INSERT INTO users VALUES (")), "{}", said.lines);
    }
}

#[test]
fn what_goes_nowhere_says_why() {
    let said = verdict("SELECT 1; SELECT * FROM users ORDER BY name");
    assert!(said.refused && said.lines.contains("\n   refused, 0A000: ") && said.lines.contains("\n   hint: "), "{}", said.lines);
    assert!(verdict("SELECT * FROM strangers").lines.contains("\n   tables: strangers (not known)\n   refused, 0A000: "));
    let said = verdict("SELEC 1");
    assert!(said.refused && said.lines.starts_with("   refused, 42601: syntax error"), "{}", said.lines);
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let said = verdict(&deep);
    assert!(said.refused && said.lines.starts_with("   refused, 54001: "), "{}", said.lines);
    assert_eq!(verdict("-- nothing"), Verdict::default());
}
