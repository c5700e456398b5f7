//! The md5 method: against PostgreSQL's stored form, and both roles against each other.

use super::*;
use crate::wire::mutate::survives;

#[test]
fn the_stored_form_is_that_of_postgresql() {
    // `SET password_encryption = md5; CREATE ROLE alice PASSWORD 'secret'` on PostgreSQL 15.
    assert_eq!(stored(b"alice", b"secret"), "md54a0a68b43b6cd5cf266fa02f196e2371");
    assert!(is_stored("md54a0a68b43b6cd5cf266fa02f196e2371"));
    for other in
        ["", "md5", "md5ssss", "md54a0a68b43b6cd5cf266fa02f196e237", "md54A0A68b43b6cd5cf266fa02f196e2371", "MD54a0a68b43b6cd5cf266fa02f196e2371"]
    {
        assert!(!is_stored(other), "{other}");
    }
}

#[test]
fn both_roles_agree_and_only_on_the_right_password() {
    let salt = [0, 0xff, 7, b'\''];
    let answer = response(b"alice", b"secret", salt);
    assert_eq!((answer.len(), &answer[..3]), (LENGTH, "md5"));
    assert_eq!(answer, response_from_stored(&stored(b"alice", b"secret"), salt));
    assert!(verify(b"alice", b"secret", salt, answer.as_bytes()));
    assert!(verify_stored(&stored(b"alice", b"secret"), salt, answer.as_bytes()));
    assert!(!verify(b"alice", b"Secret", salt, answer.as_bytes()));
    assert!(!verify(b"bob", b"secret", salt, answer.as_bytes()));
    assert!(!verify(b"alice", b"secret", [0; 4], answer.as_bytes()));
    assert!(!verify(b"alice", b"secret", salt, b""));
    // The password itself in place of its stored form proves nothing.
    assert!(!verify_stored("secret", salt, response_from_stored("secret", salt).as_bytes()));
}

#[test]
fn damaged_answers_are_refused() {
    let salt = [1, 2, 3, 4];
    let answer = response(b"u", b"p", salt);
    survives(&[answer.as_bytes()], 5_000, |bytes| assert!(bytes == answer.as_bytes() || !verify(b"u", b"p", salt, bytes)));
}
