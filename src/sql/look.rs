//! One pass over a text: what it may do to the session that runs it. It errs on the side of suspicion, which costs a question to the server; what it
//! does not suspect is taken for granted.
//!
//! No text shows, and nothing here says: what triggers, rules, views, casts and operators of users do; a function of a user with the name of one of
//! PostgreSQL's own; a table made in `pg_temp` because search_path says so; `setseed`, whose state nobody can ask for.
//!
//! Cost: a few nanoseconds per word, and a look-up per `name (`. Every byte is read once, and once more when there is a reason (`again`).

use super::calls::{Name, call, calls_cube, is_one, may_group};
use super::lex::{Kind, Lexer, Token, raw_words};
use super::may::May;
use super::single;
pub use super::single::{Statement, Word};

/// What a text is and what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look<'a> {
    pub statement: Statement<'a>,
    /// beyond what `statement` says
    pub may: May,
}

/// Looks at a whole text, without the zero byte behind it.
pub fn look(text: &[u8]) -> Look<'_> {
    let mut pass = Pass::new(text);
    if !pass.run() {
        return Look { statement: Statement::Other, may: May::ANYTHING };
    }
    pass.again();
    let statement = match pass.statements {
        0 => Statement::Empty,
        1 if pass.session => single::read(Lexer::new(text, pass.first)),
        _ => Statement::Other,
    };
    let said = if statement == Statement::Other { May::NOTHING } else { SAID };
    Look { statement, may: pass.may | pass.starts.without(said) }
}

/// Suspicions of a statement's first word that `Statement` answers.
const SAID: May = May::SETS.with(May::LISTENS).with(May::PREPARES).with(May::BEGINS);

/// What is to be looked for in a second pass.
#[derive(Clone, Copy, Default)]
struct Wanted {
    /// it may be PL/pgSQL
    code: bool,
    /// `hold`, of a cursor
    hold: bool,
    /// `execute`, of EXPLAIN or CREATE TABLE AS
    execute: bool,
    /// a function called behind a parenthesis, unless it is an alias: what tells is `distinct`, `returning` or `operator`
    alias: bool,
    /// `cube` or `rollup`, which are functions unless they stand in GROUP BY
    cube: bool,
    /// a function called in a CREATE TABLE, which is run only if there is a query: `as`
    query: bool,
}

/// Whether what a statement calls is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    Yes,
    /// if it is CREATE TABLE AS
    IfQuery,
    No,
}

struct Pass<'a> {
    lexer: Lexer<'a>,
    /// statements that are not empty
    statements: u32,
    /// where the first begins
    first: usize,
    /// its first word is one that `single` knows
    session: bool,
    /// of this statement
    runs: Runs,
    /// what the statements' first words make suspicious
    starts: May,
    /// all the rest
    may: May,
    wanted: Wanted,
}

