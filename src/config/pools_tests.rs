//! Tests of users of several databases, of several passwords and hashes, and of what the server's sessions begin with.

use super::*;
use crate::config::inputs::Inputs;
use crate::config::{Loaded, Source, load};

const HASH: &str =
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";
const MD5: &str = "md50123456789abcdef0123456789abcdef";

fn run(main: &str, users: &str) -> Result<Loaded, Vec<String>> {
    let users = format!("[admin]\npassword = \"p\"\n{users}");
    let (main, users) = (Source { name: "m", text: main }, Source { name: "u", text: &users });
    load(&Inputs { main: Some(main), users: Some(users), ..Inputs::default() }).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn databases(names: &[&str]) -> String {
    names.iter().map(|name| format!("[[databases]]\nname = \"{name}\"\nhost = \"h\"\n")).collect()
}

fn user(lines: &str) -> String {
    format!("[[users]]\nname = \"u\"\n{lines}\n")
}

/// Pools as `user@database/size`, sorted, and the warnings.
fn pools(users: &str) -> (Vec<String>, Vec<String>) {
    let Loaded { snapshot, warnings } = run(&databases(&["a", "b", "c"]), users).unwrap_or_else(|problems| panic!("{problems:?}"));
    for (index, pool) in snapshot.pools.iter().enumerate() {
        assert_eq!(snapshot.by_name[&(pool.database.clone(), pool.user.clone())], index);
    }
    assert_eq!(snapshot.pools.len(), snapshot.by_name.len());
    let mut pools: Vec<String> = snapshot.pools.iter().map(|pool| format!("{}@{}/{}", pool.user, pool.database, pool.pool_size)).collect();
    pools.sort_unstable();
    (pools, warnings)
}

/// The one pool of the user `u` with these lines under that auth_type, and the warnings.
fn one(auth: &str, lines: &str) -> (PoolSpec, Vec<String>) {
    let main = format!("[general]\nauth_type = \"{auth}\"\nmin_pool_size = 0\n{}", databases(&["a"]));
    let mut loaded = run(&main, &user(&format!("database = \"a\"\n{lines}"))).unwrap_or_else(|problems| panic!("{problems:?}"));
    (loaded.snapshot.pools.remove(0), loaded.warnings)
}

#[test]
fn a_user_may_have_several_databases_or_all() {
    for (users, expected) in [
        (user("password = \"p\"\ndatabases = [\"a\", \"c\", \"a\"]"), vec!["u@a/10", "u@c/10"]),
        (user("password = \"p\"\nall_databases = true"), vec!["u@a/10", "u@b/10", "u@c/10"]),
        (user("password = \"p\"\ndatabase = \"b\"\nall_databases = false"), vec!["u@b/10"]),
        // The nearer word on a database wins, wherever it stands.
        (
            user("password = \"p\"\nall_databases = true") + &user("password = \"p\"\ndatabase = \"b\"\npool_size = 2"),
            vec!["u@a/10", "u@b/2", "u@c/10"],
        ),
        (
            user("password = \"p\"\ndatabase = \"b\"\npool_size = 2") + &user("password = \"p\"\nall_databases = true"),
            vec!["u@a/10", "u@b/2", "u@c/10"],
        ),
        (
            user("password = \"p\"\nall_databases = true\npool_size = 1")
                + &user("password = \"p\"\ndatabase = \"b\"\npool_size = 3")
                + &user("password = \"p\"\ndatabases = [\"b\", \"c\"]\npool_size = 2"),
            vec!["u@a/1", "u@b/3", "u@c/2"],
        ),
    ] {
        let (found, warnings) = pools(&users);
        assert_eq!((found, warnings.len()), (expected.into_iter().map(str::to_owned).collect(), 0), "{users}: {warnings:?}");
    }
}

#[test]
fn contradictions_are_told() {
    for (lines, expected, warning) in [
        ("database = \"a\"\ndatabases = [\"b\"]", vec!["u@a/10"], "u:3: [[users]]: \"u\" has `database`, so its `databases` change nothing"),
        (
            "database = \"a\"\nall_databases = true",
            vec!["u@a/10", "u@b/10", "u@c/10"],
            "u:3: [[users]]: \"u\" has `all_databases`, so its `database` and `databases` change nothing",
        ),
        ("databases = [\"a\", \"x\"]", vec!["u@a/10"], "u:3: [[users]]: \"u\" has the unknown database \"x\", so it cannot log in"),
        ("databases = []", vec![], "u:3: [[users]]: \"u\" has no `database`, so it cannot log in"),
    ] {
        let (found, warnings) = pools(&user(&format!("password = \"p\"\n{lines}")));
        assert_eq!(found, expected, "{lines}");
        assert_eq!(warnings, [warning]);
    }
    let twice = |lines: &str| user(lines) + &user(lines);
    for lines in ["all_databases = true", "databases = [\"a\", \"b\"]"] {
        let problems = run(&databases(&["a", "b"]), &twice(&format!("password = \"p\"\n{lines}"))).unwrap_err();
        assert_eq!(problems, ["u:7: [[users]]: `name` \"u\" with `database` \"a\" stands on line 3 already; remove one"]);
    }
}

#[test]
fn what_is_said_of_a_user_of_many_databases_is_said_once() {
    let (_, warnings) = pools(&user("all_databases = true\npool_size = 2\nmin_pool_size = 3"));
    assert_eq!(
        warnings,
        [
            "u:3: [[users]]: \"u\" has no password, so it cannot log in",
            "u:3: [[users]]: \"u\" has no password for the server, so its min_pool_size is 0 instead of 3 (3 pools)",
        ]
    );
    let (_, warnings) = pools(&user("password = \"p\"\nall_databases = true\npool_size = 2\nmin_pool_size = 3"));
    assert_eq!(warnings, ["u:3: [[users]]: \"u\" has a min_pool_size of 3, which is cut to its pool_size of 2 (3 pools)"]);
}

#[test]
fn several_passwords_are_tried_in_their_order() {
    let (pool, warnings) = one("scram", "password = \"old\"\npasswords = [\"new\", \"\", \"old\", \"newer\"]");
    assert_eq!((pool.client.passwords.as_slice(), warnings.len()), (["new", "old", "newer"].map(str::to_owned).as_slice(), 0));
    assert_eq!(*pool.server_passwords, ["new", "old", "newer"]);
    let (pool, _) = one("scram", "passwords = [\"new\"]\nserver_password = \"s\"");
    assert_eq!((pool.client.passwords.concat().as_str(), pool.server_passwords.concat().as_str()), ("new", "s"));
    let many: Vec<String> = (0..=PASSWORDS_MAX).map(|n| format!("\"sesame{n}\"")).collect();
    let problems = run(&databases(&["a"]), &user(&format!("database = \"a\"\npasswords = [{}]", many.join(",")))).unwrap_err();
    assert_eq!(problems, ["u:3: [[users]]: \"u\" has 17 passwords, more than 16; each costs milliseconds when a client logs in, so keep few"]);
}

#[test]
fn a_hash_is_kept_where_it_can_check_something() {
    let with = |hash: &str| format!("password_hash = \"{hash}\"\nserver_password = \"s\"");
    for (auth, hash, usable) in
        [("scram", HASH, true), ("scram", MD5, false), ("md5", MD5, true), ("md5", HASH, false), ("plain", HASH, true), ("plain", MD5, true)]
    {
        let (pool, warnings) = one(auth, &with(hash));
        assert_eq!(pool.client.hash.is_some(), usable, "{auth} {hash}");
        assert!(pool.client.passwords.is_empty() && *pool.server_passwords == ["s".to_owned()]);
        assert_eq!(warnings.len(), if usable { 0 } else { 2 }, "{warnings:?}");
        assert!(warnings.iter().all(|warning| !warning.contains(hash)), "{warnings:?}");
    }
    let (_, warnings) = one("md5", &with(HASH));
    assert_eq!(
        warnings,
        [
            "u:3: [[users]]: \"u\" of \"a\" cannot log in with the password of its hash: its `password_hash` is a SCRAM one, which cannot check a \
             login by md5: change the hash, or `auth_type` in [general]",
            "u:3: [[users]]: \"u\" of \"a\" has no password, so it cannot log in",
        ]
    );
    let (_, warnings) = one("scram", &format!("password_hash = \"{HASH}\""));
    assert_eq!(
        warnings,
        ["u:3: [[users]]: \"u\" of \"a\" has a `password_hash` and no `server_password`: only a server that asks for no password lets it in"]
    );
    let problems = run(&databases(&["a"]), &user("database = \"a\"\npassword_hash = \"sesame\"")).unwrap_err();
    assert!(problems.len() == 1 && problems[0].contains("`password_hash` of \"u\" has to be SCRAM-SHA-256$") && !problems[0].contains("sesame"));
}

#[test]
fn the_primarys_word_counts_before_the_one_for_all_roles() {
    let general = "[general]\ndefault_pool_size = 30\nmin_pool_size = 3\nidle_timeout = 300\n";
    let database = "pool_size = 20\nmin_pool_size = 2\nidle_timeout = 200\n";
    let of_primary = |n: u32| format!("pool_size_primary = {}\nmin_pool_size_primary = {n}\nidle_timeout_primary = {}\n", n * 10, n * 100);
    for (in_database, in_user, expected) in [
        (String::new(), String::new(), (30, 3, 300)),
        (of_primary(1), String::new(), (10, 1, 100)),
        (format!("{database}{}", of_primary(1)), String::new(), (10, 1, 100)),
        (of_primary(1), database.to_owned(), (20, 2, 200)),
        (of_primary(1), format!("{database}{}", of_primary(5)), (50, 5, 500)),
        (database.to_owned(), of_primary(5), (50, 5, 500)),
        (database.to_owned(), "pool_size_replica = 9\n".to_owned(), (20, 2, 200)),
    ] {
        let main = format!("{general}[[databases]]\nname = \"a\"\nhost = \"h\"\n{in_database}");
        let pool = run(&main, &user(&format!("database = \"a\"\npassword = \"p\"\n{in_user}"))).unwrap().snapshot.pools.remove(0);
        assert_eq!((pool.pool_size, pool.min_pool_size, pool.idle_timeout.as_millis()), expected, "{in_database} / {in_user}");
    }
}

#[test]
fn sessions_begin_with_what_the_user_says_else_the_database() {
    let said = |in_database: &str, in_user: &str| {
        let main = format!("[[databases]]\nname = \"a\"\nhost = \"h\"\n{in_database}\n");
        let pool = run(&main, &user(&format!("database = \"a\"\npassword = \"p\"\n{in_user}"))).unwrap().snapshot.pools.remove(0);
        pool.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(said("", ""), "");
    assert_eq!(said("read_only = false", "read_only = false"), "");
    assert_eq!(
        said("statement_timeout = 5\nlock_timeout = 6\nread_only = true", ""),
        "statement_timeout=5 lock_timeout=6 default_transaction_read_only=on"
    );
    assert_eq!(
        said("statement_timeout = 5\nread_only = true", "statement_timeout = 0\nread_only = false"),
        "statement_timeout=0 default_transaction_read_only=off"
    );
    assert_eq!(said("", "lock_timeout = 2147483647\nread_only = true"), "lock_timeout=2147483647 default_transaction_read_only=on");
    let main = "[[databases]]\nname = \"a\"\nhost = \"h\"\nstatement_timeout = 2147483648\n";
    assert_eq!(run(main, "").unwrap_err().len(), 1);
}

#[test]
fn a_user_whose_clients_replicate_keeps_no_connections() {
    let built = |in_user: &str| {
        let main = "[general]\nmin_pool_size = 3\n[[databases]]\nname = \"a\"\nhost = \"h\"\n";
        let loaded = run(main, &user(&format!("database = \"a\"\npassword = \"p\"\n{in_user}"))).unwrap();
        assert_eq!(loaded.warnings, [""; 0]);
        (loaded.snapshot.pools[0].replicates, loaded.snapshot.pools[0].min_pool_size)
    };
    assert_eq!(built(""), (false, 3));
    assert_eq!(built("replication_mode = false"), (false, 3));
    assert_eq!(built("replication_mode = true"), (true, 0));
}

#[test]
fn five_users_of_a_thousand_databases_share_their_secrets() {
    let names: Vec<String> = (0..1_000).map(|n| format!("d{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let users: String = (0..5).map(|n| format!("[[users]]\nname = \"u{n}\"\nall_databases = true\npassword = \"p\"\n")).collect();
    let Loaded { snapshot, warnings } = run(&databases(&names), &users).unwrap();
    assert_eq!((snapshot.pools.len(), snapshot.by_name.len(), warnings.len()), (5_000, 5_000, 0));
    let pool = |database: &str| snapshot.pool(database, "u3").unwrap();
    assert!(Arc::ptr_eq(&pool("d0").client, &pool("d999").client));
    assert!(Arc::ptr_eq(&pool("d0").server_passwords, &pool("d999").server_passwords));
}

#[test]
fn the_nearest_word_on_requests_over_shards_counts() {
    const OFF: &str = "cross_shard_disabled = true\n";
    const ON: &str = "cross_shard_disabled = false\n";
    for (general, servers, user, expected) in [
        ("", ["", ""], "", false),
        (OFF, ["", ""], "", true),
        (OFF, [ON, ""], "", false),
        ("", ["", OFF], "", true),
        // They are one database.
        ("", [ON, OFF], "", true),
        (OFF, [OFF, OFF], ON, false),
        (ON, [ON, ON], OFF, true),
    ] {
        let server = |shard: usize| format!("[[databases]]\nname = \"a\"\nhost = \"h\"\nshard = {shard}\n{}", servers[shard]);
        let main = format!("[general]\n{general}{}{}", server(0), server(1));
        let users = format!("[[users]]\nname = \"u\"\ndatabase = \"a\"\npassword = \"p\"\n{user}");
        let loaded = run(&main, &users).unwrap_or_else(|problems| panic!("{problems:?}"));
        let found: Vec<bool> = loaded.snapshot.pools.iter().map(|pool| pool.one_shard).collect();
        assert_eq!(found, [expected; 2], "{main}{users}");
    }
}
