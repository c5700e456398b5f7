//! The rules of the house that a machine can check, over every file of the tree. Each rule is plain text matching over a file whose comments
//! and literals are blanked out; each carries samples that it must flag, so no rule can rot into one that never fails.
//!
//! Limits are ratchets: an exception stands in a list below with its number and its reason, and must go when it is no longer needed.

use std::fs;
use std::path::{Path, PathBuf};

/// Which folder of `src` may import which (DESIGN.md, "The house"). A folder may always import itself.
const IMPORTS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("sql", &[]),
    ("config", &[]),
    ("io", &[]),
    ("route", &["wire", "sql", "config"]),
    ("pool", &["config"]),
    ("auth", &["wire", "config"]),
    ("session", &["wire", "sql", "auth", "route", "config"]),
    ("replication", &["wire", "sql", "route", "config"]),
    ("admin", &["wire", "config"]),
    // `auth` for the verifiers that logins share, `admin` for the plain report that a core sends: both are data, neither is reached through.
    ("mail", &["pool", "session", "config", "route", "auth", "admin"]),
    ("engine", &["wire", "sql", "config", "io", "route", "pool", "auth", "session", "replication", "admin", "mail"]),
    ("control", &["wire", "sql", "config", "io", "route", "pool", "auth", "session", "replication", "admin", "mail"]),
];

/// What lies directly in `src`; everything else lies in a folder of the table.
const TOP_FILES: &[&str] = &["main.rs", "lib.rs", "boot.rs", "mail.rs"];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 150;

/// Files over `FILE_LINES`: path, lines allowed, why.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Functions over `FUNCTION_LINES`: path and name as `src/x/y.rs::f`, lines allowed, why.
const LONG_FUNCTIONS: &[(&str, usize, &str)] = &[];

/// Files outside `io` that say `unsafe`: path, how many times, why.
const UNSAFE: &[(&str, usize, &str)] = &[];

/// Where the machine may be touched; the rest gets time, bytes, nonces and file contents as arguments.
const MACHINE: &[&str] = &["src/io/", "src/engine/", "src/control/", "src/main.rs", "src/boot.rs"];

/// What touches the machine.
#[rustfmt::skip]
const TOUCHES: &[&str] = &[
    "Instant::now", "SystemTime", "UNIX_EPOCH", "clock_gettime", // the clock
    "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "UnixDatagram", "ToSocketAddrs", "socket2", // sockets
    "glommio", "io_uring", "tokio", "thread::spawn", "thread::Builder", "signal_hook", // what runs things
    "getrandom", "rand::", "thread_rng", "RandomState", "OsRng", // chance
    "std::fs", "fs::", "File::open", "File::create", "OpenOptions", // files
    "static mut", "thread_local!", "lazy_static!", // mutable statics; typed ones are found by `mutable_statics`
];

/// Types that make a `static` mutable.
const MUTABLE: &[&str] = &["Atomic", "Mutex", "RwLock", "Once", "Lazy", "Cell", "ArcSwap"];

/// One file of the tree.
struct File {
    /// relative to the package, with `/`
    path: String,
    text: String,
    /// Rust only: `text` with comments and literals blanked, newlines kept
    code: String,
    /// `code` without `#[cfg(test)]` items; empty for test files
    live: String,
}