impl<'a> Pass<'a> {
    fn new(text: &'a [u8]) -> Pass<'a> {
        let lexer = Lexer::new(text, 0);
        Pass { lexer, statements: 0, first: 0, session: false, runs: Runs::Yes, starts: May::NOTHING, may: May::NOTHING, wanted: Wanted::default() }
    }

    /// Reads all; false when the text cannot be read for sure.
    fn run(&mut self) -> bool {
        let nobody = Name { token: Token::NONE, last: 0, quoted: false };
        // The token before the name, the name, and whether a dot stands behind it.
        let (mut before, mut name, mut dotted, mut fresh) = (Token::NONE, nobody, false, true);
        loop {
            let token = self.lexer.step();
            if fresh && !matches!(token.kind, Kind::End | Kind::Lost | Kind::Mark(b';')) {
                self.start(token);
                fresh = false;
            }
            match token.kind {
                Kind::Word => self.word(name.token, token),
                Kind::Quoted if !self.quoted(token) => return false,
                Kind::Text => self.string(token),
                Kind::End => return true,
                Kind::Lost => return false,
                Kind::Mark(b'(') => self.open(before, name),
                Kind::Mark(b';') => fresh = true,
                _ => {}
            }
            let part = matches!(token.kind, Kind::Word | Kind::Quoted);
            if part && dotted {
                let whole = Token { start: name.token.start, ..token };
                name = Name { token: whole, last: token.start, quoted: name.quoted || token.kind == Kind::Quoted };
                dotted = false;
            } else if token.kind == Kind::Mark(b'.') && matches!(name.token.kind, Kind::Word | Kind::Quoted) {
                dotted = true;
            } else {
                before = name.token;
                name = Name { token, last: token.start, quoted: token.kind == Kind::Quoted };
                dotted = false;
            }
        }
    }

    /// A word, and what stands before it.
    #[inline]
    fn word(&mut self, before: Token, token: Token) {
        let word = self.lexer.bytes(token);
        let temporary = match word[0] | 0x20 {
            // Elsewhere it is a column's name.
            b't' if matches!(word.len(), 4 | 9) && is_one(word, &["temp", "temporary"]) => {
                before.kind == Kind::Word && is_one(self.lexer.bytes(before), &["create", "replace", "local", "global", "into"])
            }
            b'p' => names_temporary(word),
            _ => false,
        };
        if temporary {
            self.may |= May::TEMPORARY;
        }
    }

    /// False for `U&"..."`, which may say anything.
    fn quoted(&mut self, token: Token) -> bool {
        if raw_words(self.lexer.bytes(token)).any(names_temporary) {
            self.may |= May::TEMPORARY;
        }
        !matches!(self.lexer.text[..token.start], [.., b'u' | b'U', b'&'])
    }

    /// A literal that PostgreSQL reads as a date may mean today, wherever in it the word stands: `'12:00 today'`, `'{now}'`.
    fn string(&mut self, token: Token) {
        let content = self.lexer.bytes(token);
        let mut words = content.split(|byte| !byte.is_ascii_alphabetic());
        if words.any(|word| matches!(word.len(), 3 | 5 | 8 | 9) && is_one(word, &["now", "today", "tomorrow", "yesterday", "allballs"]))
            || content.contains(&b'\\') && !is_bytes(content)
        {
            self.may |= May::NOW;
        }
    }

    /// `(` behind what may be a name.
    #[inline]
    fn open(&mut self, before: Token, name: Name) {
        if !matches!(name.token.kind, Kind::Word | Kind::Quoted) {
            // In some encodings a name may end with a byte that looks like a mark.
            let at = name.token.start;
            if matches!(name.token.kind, Kind::Mark(b'@'..=b'~')) && at > 0 && self.lexer.text[at - 1] >= 0x80 {
                self.may |= May::CALLS;
            }
            return;
        }
        let may = call(&self.lexer, before, name);
        if may.is_nothing() {
            return;
        }
        match self.runs {
            _ if may != May::CALLS => self.may |= may,
            Runs::No => {}
            _ if may_group(&self.lexer.text[name.last..name.token.end]) => self.wanted.cube = true,
            // An alias with its columns, `(VALUES (1)) v (a)`, unless the text has one of the words that make it a call.
            _ if before.kind == Kind::Mark(b')') => self.wanted.alias = true,
            Runs::IfQuery => self.wanted.query = true,
            Runs::Yes => self.may |= may,
        }
    }

    /// The first token of a statement.
    fn start(&mut self, token: Token) {
        self.statements += 1;
        self.runs = Runs::Yes;
        let mut word = [0; 12];
        let length = token.end - token.start;
        if token.kind == Kind::Word && length <= word.len() {
            word[..length].copy_from_slice(self.lexer.bytes(token));
            word.make_ascii_lowercase();
        }
        if self.statements == 1 {
            self.first = token.start;
        }
        let start = match &word[..length.min(12)] {
            b"select" | b"insert" | b"update" | b"delete" | b"with" => return,
            b"begin" | b"start" => May::BEGINS,
            b"commit" | b"end" => May::NOTHING,
            b"rollback" | b"abort" | b"deallocate" | b"unlisten" | b"discard" | b"close" | b"drop" => self.free(&word[..length]),
            b"set" | b"reset" => self.set(),
            b"prepare" => self.prepare(),
            b"execute" => May::PREPARES,
            b"listen" => May::LISTENS,
            _ => {
                self.other(&word[..length.min(12)]);
                return;
            }
        };
        self.session |= self.statements == 1;
        self.starts |= start;
    }

    /// What may give something back.
    fn free(&self, word: &[u8]) -> May {
        match word {
            b"deallocate" => May::FREES.with(May::PREPARES),
            b"unlisten" => May::FREES.with(May::LISTENS),
            b"discard" if self.second(&["all"]) => May::FREES.with(May::SETS),
            _ => May::FREES,
        }
    }

    /// SET and RESET, unless what they set ends with the transaction.
    fn set(&self) -> May {
        let mut ahead = self.lexer;
        let mut word = ahead.token();
        if word.kind == Kind::Word && is_one(ahead.bytes(word), &["session"]) {
            word = ahead.token();
        }
        let local = word.kind == Kind::Word && is_one(ahead.bytes(word), &["local", "transaction", "constraints"]);
        if local { May::NOTHING } else { May::SETS }
    }

    /// PREPARE, unless it is PREPARE TRANSACTION.
    fn prepare(&self) -> May {
        let mut ahead = self.lexer;
        let (word, what) = (ahead.token(), ahead.token());
        let whole = what.kind == Kind::Text || what.kind == Kind::Word && is_one(ahead.bytes(what), &["u", "e", "n"]);
        if whole && is_one(ahead.bytes(word), &["transaction"]) { May::NOTHING } else { May::PREPARES }
    }

    /// Statements that say nothing about the session by their first word, but may do something.
    fn other(&mut self, word: &[u8]) {
        match word {
            b"do" | b"call" => {
                self.may |= May::CALLS;
                self.wanted.code = true;
            }
            b"load" => self.may |= May::CALLS,
            b"declare" => self.wanted.hold = true,
            b"explain" => self.wanted.execute = true,
            b"create" => self.create(),
            b"alter" if self.second(&["table", "domain", "foreign"]) => {}
            b"alter" if self.second(&["extension"]) => self.may |= May::CALLS,
            b"alter" => self.runs = Runs::No,
            b"comment" | b"grant" | b"revoke" | b"analyze" | b"analyse" | b"vacuum" | b"import" | b"security" | b"reassign" | b"reindex" => {
                self.runs = Runs::No;
            }
            _ => {}
        }
    }

    /// CREATE TABLE AS runs a query, CREATE EXTENSION a script; other CREATEs only name functions.
    fn create(&mut self) {
        self.runs = Runs::No;
        if self.second(&["extension"]) {
            self.may |= May::CALLS;
        }
        let mut ahead = self.lexer;
        for _ in 0..3 {
            let token = ahead.token();
            if token.kind == Kind::Word && is_one(ahead.bytes(token), &["table"]) {
                self.wanted.execute = true;
                self.runs = Runs::IfQuery;
            }
        }
    }

    /// Whether the next word is one of these.
    fn second(&self, words: &[&str]) -> bool {
        let mut ahead = self.lexer;
        let token = ahead.token();
        token.kind == Kind::Word && is_one(ahead.bytes(token), words)
    }

    /// One of these words stands somewhere.
    fn has(&self, words: &[&str]) -> bool {
        raw_words(self.lexer.text).any(|word| is_one(word, words))
    }

    /// The second pass, for those texts that gave a reason: words wherever they stand, also in strings, which what is called may run.
    fn again(&mut self) {
        let Wanted { code, hold, execute, alias, query, cube } = self.wanted;
        let called = alias && self.has(&["distinct", "returning", "operator"]) || query && self.has(&["as"]) || cube && calls_cube(self.lexer.text);
        if called {
            self.may |= May::CALLS;
        }
        let texts = self.may.contains(May::CALLS);
        if !(texts || hold || execute) {
            return;
        }
        for word in raw_words(self.lexer.text) {
            self.may |= match word.len() {
                3 if code && is_one(word, &["set"]) => May::SETS,
                4 if hold && is_one(word, &["hold"]) => May::HOLDS,
                4 if texts && is_one(word, &["temp"]) => May::TEMPORARY,
                5 if code && is_one(word, &["reset"]) => May::SETS,
                6 if code && is_one(word, &["listen"]) => May::LISTENS,
                7 if code && is_one(word, &["prepare"]) => May::PREPARES,
                7 if execute && is_one(word, &["execute"]) => May::PREPARES,
                8 if code && is_one(word, &["unlisten"]) => May::LISTENS.with(May::FREES),
                9 if texts && is_one(word, &["temporary"]) => May::TEMPORARY,
                10 if code && is_one(word, &["deallocate"]) => May::PREPARES.with(May::FREES),
                10 if texts && is_one(word, &["set_config"]) => May::SETS,
                _ if texts && names_temporary(word) => May::TEMPORARY,
                _ if texts && names_lock(word, &["pg_advisory_lock", "pg_try_advisory_lock"]) => May::LOCKS,
                _ if texts && names_lock(word, &["pg_advisory_unlock"]) => May::FREES,
                _ => May::NOTHING,
            };
        }
    }
}

/// `pg_temp` or `pg_temp_3`.
fn names_temporary(word: &[u8]) -> bool {
    word.len() >= 7 && word[..7].eq_ignore_ascii_case(b"pg_temp")
}

/// A name that begins so.
fn names_lock(word: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| word.len() >= name.len() && word[..name.len()].eq_ignore_ascii_case(name.as_bytes()))
}

/// `'\x...'` with nothing but digits: bytes, and no word spelled by its characters' numbers.
fn is_bytes(content: &[u8]) -> bool {
    let digits = content.strip_prefix(b"'\\x").and_then(|digits| digits.strip_suffix(b"'"));
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
