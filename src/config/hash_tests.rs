//! Tests of what counts as a stored password.

use super::*;

#[test]
fn only_whole_hashes_are_hashes() {
    let key = BASE64_STANDARD.encode([7; KEY]);
    let scram = |iterations: &str, salt: &str, stored: &str, server: &str| format!("SCRAM-SHA-256${iterations}:{salt}${stored}:{server}");
    for text in ["md50123456789abcdef0123456789abcdef".to_owned(), scram("4096", "c2FsdA==", &key, &key), scram("1000000", "c2FsdA==", &key, &key)] {
        let kept = match parsed(&text) {
            Some(Hash::Md5(kept)) if text.starts_with("md5") => kept,
            Some(Hash::Scram(kept)) if !text.starts_with("md5") => kept,
            _ => panic!("{text}"),
        };
        assert_eq!(kept, text);
    }
    for text in [
        String::new(),
        "secret".to_owned(),
        "md50123456789abcdef0123456789abcde".to_owned(),
        "md50123456789ABCDEF0123456789abcdef".to_owned(),
        scram("0", "c2FsdA==", &key, &key),
        scram("1000001", "c2FsdA==", &key, &key),
        scram("+5", "c2FsdA==", &key, &key),
        scram("4096", "", &key, &key),
        scram("4096", "c2FsdA", &key, &key),
        scram("4096", "c2FsdA==", &key[1..], &key),
        scram("4096", "c2FsdA==", &key, ""),
        format!("{}$", scram("4096", "c2FsdA==", &key, &key)),
        scram("4096", "c2FsdA==", &key, &key).replace("SCRAM-SHA-256", "SCRAM-SHA-1"),
    ] {
        assert!(parsed(&text).is_none(), "{text}");
    }
}