impl File {
    fn new(path: &str, text: &str) -> File {
        let code = if path.ends_with(".rs") { blank_comments_and_literals(text) } else { String::new() };
        let live = if path.ends_with("_tests.rs") || !path.starts_with("src/") { String::new() } else { blank_test_items(&code) };
        File { path: path.to_string(), text: text.to_string(), code, live }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The folder of `src` this file belongs to; None for `main.rs`, `lib.rs`, `boot.rs` (which joins all) and everything outside `src`.
    fn folder(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        match rest.split_once('/') {
            Some((folder, _)) => Some(folder),
            None if rest == "main.rs" || rest == "lib.rs" || rest == "boot.rs" => None,
            None => rest.strip_suffix(".rs"),
        }
    }
}

// ---- reading Rust, as far as the rules need it ----

/// Replaces comments and the insides of string and character literals by blanks. Same length in characters, same lines.
fn blank_comments_and_literals(text: &str) -> String {
    let c: Vec<char> = text.chars().collect();
    let mut out = c.clone();
    let mut i = 0;
    while i < c.len() {
        let word_before = i > 0 && is_word(c[i - 1]);
        let end = match c[i] {
            '/' if c.get(i + 1) == Some(&'/') => (i..c.len()).find(|&j| c[j] == '\n').unwrap_or(c.len()),
            '/' if c.get(i + 1) == Some(&'*') => end_of_block_comment(&c, i),
            '"' => end_of_string(&c, i),
            'r' | 'b' | 'c' if !word_before => end_of_prefixed_string(&c, i),
            '\'' => end_of_char(&c, i),
            _ => i,
        };
        for at in &mut out[i..end] {
            if *at != '\n' {
                *at = ' ';
            }
        }
        i = end.max(i + 1);
    }
    out.into_iter().collect()
}

fn end_of_block_comment(c: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (1, start + 2);
    while i < c.len() && depth > 0 {
        match (c[i], c.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    i.min(c.len())
}

fn end_of_string(c: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < c.len() && c[i] != '"' {
        i += if c[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(c.len())
}

/// For `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`; `start` itself when it is none of them.
fn end_of_prefixed_string(c: &[char], start: usize) -> usize {
    let mut i = start;
    while i < c.len() && i < start + 2 && matches!(c[i], 'r' | 'b' | 'c') {
        i += 1;
    }
    let raw = c[start..i].contains(&'r');
    let hashes = c[i..].iter().take_while(|x| **x == '#').count();
    if c.get(i + hashes) != Some(&'"') || (hashes > 0 && !raw) {
        return start;
    }
    if !raw {
        return end_of_string(c, i);
    }
    let mut at = i + hashes + 1;
    while at < c.len() {
        if c[at] == '"' && c[at + 1..].iter().take(hashes).filter(|x| **x == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    c.len()
}

/// For `'x'`, `'\n'`, `'\u{1}'`; `start` itself for a lifetime.
fn end_of_char(c: &[char], start: usize) -> usize {
    match (c.get(start + 1), c.get(start + 2)) {
        (Some('\\'), _) => (start + 3..c.len()).find(|&j| c[j] == '\'').map_or(c.len(), |j| j + 1),
        (Some(_), Some('\'')) => start + 3,
        _ => start,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `code`, not as a part of a longer word.
fn find_words(code: &str, word: &str) -> Vec<usize> {
    let starts_word = word.starts_with(is_word);
    let ends_word = word.ends_with(is_word);
    let fits = |at: usize| {
        let before = code[..at].chars().next_back().is_some_and(is_word);
        let after = code[at + word.len()..].chars().next().is_some_and(is_word);
        !(starts_word && before || ends_word && after)
    };
    code.match_indices(word).map(|(at, _)| at).filter(|&at| fits(at)).collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The end of the item that starts at `at`: behind its first `;` or behind its first block, whichever comes first outside brackets.
fn end_of_item(code: &str, at: usize) -> usize {
    let (mut brackets, mut braces) = (0usize, 0usize);
    for (i, x) in code[at..].char_indices() {
        match x {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && brackets == 0 {
                    return at + i + 1;
                }
            }
            ';' if brackets == 0 && braces == 0 => return at + i + 1,
            _ => {}
        }
    }
    code.len()
}

/// Removes items under `#[cfg(test)]` and their lines.
fn blank_test_items(code: &str) -> String {
    let mut out = code.to_string();
    while let Some(at) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|mark| out.find(mark)).min() {
        let end = end_of_item(&out, at);
        out.replace_range(at..end, "");
    }
    out
}

/// Every function with a body: name, first line, lines.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in find_words(code, "fn") {
        let name: String = code[at + 2..].trim_start().chars().take_while(|x| is_word(*x)).collect();
        let end = end_of_item(code, at);
        if !name.is_empty() && code[..end].ends_with('}') {
            found.push((name, line_of(code, at), code[at..end].matches('\n').count() + 1));
        }
    }
    found
}

/// The first names behind `crate::` (or a path that means the same in this file), also in nested `use` lists; `*` for a glob.
fn imported(file: &File) -> Vec<(String, usize)> {
    let mut roots = vec!["crate::", "pg_dog::"];
    match file.path.matches('/').count() {
        1 => roots.push("super::"),
        _ if file.path.ends_with("/mod.rs") => roots.push("super::"),
        _ => roots.push("super::super::"),
    }
    let mut found = Vec::new();
    for root in roots {
        for at in find_words(&file.code, root) {
            let rest = &file.code[at + root.len()..];
            let line = line_of(&file.code, at);
            if let Some(list) = rest.strip_prefix('{') {
                found.extend(first_names(list).into_iter().map(|name| (name, line)));
            } else {
                found.push((first_name(rest), line));
            }
        }
    }
    for at in find_words(&file.code, "crate as") {
        found.push(("*".to_string(), line_of(&file.code, at)));
    }
    found
}

fn first_name(path: &str) -> String {
    if path.trim_start().starts_with('*') {
        return "*".to_string();
    }
    path.trim_start().chars().take_while(|x| is_word(*x)).collect()
}

/// The first name of each entry of a `use` list, whose opening brace is already read.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (1, 0, Vec::new());
    for (i, x) in list.char_indices() {
        match x {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && x == ',') {
            names.push(first_name(&list[start..i]));
            start = i + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

// ---- the rules: each gives the complaints about one file ----

fn imports_point_down(file: &File) -> Vec<String> {
    let Some(folder) = file.folder() else { return Vec::new() };
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == folder) else { return Vec::new() };
    let known = |name: &str| name == "*" || IMPORTS.iter().any(|(folder, _)| *folder == name);
    imported(file)
        .into_iter()
        .filter(|(name, _)| known(name) && name != folder && !allowed.contains(&name.as_str()))
        .map(|(name, line)| format!("line {line}: `{folder}` may not import `{name}`"))
        .collect()
}

fn folders_are_known(file: &File) -> Vec<String> {
    let Some(rest) = file.path.strip_prefix("src/") else { return Vec::new() };
    let good = match rest.split('/').collect::<Vec<_>>()[..] {
        [top] => TOP_FILES.contains(&top),
        [folder, _] => IMPORTS.iter().any(|(name, _)| *name == folder) && folder != "mail",
        _ => false,
    };
    if good { Vec::new() } else { vec!["lies in no folder of the house, or too deep".to_string()] }
}

fn opens_with_its_head(file: &File) -> Vec<String> {
    if !file.is_rust() || file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec!["does not open with a `//!` head that says what it is".to_string()]
}

fn files_are_short(file: &File) -> Vec<String> {
    let lines = file.live.lines().count();
    over(&file.path, lines, FILE_LINES, LONG_FILES).into_iter().collect()
}

fn functions_are_short(file: &File) -> Vec<String> {
    let found = functions(&file.live);
    found.iter().filter_map(|(name, _, lines)| over(&format!("{}::{name}", file.path), *lines, FUNCTION_LINES, LONG_FUNCTIONS)).collect()
}

fn over(what: &str, lines: usize, limit: usize, ratchet: &[(&str, usize, &str)]) -> Option<String> {
    let allowed = ratchet.iter().find(|(name, ..)| *name == what).map_or(limit, |(_, allowed, _)| *allowed);
    (lines > allowed).then(|| format!("{what} has {lines} lines, {allowed} are allowed"))
}

fn lines_are_narrow(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let wide = file.text.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS);
    wide.map(|(i, _)| format!("line {}: wider than {COLUMNS} columns", i + 1)).collect()
}

fn machine_stays_below(file: &File) -> Vec<String> {
    if MACHINE.iter().any(|place| file.path.starts_with(place)) {
        return Vec::new();
    }
    let named = |touch: &str| find_words(&file.live, touch).first().map(|at| (*at, touch.to_string()));
    let mut found: Vec<(usize, String)> = TOUCHES.iter().filter_map(|touch| named(touch)).collect();
    found.extend(mutable_statics(&file.live));
    found.into_iter().map(|(at, what)| format!("`{what}` outside io, engine, control: {}", file.live[at..].lines().next().unwrap_or(""))).collect()
}

fn mutable_statics(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in find_words(code, "static") {
        let declaration = code[at..].split(['=', ';']).next().unwrap_or("");
        let lifetime = code[..at].ends_with('\'');
        if !lifetime && MUTABLE.iter().any(|mutable| declaration.contains(mutable)) {
            found.push((at, "mutable static".to_string()));
        }
    }
    found
}

fn unsafe_stays_in_io(file: &File) -> Vec<String> {
    if !file.path.starts_with("src/") || file.path.starts_with("src/io/") {
        return Vec::new();
    }
    let count = find_words(&file.code, "unsafe").len();
    let allowed = UNSAFE.iter().find(|(path, ..)| *path == file.path).map_or(0, |(_, allowed, _)| *allowed);
    if count <= allowed { Vec::new() } else { vec![format!("says `unsafe` {count} times, {allowed} are allowed: it belongs in io")] }
}

fn names_no_machine(file: &File) -> Vec<String> {
    // Written in two halves, so that this file does not name what it looks for.
    let folders = [concat!("/ro", "ot"), concat!("/wo", "rk"), concat!("/ho", "me")];
    #[rustfmt::skip]
    let hosts = [
        concat!("registry.npm", "js.org"), concat!("py", "pi.org"), concat!("python", "hosted.org"), concat!("crates", ".io"),
        concat!("proxy.go", "lang.org"), concat!("deb.deb", "ian.org"), concat!("gh", "cr.io"), concat!("docker", ".io"),
        concat!("artifact", "ory"), concat!("jfrog", ".io"),
    ];
    let text = file.text.replace(concat!("registry+https://github.com/rust-lang/crates", ".io-index"), "");
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let absolute = |folder: &str| {
            let starts = |at: usize| !line[..at].ends_with(|c: char| is_word(c) || "/.-~}$)".contains(c));
            let ends = |at: usize| !line[at + folder.len()..].starts_with(|c: char| is_word(c) || c == '-');
            line.match_indices(folder).any(|(at, _)| starts(at) && ends(at))
        };
        let bad = folders.iter().find(|folder| absolute(folder)).or_else(|| hosts.iter().find(|host| line.contains(**host)));
        found.extend(bad.map(|what| format!("line {}: names `{what}`", i + 1)));
    }
    found
}

fn nothing_is_unfinished(file: &File) -> Vec<String> {
    let marks = ["todo!", "unimplemented!", "#[ignore", "dbg!", "assert!(true"];
    let at = |mark: &&str| find_words(&file.code, mark).first().map(|at| line_of(&file.code, *at));
    marks.iter().filter_map(|mark| at(mark).map(|line| format!("line {line}: `{mark}`"))).collect()
}

fn nobody_sleeps(file: &File) -> Vec<String> {
    // The one place for a wait is `wait_until`, which takes a condition and a bound.
    if file.path.starts_with("tests/support/") || file.path.starts_with("bench/") {
        return Vec::new();
    }
    let at = ["thread::sleep", "time::sleep", "park_timeout"].iter().flat_map(|word| find_words(&file.code, word));
    at.map(|at| format!("line {}: sleeps", line_of(&file.code, at))).collect()
}

fn words_of_the_house(file: &File) -> Vec<String> {
    if !file.path.starts_with("src/") {
        return Vec::new();
    }
    let bad = |word: &str| {
        let at = find_words(&file.code, word).into_iter().next();
        at.map(|at| format!("line {}: says `{word}`; the house says client and server", line_of(&file.code, at)))
    };
    ["frontend", "frontends", "backend", "backends"].into_iter().filter_map(bad).collect()
}

/// A rule, what it must flag, and what it must let pass: (path, text).
struct Rule {
    name: &'static str,
    check: fn(&File) -> Vec<String>,
    bad: &'static [(&'static str, &'static str)],
    good: &'static [(&'static str, &'static str)],
}

const RULES: &[Rule] = &[
    Rule {
        name: "imports point down",
        check: imports_point_down,
        bad: &[
            ("src/wire/a.rs", "use crate::pool::Pool;"),
            ("src/pool/a.rs", "use crate::{config::X, wire::{a, b}};"),
            ("src/session/a.rs", "fn f() { crate::io::ring::go() }"),
            ("src/session/a.rs", "use super::super::pool;"),
            ("src/auth/mod.rs", "use super::session::X;"),
            ("src/admin/a.rs", "use crate::*;"),
            ("src/admin/a.rs", "use crate as all;"),
            ("src/mail.rs", "use crate::engine::core;"),
            ("src/engine/a.rs", "use crate::control::reload;"),
            ("src/control/a_tests.rs", "use pg_dog::engine::x;"),
        ],
        good: &[
            ("src/session/a.rs", "use crate::{wire::x, auth};\nuse super::pool;\n// crate::io\nuse crate::session::b;"),
            ("src/main.rs", "use pg_dog::engine;"),
            ("src/lib.rs", "use crate::engine;"),
            ("src/engine/core.rs", "use crate::{io::Door, mail, session};"),
        ],
    },
    Rule {
        name: "folders are known and flat",
        check: folders_are_known,
        bad: &[("src/util/a.rs", ""), ("src/wire/deep/a.rs", ""), ("src/helpers.rs", ""), ("src/mail/a.rs", "")],
        good: &[("src/wire/a.rs", ""), ("src/mail.rs", ""), ("tests/a/b/c.rs", "")],
    },
    Rule {
        name: "every file says what it is",
        check: opens_with_its_head,
        bad: &[("src/wire/a.rs", "use x;\n//! late"), ("tests/a.rs", ""), ("src/io/a.rs", "// plain")],
        good: &[("src/wire/a.rs", "//! Frames.\n"), ("README.md", "")],
    },
    Rule { name: "lines are narrow", check: lines_are_narrow, bad: &[], good: &[("src/wire/a.rs", "// short")] },
    Rule {
        name: "clock, socket, chance, files and statics stay in io, engine, control",
        check: machine_stays_below,
        bad: &[
            ("src/pool/a.rs", "fn f() { let t = Instant::now(); }"),
            ("src/session/a.rs", "use std::net::TcpStream;"),
            ("src/auth/a.rs", "fn f() { getrandom::fill(b) }"),
            ("src/config/a.rs", "fn f() { std::fs::read(p) }"),
            ("src/mail.rs", "static COUNT: AtomicU64 = AtomicU64::new(0);"),
            ("src/wire/a.rs", "pub static X: std::sync::OnceLock<u8> = y;"),
            ("src/wire/a.rs", "static mut X: u8 = 0;"),
            ("src/wire/a.rs", "thread_local! { }"),
        ],
        good: &[
            ("src/io/a.rs", "fn f() { Instant::now() }"),
            ("src/pool/a.rs", "static NAMES: &[&str] = &[];\nfn f(x: &'static AtomicU64) { }\n// Instant::now\n"),
            ("src/pool/a.rs", "#[cfg(test)]\nmod tests { use std::fs; }\n"),
            ("src/pool/a_tests.rs", "use std::fs;"),
        ],
    },
    Rule {
        name: "unsafe stays in io",
        check: unsafe_stays_in_io,
        bad: &[("src/wire/a.rs", "fn f() { unsafe { g() } }"), ("src/engine/none.rs", "unsafe impl Send for X {}")],
        good: &[("src/io/a.rs", "unsafe { }"), ("src/wire/a.rs", "#![forbid(unsafe_code)] // unsafe\nlet x = \"unsafe\";")],
    },
    Rule {
        name: "no file names a machine",
        check: names_no_machine,
        bad: &[
            ("README.md", concat!("see /ro", "ot/x")),
            ("shards/start", concat!("cd \"/wo", "rk\"")),
            ("a.sh", concat!("ls /ho", "me/me")),
            ("a.sh", concat!("npm --registry https://registry.npm", "js.org")),
            ("Cargo.lock", concat!("source = \"registry+https://mirror.artifact", "ory/x\"")),
        ],
        good: &[
            ("README.md", "a/work and /workers and $x/home"),
            ("Cargo.lock", concat!("\"registry+https://github.com/rust-lang/crates", ".io-index\"")),
        ],
    },
    Rule {
        name: "nothing is unfinished",
        check: nothing_is_unfinished,
        bad: &[
            ("src/wire/a.rs", "fn f() { todo!() }"),
            ("tests/a.rs", "fn f() { unimplemented!(\"x\") }"),
            ("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"),
            ("tests/a.rs", "assert!(true);"),
        ],
        good: &[("src/wire/a.rs", "// todo!\nlet x = r#\"todo!\"#; ")],
    },
    Rule {
        name: "nobody sleeps",
        check: nobody_sleeps,
        bad: &[("src/control/a.rs", "std::thread::sleep(x);"), ("tests/a.rs", "tokio::time::sleep(x).await;")],
        good: &[("tests/support/mod.rs", "thread::sleep(x)"), ("tests/a.rs", "let sql = \"pg_sleep(1)\";")],
    },
    Rule {
        name: "the words of the house",
        check: words_of_the_house,
        bad: &[("src/pool/a.rs", "struct A { backend: u8 }"), ("src/pool/a.rs", "fn f(frontend: X) {}")],
        good: &[("src/pool/a.rs", "// src/backend/libpq\nlet x = BackendKeyData::new(\"backend\");")],
    },
    Rule { name: "files are short", check: files_are_short, bad: &[], good: &[("src/wire/a.rs", "//! short\n")] },
    Rule { name: "functions are short", check: functions_are_short, bad: &[], good: &[("src/wire/a.rs", "fn f() {}\n")] },
];

// ---- the tree ----

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that belongs to the project: what is built, run or downloaded lies in ignored places.
fn tree() -> Vec<File> {
    let (mut files, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree can be read") {
            let entry = entry.expect("a folder of the tree can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            if [".git", "target", ".run", "__pycache__", "node_modules"].contains(&name.as_str()) || name.ends_with(".log") {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push(File::new(&relative(&entry.path()), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("the tree lies below its root").to_string_lossy().into_owned()
}

#[test]
fn the_tree_is_tidy() {
    let files = tree();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the walk did not find the sources");
    let mut complaints = Vec::new();
    for rule in RULES {
        for file in &files {
            complaints.extend((rule.check)(file).into_iter().map(|complaint| format!("{}: {} ({})", file.path, complaint, rule.name)));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_exception_is_still_needed_and_has_a_reason() {
    let files = tree();
    let mut sizes: Vec<(String, usize)> = files.iter().map(|file| (file.path.clone(), file.live.lines().count())).collect();
    for file in &files {
        sizes.extend(functions(&file.live).into_iter().map(|(name, _, lines)| (format!("{}::{name}", file.path), lines)));
    }
    for (list, limit) in [(LONG_FILES, FILE_LINES), (LONG_FUNCTIONS, FUNCTION_LINES)] {
        for (what, allowed, why) in list {
            let size = sizes.iter().filter(|(name, _)| name == what).map(|(_, size)| *size).max().unwrap_or(0);
            assert!(size > limit, "{what} has {size} lines: it needs no exception any more");
            assert!(size == *allowed && why.len() > 20, "{what} has {size} lines, its exception says {allowed}, because: {why:?}");
        }
    }
    for (path, allowed, why) in UNSAFE {
        let count = files.iter().find(|file| file.path == *path).map_or(0, |file| find_words(&file.code, "unsafe").len());
        assert!(count == *allowed && why.len() > 20, "{path} says `unsafe` {count} times, its exception says {allowed}, because: {why:?}");
        assert!(path.starts_with("src/engine/") || path.starts_with("src/control/") || *path == "src/main.rs", "{path} may not be unsafe at all");
    }
}

#[test]
fn every_rule_flags_its_bad_samples_and_passes_its_good_ones() {
    for rule in RULES {
        for (path, text) in rule.bad {
            assert!(!(rule.check)(&File::new(path, text)).is_empty(), "{}: lets pass {path}: {text}", rule.name);
        }
        for (path, text) in rule.good {
            let complaints = (rule.check)(&File::new(path, text));
            assert!(complaints.is_empty(), "{}: flags {path}: {text}: {complaints:?}", rule.name);
        }
    }
}

#[test]
fn lengths_are_counted_without_tests() {
    let long = format!("//! Head.\n{}", "const X: u8 = 0;\n".repeat(FILE_LINES));
    assert_eq!(files_are_short(&File::new("src/wire/a.rs", &long)).len(), 1);
    assert!(files_are_short(&File::new("src/wire/a_tests.rs", &long)).is_empty());
    let tests = format!("//! Head.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "const X: u8 = 0;\n".repeat(FILE_LINES));
    assert!(files_are_short(&File::new("src/wire/a.rs", &tests)).is_empty());

    let body = |lines: usize| {
        format!("//! Head.\nimpl X {{\n    fn f(a: [u8; 3]) -> u8 {{\n{}    }}\n    fn g() {{}}\n}}\n", "        x();\n".repeat(lines))
    };
    assert!(functions_are_short(&File::new("src/wire/a.rs", &body(FUNCTION_LINES - 2))).is_empty());
    let complaints = functions_are_short(&File::new("src/wire/a.rs", &body(FUNCTION_LINES - 1)));
    assert_eq!(complaints, ["src/wire/a.rs::f has 71 lines, 70 are allowed"]);
}

#[test]
fn columns_are_counted_as_characters() {
    assert!(lines_are_narrow(&File::new("src/wire/a.rs", &format!("//! {}", "ü".repeat(COLUMNS - 4)))).is_empty());
    assert_eq!(lines_are_narrow(&File::new("src/wire/a.rs", &format!("//! Head.\n//! {}", "u".repeat(COLUMNS - 3)))).len(), 1);
}

#[test]
fn an_exception_raises_its_limit_and_no_other() {
    let ratchet: &[(&str, usize, &str)] = &[("src/wire/a.rs", 610, "one table")];
    assert_eq!(over("src/wire/a.rs", 610, 600, ratchet), None);
    assert!(over("src/wire/a.rs", 611, 600, ratchet).is_some());
    assert!(over("src/wire/b.rs", 601, 600, ratchet).is_some());
}

#[test]
fn comments_and_literals_are_blanked_and_nothing_else() {
    let text = "a /* b /* c */ d */ e // f\n\"g\\\"h\" 'i' '\\'' &'j k r#\"l\"m\"# b\"n\" br\"o\\\" r#type p";
    let code = blank_comments_and_literals(text);
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "e", "&'j", "k", "r#type", "p"]);
    assert_eq!(code.chars().count(), text.chars().count());
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn the_import_table_has_no_cycle() {
    // Walks down from every folder; a folder that reaches itself is in a cycle.
    for (start, direct) in IMPORTS {
        let mut open: Vec<&str> = direct.to_vec();
        let mut seen: Vec<&str> = Vec::new();
        while let Some(folder) = open.pop() {
            assert_ne!(folder, *start, "{start} reaches itself");
            if !seen.contains(&folder) {
                seen.push(folder);
                let row = IMPORTS.iter().find(|(name, _)| *name == folder);
                open.extend(row.expect("every imported folder has a row").1);
            }
        }
    }
}
