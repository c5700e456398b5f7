//! The messenger of `shards/`, with its schema and configuration as they are shipped: an application that knows nothing of shards gets from three of
//! them what it would get from one, through asyncpg at its defaults.

use super::support::{Dog, Login, Postgres, Raw, SOON, Version, psql, python, wait_until};
use crate::on_both;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

on_both!(three_shards_answer_as_one, what_is_sent_stays_with_its_sender, ids_of_shards_are_distinct);

const SHARDS: usize = 3;
const USERS: usize = 300;
const CONVERSATIONS: &str = "SELECT conversation_id, conversation_name, last_message_content, last_message_at, unread_count \
    FROM user_conversation_list WHERE user_id = $1 AND is_archived = false ORDER BY last_message_at DESC LIMIT 20";
const MESSAGES: &str = "SELECT original_message_id / 1024, sender_id, content, has_attachments, created_at, is_read \
    FROM user_messages WHERE recipient_user_id = $1 AND conversation_id = $2 ORDER BY created_at DESC LIMIT 50";
/// Its tables, and the columns that they are spread by.
const TABLES: [(&str, &str); 4] =
    [("user_conversation_list", "user_id"), ("user_messages", "recipient_user_id"), ("messages", "sender_id"), ("message_outbox", "sender_id")];

/// The messenger's shards, and pg_dog in front of them.
struct Messenger {
    dog: Dog,
    postgres: Postgres,
}

/// Makes one shard as `shards/start` does.
fn make_shard(postgres: &Postgres, database: &str, shard: usize, shards: usize) {
    postgres.psql(&["-c", &format!("CREATE DATABASE {database} OWNER app")]).expect_success();
    let login = Login { database: database.to_owned(), ..postgres.login("postgres") };
    let variables = [format!("shard={shard}"), format!("shards={shards}"), format!("users={USERS}")];
    let arguments = ["-q", "-1", "-v", &variables[0], "-v", &variables[1], "-v", &variables[2], "-v", "app=app", "-v", "dog=dog"];
    psql(&login, &[&arguments[..], &["-f", "shards/shard.sql"]].concat()).expect_success();
}

fn shipped(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shards").join(name);
    std::fs::read_to_string(path).expect("the file is shipped")
}

impl Messenger {
    fn new(version: Version) -> Messenger {
        let postgres = Messenger::shards(version);
        let config = shipped("pgdog.toml").replace("port = 6432", "port = {port}").replace("port = 16432", &format!("port = {}", postgres.port));
        let dog = Dog::start(&config, &shipped("users.toml"));
        let messenger = Messenger { dog, postgres };
        let mut first = messenger.client();
        wait_until("the shards are known", SOON, || first.query("SELECT 1").iter().any(|message| message.tag == b'D'));
        messenger
    }

    fn shards(version: Version) -> Postgres {
        let postgres = Postgres::start(version);
        postgres.sql("CREATE ROLE dog LOGIN PASSWORD 'dog-secret'");
        for shard in 0..SHARDS {
            make_shard(&postgres, &format!("instagram_dm_shard_{shard}"), shard, SHARDS);
        }
        postgres
    }

    /// How the application logs in, whose password is that of users.toml.
    fn login(&self) -> Login {
        Login { database: "instagram_dm".to_owned(), ..self.dog.instead_of(&self.postgres.login("app")) }
    }

    fn client(&self) -> Raw {
        Raw::login(&self.login())
    }

    /// The application's role at one shard.
    fn at(&self, shard: usize) -> Raw {
        Raw::login(&Login { database: format!("instagram_dm_shard_{shard}"), ..self.postgres.login("app") })
    }

    /// Rows of all shards, each with the number of its shard in front.
    fn all(&self, sql: &str) -> Vec<Vec<String>> {
        let of = |shard: usize| self.at(shard).rows(sql).into_iter().map(move |row| [vec![shard.to_string()], row].concat());
        (0..SHARDS).flat_map(of).collect()
    }

    /// No row is on another shard than that of its key; how many rows there are.
    fn placed(&self, table: &str, column: &str) -> usize {
        (0..SHARDS)
            .map(|shard| {
                let mut client = self.at(shard);
                client.rows("CREATE TEMP TABLE spread (key bigint) PARTITION BY HASH (key)");
                let here = format!("satisfies_hash_partition('spread'::regclass, {SHARDS}, {shard}, {column})");
                let row = client.rows(&format!("SELECT count(*) FILTER (WHERE NOT {here}), count(*) FROM {table}")).remove(0);
                assert_eq!(row[0], "0", "{table} of shard {shard} has rows that belong elsewhere");
                row[1].parse::<usize>().expect("a count")
            })
            .sum()
    }
}

fn call(sql: &str, values: &[&str]) -> String {
    values.iter().enumerate().fold(sql.to_owned(), |sql, (i, value)| sql.replace(&format!("${}", i + 1), value))
}

