//! Whether `name (` calls a function, and whose. A list of columns, a type's length, a word of the grammar and an alias are no calls; a function is
//! PostgreSQL's own by its bare name or behind `pg_catalog.`. A function of a user that has the name of one of PostgreSQL's own, with other argument
//! types, is taken for the latter.

use super::lex::{Kind, Lexer, Token};
use super::may::May;
use super::own::{Known, known};

/// A name with what is in front of it: `a.b.c`, its last part in `last`.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// from the first part to the last; of the kind of the last
    pub token: Token,
    /// where the last part begins
    pub last: usize,
    /// some part is quoted
    pub quoted: bool,
}

/// What the text may do by `name (`, given the token before the name; the lexer stands behind the parenthesis.
pub fn call(lexer: &Lexer<'_>, before: Token, name: Name) -> May {
    let word = &lexer.text[name.last..name.token.end];
    let alone = !name.quoted && name.last == name.token.start;
    if matches!(word.len(), 7) && is_one(word, &["currval", "lastval"]) {
        return May::SEQUENCES;
    }
    if alone && known(word) != Known::Unknown || follows_no_call(lexer, before) {
        return May::NOTHING;
    }
    if name.quoted {
        return May::CALLS;
    }
    if !alone {
        return match &lexer.text[name.token.start..name.last] {
            schema if schema.eq_ignore_ascii_case(b"pg_catalog.") && known(word) == Known::Function => May::NOTHING,
            // Only a superuser makes functions there.
            schema if schema.eq_ignore_ascii_case(b"information_schema.") => May::NOTHING,
            schema if schema.eq_ignore_ascii_case(b"pg_catalog.") => special(word),
            _ => May::CALLS,
        };
    }
    if is_grammar(lexer, before, word) { May::NOTHING } else { special(word) }
}

/// They make a replication slot, which may be temporary.
const SLOTS: [&str; 4] = [
    "pg_create_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_copy_logical_replication_slot",
];

/// PostgreSQL's own that leave something in the session, and everything else.
fn special(word: &[u8]) -> May {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("set_config") {
        return May::SETS;
    }
    if ["pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"].into_iter().any(is) {
        return May::LOCKS;
    }
    if ["pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all"].into_iter().any(is) {
        return May::FREES;
    }
    // A temporary slot belongs to its session.
    if is_one(word, &SLOTS) {
        return May::CALLS.with(May::TEMPORARY);
    }
    May::CALLS
}

/// Behind these words a name with a parenthesis is a table or alias with its columns, or a prepared statement.
fn follows_no_call(lexer: &Lexer<'_>, before: Token) -> bool {
    const WORDS: [&str; 11] = ["into", "as", "with", "recursive", "table", "exists", "references", "copy", "execute", "prepare", "only"];
    match before.kind {
        // A type's length: `x::vector(3)`.
        Kind::Cast => true,
        Kind::Word => is_one(lexer.bytes(before), &WORDS),
        _ => false,
    }
}

/// Words that may be the name of a function and may be grammar, told apart by what is before them.
fn is_grammar(lexer: &Lexer<'_>, before: Token, word: &[u8]) -> bool {
    let behind = |words: &[&str]| before.kind == Kind::Word && is_one(lexer.bytes(before), words);
    let operand = match before.kind {
        Kind::Word => known(lexer.bytes(before)) != Known::Keyword,
        Kind::Quoted | Kind::Text | Kind::Number | Kind::Mark(b')' | b']') => true,
        _ => false,
    };
    let starts = matches!(before.kind, Kind::End | Kind::Mark(b';'));
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match word.len() {
        2 if is("by") => behind(&["group", "order", "partition"]),
        3 if is("set") => operand,
        3 if is("key") => behind(&["primary", "foreign"]),
        4 if is("copy") => starts,
        4 if is("sets") => behind(&["grouping"]),
        4 if is("over") => before.kind == Kind::Mark(b')'),
        4 if is("join") => operand || behind(&["left", "right", "full", "inner", "outer", "cross", "natural"]),
        4 if is("like") => operand || behind(&["not"]),
        4 if is("zone") => behind(&["time"]),
        5 if is("ilike") => operand || behind(&["not"]),
        6 if is("filter") => before.kind == Kind::Mark(b')'),
        6 if is("insert") => behind(&["then"]),
        7 if is("explain") => starts,
        7 if is("columns") => operand,
        7 if is("varying") => behind(&["character", "char", "bit", "nchar"]),
        8 if is("overlaps") => operand,
        8 if is("conflict") => behind(&["on"]),
        8 if is("operator") => lexer.text[lexer.at..].trim_ascii_start().get(..11).is_some_and(|schema| schema.eq_ignore_ascii_case(b"pg_catalog.")),
        10 if is("repeatable") => before.kind == Kind::Mark(b')'),
        12 if is("materialized") => behind(&["not"]),
        _ => false,
    }
}

/// Words that are grammar in GROUP BY, and elsewhere may be a function: see `calls_cube`.
pub fn may_group(word: &[u8]) -> bool {
    matches!(word.len(), 4 | 6) && is_one(word, &["cube", "rollup"])
}

/// Whether a text calls a function `cube` or `rollup`: one that is no item of GROUP BY or of its GROUPING SETS.
pub fn calls_cube(text: &[u8]) -> bool {
    /// They end the items of GROUP BY, or begin something in the midst of them.
    const ENDS: [&str; 12] = ["select", "from", "where", "having", "window", "order", "limit", "offset", "fetch", "for", "values", "set"];
    let mut lexer = Lexer::new(text, 0);
    // How deep in parentheses, where GROUP BY stands, and where the items of its GROUPING SETS.
    let (mut depth, mut groups, mut sets) = (0u32, None, None);
    let mut before = [Token::NONE; 2];
    loop {
        let token = lexer.token();
        let is = |token: Token, words: &[&str]| token.kind == Kind::Word && is_one(lexer.bytes(token), words);
        match token.kind {
            Kind::End | Kind::Lost => return false,
            Kind::Word if is(token, &["group"]) => (groups, sets) = (Some(depth), None),
            Kind::Word if is(token, &ENDS) => (groups, sets) = (None, None),
            Kind::Mark(b'(') => {
                let item = matches!(before[1].kind, Kind::Mark(b',' | b'(')) || is(before[1], &["by", "distinct", "all"]);
                let grammar = item && (groups == Some(depth) || sets == Some(depth));
                if before[0].kind == Kind::Word && may_group(lexer.bytes(before[0])) && !grammar {
                    return true;
                }
                depth += 1;
                if is(before[0], &["sets"]) && is(before[1], &["grouping"]) {
                    sets = Some(depth);
                }
            }
            Kind::Mark(b')') => {
                depth = depth.saturating_sub(1);
                groups = groups.filter(|at| *at <= depth);
                sets = sets.filter(|at| *at <= depth);
            }
            Kind::Mark(b';') => (depth, groups, sets) = (0, None, None),
            _ => {}
        }
        before = [token, before[0]];
    }
}

/// Whether `word` is one of `words`, in any case.
pub fn is_one(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}
