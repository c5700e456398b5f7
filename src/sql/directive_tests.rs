//! Directives in comments: those PgDog knows, as it reads them.

use super::*;

fn read(comment: &str) -> Directives {
    let mut directives = Directives::default();
    directives.comment(0, comment.as_bytes());
    directives
}

fn key(comment: &str) -> Option<&str> {
    read(comment).key.map(|range| &comment[range])
}

#[test]
fn shards_keys_and_roles_are_read() {
    assert_eq!(read("/* pgdog_shard: 1 */").shard, Some(1));
    assert_eq!(read("/*pgdog_shard:12*/").shard, Some(12));
    assert_eq!(read("/* pgdog_role: primary */").role, Some(Role::Primary));
    assert_eq!(read("/* pgdog_role: replica, pgdog_shard: 0 */").role, Some(Role::Replica));
    assert_eq!(read("/* pgdog_role: replica, pgdog_shard: 0 */").shard, Some(0));
    assert_eq!(key("/* pgdog_sharding_key: 123 */"), Some("123"));
    assert_eq!(key("/* pgdog_sharding_key: a-B-9 */"), Some("a-B-9"));
    assert_eq!(key("/* pgdog_sharding_key: \"a b\" */"), Some("a b"));
    assert_eq!(key("/* pgdog_sharding_key: 'x_y' */"), Some("x_y"));
    assert_eq!(key("/* pgdog_sharding_key: '' */"), Some(""));
    assert_eq!(key("/* dddbs='x', pgdog_sharding_key: 5,traceparent='pgdog' */"), Some("5"));
}

#[test]
fn the_first_of_several_holds() {
    let mut directives = read("/* pgdog_shard: 1 */");
    directives.comment(50, b"/* pgdog_shard: 0 pgdog_sharding_key: 5 */");
    assert_eq!(directives.shard, Some(1));
    assert_eq!(directives.key, Some(50 + 38..50 + 39));
}

#[test]
fn other_comments_say_nothing() {
    for comment in ["/* */", "/* shard: 1 */", "/* pgdog_shards: 1 */", "/* pgdog_shard = 1 */", "/* PGDOG_SHARD: 1 */", "/* pgdog_ */", "/* pgdog"] {
        assert!(read(comment).is_empty(), "{comment}");
    }
}

#[test]
fn what_cannot_be_read_is_not_passed_over() {
    for comment in [
        "/* pgdog_shard: */",
        "/* pgdog_shard: one */",
        "/* pgdog_shard: -1 */",
        "/* pgdog_shard: 1x */",
        "/* pgdog_shard: 99999999999 */",
        "/* pgdog_role: standby */",
        "/* pgdog_role: primary-ish */",
        "/* pgdog_sharding_key: user_1 */",
        "/* pgdog_sharding_key: 'open */",
        "/* pgdog_sharding_key: */",
    ] {
        assert!(read(comment).broken, "{comment}");
    }
}
