//! Tests of databases from URLs: what a URL may say, that it replaces the files' lists, and that nobody sees its password.

use crate::config::inputs::{Inputs, Line};
use crate::config::snapshot::{PoolSpec, PoolerMode};
use crate::config::{Loaded, Source, load};

const MAIN: &str = "[general]\ndefault_pool_size = 3\n[[databases]]\nname = \"filed\"\nhost = \"h\"\n";
const USERS: &str = "[admin]\npassword = \"p\"\n[[users]]\nname = \"u\"\ndatabase = \"filed\"\npassword = \"p\"\n";

fn run(urls: &[&str], env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<String>> {
    let line = Line { database_urls: urls.iter().map(|url| url.to_string()).collect(), ..Line::default() };
    let (main, users) = (Source { name: "m", text: MAIN }, Source { name: "u", text: USERS });
    let inputs = Inputs { main: Some(main), users: Some(users), env, line: &line, ..Inputs::default() };
    load(&inputs).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn pool(url: &str) -> PoolSpec {
    let mut pools = run(&[url], &|_| None).unwrap_or_else(|problems| panic!("{url}: {problems:?}")).snapshot.pools;
    assert_eq!(pools.len(), 1, "{url}");
    pools.remove(0)
}

/// user, password, host, port, database
fn parts(url: &str) -> (String, String, String, u16, String) {
    let pool = pool(url);
    (pool.user, pool.client.passwords.concat(), pool.host, pool.port, pool.database)
}

#[test]
fn every_part_may_be_left_out_or_encoded() {
    for (url, user, password, host, port, database) in [
        ("postgres://ann:sesame@db1:6000/shop", "ann", "sesame", "db1", 6000, "shop"),
        ("postgresql://ann:sesame@db1/shop", "ann", "sesame", "db1", 5432, "shop"),
        ("postgres://", "postgres", "postgres", "127.0.0.1", 5432, "postgres"),
        ("postgres://ann@/shop", "ann", "postgres", "127.0.0.1", 5432, "shop"),
        ("postgres://:secret@h", "postgres", "secret", "h", 5432, "postgres"),
        ("postgres://a%40b:p%2Fq%3a%25@h/s%20hop", "a@b", "p/q:%", "h", 5432, "s hop"),
        ("postgres://ann:p@ss+word@h/shop", "ann", "p@ss+word", "h", 5432, "shop"),
        ("postgres://ann:p@[::1]:7000/shop", "ann", "p", "::1", 7000, "shop"),
        ("postgres://ann:p@[fe80::1]/shop#part", "ann", "p", "fe80::1", 5432, "shop"),
        ("postgres://ann:p@%2Fvar%2Frun/shop", "ann", "p", "/var/run", 5432, "shop"),
        ("postgres://ann:p@/shop?host=/var/run/postgresql&port=5433", "ann", "p", "/var/run/postgresql", 5433, "shop"),
        ("postgres://%C3%A4:%E2%82%AC@h/shop", "ä", "€", "h", 5432, "shop"),
    ] {
        let expected = (user.to_owned(), password.to_owned(), host.to_owned(), port, database.to_owned());
        assert_eq!(parts(url), expected, "{url}");
    }
    let env = |name: &str| (name == "USER").then(|| "eve".to_owned());
    assert_eq!(run(&["postgres://:p@h/shop"], &env).unwrap().snapshot.pools[0].user, "eve");
}

#[test]
fn the_query_holds_keys_of_databases() {
    let spec = pool(
        "postgres://ann:p@h/shop?database_name=store&user=bob&password=s%26p&pool_size=7&min_pool_size=2&pooler_mode=session&idle_timeout=8\
         &server_lifetime=9&server_lifetime_jitter=1&role=primary&shard=0&read_only=false&sslmode=disable&&",
    );
    assert_eq!((spec.server_database.as_str(), spec.server_user.as_str(), spec.server_passwords.concat()), ("store", "bob", "s&p".to_owned()));
    assert_eq!((spec.pool_size, spec.min_pool_size, spec.mode), (7, 2, PoolerMode::Session));
    assert_eq!([spec.idle_timeout, spec.server_lifetime, spec.server_lifetime_jitter].map(|time| time.as_millis()), [8, 9, 1]);
}

#[test]
fn they_replace_the_lists_of_the_files_and_nothing_else() {
    let Loaded { snapshot, warnings } =
        run(&["postgres://a:p@h/one", "postgres://b:p@h/one", "postgres://a:p@h/two", "postgres://a:p@h/one"], &|_| None).unwrap();
    let names: Vec<(&str, &str)> = snapshot.pools.iter().map(|pool| (pool.database.as_str(), pool.user.as_str())).collect();
    assert_eq!((names.as_slice(), warnings.len()), ([("one", "a"), ("one", "b"), ("two", "a")].as_slice(), 0), "{warnings:?}");
    assert!(snapshot.pools.iter().all(|pool| pool.pool_size == 3) && snapshot.admin.password == "p");
    // Without files only the defaults are remarked.
    let line = Line { database_urls: vec!["postgres://a:p@h/one".to_owned()], ..Line::default() };
    let Loaded { snapshot, warnings } = load(&Inputs { line: &line, ..Inputs::default() }).unwrap();
    assert_eq!((snapshot.pools.len(), warnings.len()), (1, 2), "{warnings:?}");
    assert_eq!(warnings[0], "the main file (pgdog.toml) is missing, so every setting has its default");
}

#[test]
fn the_environment_counts_up_to_the_first_gap_and_gives_way_to_the_line() {
    let env = |name: &str| match name {
        "PGDOG_DATABASE_URL_1" => Some("postgres://a:p@h/one".to_owned()),
        "PGDOG_DATABASE_URL_2" => Some("postgres://a:p@h/two".to_owned()),
        "PGDOG_DATABASE_URL_4" => Some("postgres://a:p@h/four".to_owned()),
        _ => None,
    };
    let names = |urls: &[&str]| run(urls, &env).unwrap().snapshot.pools.iter().map(|pool| pool.database.clone()).collect::<Vec<_>>();
    assert_eq!(names(&[]), ["one", "two"]);
    assert_eq!(names(&["postgres://a:p@h/three"]), ["three"]);
}

#[test]
fn what_is_wrong_is_told_with_its_number_and_without_the_url() {
    for (url, expected) in [
        ("mysql://a:sesame@h/d", "this is not the URL of a database: it has to begin with postgres:// or postgresql://"),
        ("postgres://a:sesame@h1,h2/d", "this is not the URL of a database: it names several hosts; only one server per database is built"),
        (
            "postgres://a:sesame%2@h/d",
            "this is not the URL of a database: a % in it is not followed by two hexadecimal digits; write %25 for the sign itself",
        ),
        ("postgres://a:sesame%ff@h/d", "this is not the URL of a database: decoded, it is not UTF-8"),
        ("postgres://a:sesame%00@h/d", "this is not the URL of a database: it has a zero byte in it"),
        ("postgres://a:sesame@[::1/d", "this is not the URL of a database: the bracket of its address is not closed"),
        ("postgres://a:sesame@h:port/d", "`port` in a URL has to be an integer from 1 to 65535"),
        ("postgres://a:sesame@h/d?pool_size=0", "`pool_size` in a URL has to be an integer of connections from 1 to 262143"),
        (
            "postgres://a:sesame@h/d?role=replica",
            "[[databases]]: `role` = \"replica\" is not built yet, and to ignore it would not be safe; remove it or set it to \"primary\"",
        ),
        (
            "postgres://a:sesame@h/d?sslmode=verify-full",
            "`sslmode` in a URL asks for encryption to the server, which is not built yet, and to ignore it would not be safe; remove it",
        ),
    ] {
        let problems = run(&["postgres://a:p@h/fine", url], &|_| None).expect_err(url);
        assert_eq!(problems, [format!("--database-url, number 2: {expected}")]);
    }
    let problems = run(&["postgres://a:sesame@h/d", "postgres://a:sesame@h2/d", "postgres://a:sesame2@h/d"], &|_| None).unwrap_err();
    assert_eq!(
        problems,
        [
            "--database-url, number 2: [[databases]]: `name` \"d\" with `shard` = 0 is used in URL 1 already; give the shards of one database \
             different numbers. A second server for the same shard is not built yet",
            "--database-url, number 3: [[users]]: `name` \"a\" with `database` \"d\" stands in URL 1 already; remove one",
        ]
    );
    let Loaded { warnings, .. } = run(&["postgres://a@h/d?application_name=x"], &|_| None).unwrap();
    assert_eq!(
        warnings,
        [
            "--database-url, number 1: the key \"application_name\" is not known and changes nothing",
            "--database-url, number 1: it has no password, so the password is \"postgres\", as in PgDog",
        ]
    );
}
