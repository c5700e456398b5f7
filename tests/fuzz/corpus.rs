//! The inputs that every target begins with: files of `corpus/<target>/`. The ones that scripted conversations make are compared with what the
//! scripts make now (`PG_DOG_CORPUS=write` writes them); files named `found-*` once failed and are kept as they are.

use std::fs;
use std::path::PathBuf;

use crate::{fields, frames, greetings, logins, pools, scram, sessions};

/// All files together, in bytes.
const CORPUS_MAX: usize = 100 * 1024;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The corpus of a target: names and bytes, in order.
pub fn read(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("corpus of {target}: {error}"));
    let mut all: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("a folder of the tree can be read").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (name, fs::read(&path).expect("a file of the tree can be read"))
        })
        .collect();
    all.sort();
    all
}

/// The corpus in the tree is the one that the scripts make.
pub fn compare() {
    let all = [
        ("frames", frames::corpus()),
        ("fields", fields::corpus()),
        ("scram", scram::corpus()),
        ("logins", logins::corpus()),
        ("greetings", greetings::corpus()),
        ("sessions", sessions::corpus()),
        ("pools", pools::corpus()),
    ];
    let mut total = 0;
    for (target, made) in all {
        let folder = folder(target);
        if std::env::var("PG_DOG_CORPUS").is_ok_and(|what| what == "write") {
            fs::create_dir_all(&folder).expect("the tree can be written");
            made.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).expect("the tree can be written"));
        }
        let mut kept = read(target);
        total += kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        kept.retain(|(name, _)| !name.starts_with("found-"));
        let mut made: Vec<(String, Vec<u8>)> = made.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect();
        made.sort();
        assert!(kept == made, "the corpus of {target} is not what its script makes: PG_DOG_CORPUS=write, and look at the difference");
    }
    assert!(total <= CORPUS_MAX, "{total} bytes of corpus");
}
