//! Values that are equal without being the same bytes: texts under a collation that ignores case, `character(n)`, `citext`, domains, numbers of other
//! types. No key is looked for by them, and no column of such a type is a sharding key.

use super::shards::{Cluster, SHARDS, on_shard, refused, settings, shards, tags};
use super::support::{Dog, Raw, SOON, Version, admin, users, wait_until};
use crate::on_both;

on_both!(a_key_is_found_by_whatever_equals_it, what_is_equal_otherwise_is_no_sharding_key);

const COLLATION: &str = "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<String> {
    rows.sort();
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

fn a_key_is_found_by_whatever_equals_it(version: Version) {
    let cluster = Cluster::new(version);
    for shard in 0..SHARDS {
        let mut shard = on_shard(&cluster.postgres, shard);
        shard.rows(COLLATION);
        shard.rows("CREATE DOMAIN word AS text COLLATE caseless");
        shard.rows("CREATE TABLE labels (caseless text COLLATE caseless, of_a_domain word, fixed character(5), number numeric)");
        shard.rows("INSERT INTO labels SELECT chr(96 + i), chr(96 + i), chr(96 + i), i::numeric(4, 1) FROM generate_series(1, 12) i");
    }
    admin(&cluster.dog, "RECONNECT app");
    let mut client = cluster.client();
    wait_until("the tables are known", SOON, || tags(&client.query("SELECT 1 FROM labels LIMIT 1")).contains('D'));
    for number in 1..=12u8 {
        let small = char::from(b'a' + number - 1).to_string();
        let large = small.to_uppercase();
        client.rows(&format!("INSERT INTO words VALUES (1, '{small}'), (1, '{large}')"));
        client.rows(&format!("INSERT INTO users VALUES ({number}, 'x')"));
        for column in ["caseless", "of_a_domain"] {
            for text in [
                format!("SELECT w.key FROM words w JOIN labels l ON l.{column} = w.key WHERE l.{column} = '{small}'"),
                format!("SELECT w.key FROM words w, labels l WHERE w.key = l.{column} AND l.{column} IN ('{small}')"),
                format!("SELECT w.key FROM words w WHERE w.key IN (SELECT {column} FROM labels WHERE {column} = '{large}')"),
            ] {
                assert_eq!(sorted(client.rows(&text)), [large.clone(), small.clone()], "{text}");
            }
        }
        let text = format!("SELECT w.key FROM words w JOIN labels l ON l.fixed = w.key WHERE l.fixed = '{small}  '");
        assert_eq!(sorted(client.rows(&text)), std::slice::from_ref(&small), "{text}");
        let text = format!("SELECT u.id FROM users u JOIN labels l ON l.number = u.id WHERE l.number = {number}.00");
        assert_eq!(sorted(client.rows(&text)), [number.to_string()], "{text}");
        let text = format!("SELECT key FROM words WHERE key = '{small}' COLLATE caseless");
        assert_eq!(sorted(client.rows(&text)), [large, small], "{text}");
    }
}

fn what_is_equal_otherwise_is_no_sharding_key(version: Version) {
    let postgres = shards(version);
    let tables = [
        ("k_caseless", "text COLLATE caseless", "varchar", "'a'"),
        ("k_fixed", "character(5)", "varchar", "'a'"),
        ("k_citext", "citext", "varchar", "'a'"),
        ("k_domain", "word", "varchar", "'a'"),
        ("k_name", "name", "varchar", "'a'"),
        ("k_numeric", "numeric", "bigint", "1"),
        ("k_whole", "whole", "bigint", "1"),
    ];
    let mut rules = settings(&postgres, [0, 1, 2]);
    for (table, _, data_type, _) in tables {
        rules += &format!("[[sharded_tables]]\ndatabase = \"app\"\nname = \"{table}\"\ncolumn = \"k\"\ndata_type = \"{data_type}\"\n");
    }
    for shard in 0..SHARDS {
        let mut shard = on_shard(&postgres, shard);
        for text in [COLLATION, "CREATE EXTENSION citext", "CREATE DOMAIN word AS text", "CREATE DOMAIN whole AS bigint"] {
            shard.rows(text);
        }
        for (table, of_type, _, _) in tables {
            shard.rows(&format!("CREATE TABLE {table} (k {of_type})"));
        }
    }
    let dog = Dog::start(&rules, &users(&postgres, &[("app", "")]));
    let mut client = Raw::login(&dog.instead_of(&postgres.login("app")));
    wait_until("the shards are known", SOON, || tags(&client.query("SELECT 1")).contains('D'));
    for (table, _, _, value) in tables {
        for text in [
            format!("INSERT INTO {table} VALUES ({value})"),
            format!("SELECT * FROM {table} WHERE k = {value}"),
            format!("DELETE FROM {table} WHERE k = {value}"),
            format!("SELECT * FROM {table}"),
        ] {
            assert_eq!(refused(&client.query(&text)).0, "0A000", "{text}");
        }
        for shard in 0..SHARDS {
            assert_eq!(on_shard(&postgres, shard).rows(&format!("SELECT count(*) FROM {table}")), [["0"]]);
        }
    }
}