fn three_shards_answer_as_one(version: Version) {
    let messenger = Messenger::new(version);
    make_shard(&messenger.postgres, "one", 0, 1);
    let mut one = Raw::login(&Login { database: "one".to_owned(), ..messenger.postgres.login("app") });
    for (table, column) in TABLES {
        let count: usize = one.rows(&format!("SELECT count(*) FROM {table}"))[0][0].parse().expect("a count");
        assert_eq!((messenger.placed(table, column), count > USERS), (count, table != "message_outbox"), "{table}");
    }
    let mut client = messenger.client();
    assert_eq!(client.rows("SELECT * FROM message_types ORDER BY id"), one.rows("SELECT * FROM message_types ORDER BY id"));
    let mut seen = 0;
    for user in 1..=USERS {
        let user = user.to_string();
        let conversations = one.rows(&call(CONVERSATIONS, &[&user]));
        assert_eq!(client.rows(&call(CONVERSATIONS, &[&user])), conversations, "user {user}");
        for conversation in conversations.iter().take(3) {
            let messages = one.rows(&call(MESSAGES, &[&user, &conversation[0]]));
            assert_eq!(client.rows(&call(MESSAGES, &[&user, &conversation[0]])), messages, "user {user}");
            seen += messages.len();
        }
    }
    assert!(seen > 2 * USERS, "{seen}");
}

fn what_is_sent_stays_with_its_sender(version: Version) {
    let messenger = Messenger::new(version);
    let before = messenger.all("SELECT id FROM messages").len();
    let arguments = ["shards/messenger.py", "--tasks", "16", "--rounds", "600", "--answers", "0.5", "--users", &USERS.to_string()];
    let said = python(&messenger.login(), &arguments, Duration::from_secs(120)).expect_success();
    let last = said.lines().last().expect("it says how it was");
    assert!(last.contains("all of them right; senders live on shards [0, 1, 2]"), "{said}");
    let sent: usize = last.split(", ").nth(1).and_then(|ids| ids.split(' ').next()?.parse().ok()).expect("a number of ids");
    assert!(sent > 200, "{said}");
    // Each message is on its sender's shard, under an id that no shard has given twice.
    assert_eq!(messenger.placed("messages", "sender_id"), before + sent);
    let ids: BTreeSet<String> = messenger.all("SELECT id FROM messages").into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(ids.len(), before + sent);
    // So are its copies, one for each who is in the conversation.
    let copies =
        messenger.all("SELECT message_id, array_agg(recipient_user_id ORDER BY recipient_user_id) FROM message_outbox GROUP BY 1 ORDER BY 1");
    let wanted = messenger.all(
        "SELECT id, (SELECT array_agg(p ORDER BY p) FROM unnest(participant_ids) p) FROM messages \
         JOIN user_conversation_list l ON l.user_id = sender_id AND l.conversation_id = messages.conversation_id \
         WHERE content LIKE '%from user%' AND created_at > '2026-01-01' ORDER BY 1",
    );
    assert_eq!(wanted.len(), sent);
    assert_eq!(copies, wanted);
    assert!(messenger.placed("message_outbox", "sender_id") > sent);
    // What the application reads back is what the shard holds.
    let mut client = messenger.client();
    let copies = |of: &str| {
        let join = "messages m JOIN message_outbox o ON o.message_id = m.id AND o.sender_id = m.sender_id";
        format!("SELECT m.sender_id, count(*), max(m.content) FROM {join} {of} GROUP BY 1")
    };
    for row in messenger.all(&copies("")) {
        assert_eq!(client.rows(&copies(&format!("WHERE m.sender_id = {}", row[1]))), [row[1..].to_vec()]);
    }
}

fn ids_of_shards_are_distinct(version: Version) {
    let postgres = Messenger::shards(version);
    let login = Login { database: "instagram_dm_shard_1".to_owned(), ..postgres.login("app") };
    let refused = Raw::login(&login).query("SELECT dog.next_id('messages_id_seq')");
    assert!(refused.iter().any(|message| message.tag == b'E'), "a shard that is nobody's gives no ids");
    drop(postgres);
    let messenger = Messenger::new(version);
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for sql in [
        "SELECT dog.next_id('messages_id_seq') FROM generate_series(1, 200)",
        "SELECT dog.next_key('messages_id_seq') FROM generate_series(1, 200)",
        "SELECT pgdog.next_id_seq('messages_id_seq') FROM generate_series(1, 200)",
    ] {
        for row in messenger.all(sql) {
            let (shard, id) = (row[0].clone(), row[1].clone());
            assert_eq!(id.parse::<i64>().expect("an id") % 1024, shard.parse::<i64>().expect("a shard"));
            if !sql.contains("next_id(") {
                // It lives where it was given: pg_dog sends its key there.
                let place = format!("/* pgdog_sharding_key: {id} */ SELECT shard FROM dog.identity");
                assert!(!keys.len().is_multiple_of(7) || messenger.client().rows(&place) == [[shard.clone()]], "{id}");
            }
            assert_eq!(keys.insert(id, shard), None);
        }
    }
    assert_eq!(keys.len(), SHARDS * 3 * 200);
}
