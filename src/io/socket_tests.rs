//! Tests of the socket's file: whose it is, and who may take it.

use super::*;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pg_dog-{}-{name}", std::process::id()))
}

#[test]
fn a_socket_that_is_listened_on_is_taken_and_one_that_a_dead_process_left_is_replaced() {
    let path = path("taken");
    let first = unix_listener(&path, 0o600).expect("nobody is there");
    assert_eq!(unix_listener(&path, 0o600).map_err(|error| error.kind()), Err(io::ErrorKind::AddrInUse));
    assert_eq!(std::fs::metadata(&path).map(|found| found.permissions().mode() & 0o777).ok(), Some(0o600));
    close(first);
    let second = unix_listener(&path, 0o666).expect("nobody listens any more");
    assert_eq!(std::fs::metadata(&path).map(|found| found.permissions().mode() & 0o777).ok(), Some(0o666));
    close(second);
    std::fs::remove_file(&path).expect("it is ours");
}

#[test]
fn the_end_of_one_process_leaves_the_socket_of_its_successor() {
    let path = path("successor");
    let old = unix_listener(&path, 0o600).expect("nobody is there");
    let file = file_of(&path).expect("it was made");
    // Both exist for a moment, so that the new one is another file for sure.
    let aside = path.with_extension("old");
    std::fs::rename(&path, &aside).expect("it is ours");
    let new = unix_listener(&path, 0o600).expect("the path is free");
    remove(&path, file);
    assert!(path.exists(), "it is the successor's");
    let file = file_of(&path).expect("it is there");
    remove(&path, file);
    assert!(!path.exists(), "now it is our own");
    std::fs::remove_file(&aside).expect("it is ours");
    [old, new].into_iter().for_each(close);
}
