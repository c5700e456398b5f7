//! Secrets: equality, and what Debug shows.

use super::*;

#[test]
fn equality_is_that_of_bytes() {
    assert!(constant_time_eq(b"", b"") && constant_time_eq(b"abc", b"abc"));
    assert!(!constant_time_eq(b"abc", b"abd") && !constant_time_eq(b"abc", b"ab") && !constant_time_eq(b"", b"a"));
    assert_eq!(Secret::new("a"), Secret::new("a"));
    assert_ne!(Secret::new("a"), Secret::new("b"));
}

#[test]
fn debug_hides_the_text() {
    let secret = Secret::new("hunter2");
    assert_eq!((format!("{secret:?}"), secret.reveal()), ("Secret(..)".to_owned(), "hunter2"));
}
