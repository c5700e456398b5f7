//! What the SQL parser does to the process around it: nothing. Built without `-DDEBUG` (.cargo/config.toml) it takes the process's stderr away for
//! the time of each parse, and two at once lose it for good.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::{env, fs, thread};

/// Set in the process that parses while its stderr is watched.
const CHILD: &str = "PARSER_TEST_CHILD";
const THREADS: usize = 4;
const LINES: usize = 500;

/// Writes a line between any two parses and says whether stderr was another file meanwhile.
fn parse_and_log(name: usize) {
    for line in 0..LINES {
        let parsed = pg_query::parse("SELECT a, b FROM t WHERE c = 5 AND d = 'x'", 0).expect("it is a statement");
        assert_eq!(parsed.protobuf.stmts.len(), 1);
        eprintln!("thread {name} line {line}");
    }
}

#[test]
fn parsing_on_four_threads_leaves_the_log_alone() {
    if env::var_os(CHILD).is_some() {
        thread::scope(|scope| (0..THREADS).for_each(|name| drop(scope.spawn(move || parse_and_log(name)))));
        return;
    }
    let path = env::temp_dir().join(format!("pg_dog-parser-{}.log", std::process::id()));
    let log = File::create(&path).expect("a file in the temporary folder");
    assert!(log.as_raw_fd() > 2);
    let mut child = Command::new(env::current_exe().expect("this program"));
    child.args(["--exact", "parsing_on_four_threads_leaves_the_log_alone", "--nocapture"]).env(CHILD, "1").stderr(log);
    let status = child.status().expect("it starts");
    let text = fs::read_to_string(&path).expect("it was written");
    fs::remove_file(&path).expect("it was there");
    assert!(status.success(), "{text}");
    for name in 0..THREADS {
        for line in 0..LINES {
            assert!(text.contains(&format!("thread {name} line {line}\n")), "line {line} of thread {name} is lost");
        }
    }
}
