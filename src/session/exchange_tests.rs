//! The exchange against PostgreSQL's rules: case by case, and in seeded random conversations with a small model of its main loop.

use super::*;
use std::collections::VecDeque;

/// Sends, then feeds replies (`Z` is ReadyForQuery with status I); what was thought of them: `.` forwarded, `-` swallowed, `!` refused, `X` out of
/// step.
fn talk(exchange: &mut Exchange, sent: &[u8], replies: &[u8]) -> String {
    sent.iter().for_each(|&kind| exchange.sent(kind));
    let thought = |reply| match reply {
        Reply::Forward => '.',
        Reply::Swallow => '-',
        Reply::Refuse(_) => '!',
        Reply::OutOfStep => 'X',
    };
    replies.iter().map(|&kind| thought(if kind == b'Z' { exchange.ready(Status::Idle) } else { exchange.received(kind) })).collect()
}

/// A fresh exchange in which everything sent is answered like that: all forwarded, and free at the end or not.
fn answered(sent: &[u8], replies: &[u8], free: bool) -> Exchange {
    let mut exchange = Exchange::default();
    let thought = talk(&mut exchange, sent, replies);
    assert_eq!(thought, ".".repeat(replies.len()), "{} answered by {}", sent.escape_ascii(), replies.escape_ascii());
    assert_eq!(exchange.is_free(), free, "{} answered by {}", sent.escape_ascii(), replies.escape_ascii());
    exchange
}

fn status(exchange: &mut Exchange, status: Status) {
    exchange.sent(b'Q');
    exchange.received(b'C');
    assert_eq!(exchange.ready(status), Reply::Forward);
}

#[test]
fn conversations_without_errors() {
    answered(b"", b"", true);
    answered(b"Q", b"TDDC", false);
    answered(b"Q", b"TDDCZ", true);
    answered(b"QQ", b"CZTDC", false);
    answered(b"QQ", b"CZTDCZ", true);
    answered(b"Q", b"TDCCTDCIZ", true);
    answered(b"PBDES", b"12TDDCZ", true);
    answered(b"PDBES", b"1tT2sZ", true);
    answered(b"PDBES", b"1tn2IZ", true);
    answered(b"PBEECS", b"12DsDC3Z", true);
    answered(b"PBEH", b"12C", false);
    answered(b"PBEQ", b"12CTDCZ", true);
    answered(b"F", b"VZ", true);
    answered(b"SS", b"ZZ", true);
    answered(b"H", b"", true);
    answered(b"Q", b"HdddcCZ", true);
    answered(b"BES", b"2HddcCZ", true);
    answered(b"Q", b"NSACNZ", true);
}

#[test]
fn errors_skip_to_sync_and_only_extended_ones() {
    answered(b"PBES", b"EZ", true);
    answered(b"PBES", b"1EZ", true);
    answered(b"PBEQFS", b"12EZ", true);
    answered(b"PBESBES", b"12EZ2CZ", true);
    answered(b"QQ", b"TEZCZ", true);
    answered(b"FS", b"EZZ", true);
    answered(b"S", b"EZ", true);
    // Nothing is answered until a Sync comes, whenever it comes.
    let mut exchange = answered(b"PB", b"E", false);
    assert!(exchange.is_skipping() && exchange.is_unsynced());
    assert_eq!(talk(&mut exchange, b"QPBEFH", b""), "");
    assert!(!exchange.is_free() && !exchange.is_active());
    assert_eq!(talk(&mut exchange, b"SQ", b"ZCZ"), "...");
    assert!(exchange.is_free());
}

#[test]
fn an_open_transaction_is_not_free() {
    let mut exchange = Exchange::default();
    for (now, free) in [(Status::InTransaction, false), (Status::Failed, false), (Status::Idle, true)] {
        status(&mut exchange, now);
        assert_eq!((exchange.is_free(), exchange.is_quiet(), exchange.status()), (free, true, now));
    }
    assert_eq!(b"ITEx".map(Status::from_byte), [Some(Status::Idle), Some(Status::InTransaction), Some(Status::Failed), None]);
}

#[test]
fn copy_from_stdin() {
    let mut exchange = answered(b"Q", b"G", false);
    assert!(exchange.is_copying());
    assert_eq!(talk(&mut exchange, b"dddHc", b""), "");
    assert!(!exchange.is_copying() && !exchange.is_free());
    assert_eq!(talk(&mut exchange, b"", b"CZ"), "..");
    assert!(exchange.is_free());
    // Everything at once, and two of them in one query.
    answered(b"QddcQ", b"GCZCZ", true);
    answered(b"Qdcdc", b"GCGCZ", true);
    answered(b"BEdcS", b"2GCZ", true);
    // A Sync in front of the end is ignored; without one behind it nothing is committed.
    answered(b"BESdcS", b"2GCZ", true);
    answered(b"BESdc", b"2GC", false);
    // Errors, seen before the end is sent and after.
    answered(b"Qdc", b"GEZ", true);
    answered(b"Qdf", b"GEZ", true);
    let mut exchange = answered(b"Qd", b"GEZ", true);
    assert_eq!(talk(&mut exchange, b"ddcc", b""), "");
    assert!(exchange.is_free());
    let mut exchange = answered(b"BEd", b"2GE", false);
    assert_eq!(talk(&mut exchange, b"dcS", b"Z"), ".");
    assert!(exchange.is_free());
}

#[test]
fn ends_of_copies_that_never_were_are_passed_over() {
    answered(b"Qc", b"CZ", true);
    answered(b"Qcc", b"GCZ", true);
    answered(b"QcfQ", b"EZCZ", true);
    answered(b"BEcBES", b"2C2CZ", true);
    answered(b"Sc", b"Z", true);
    answered(b"cfdS", b"Z", true);
}

#[test]
fn a_sync_that_a_failed_copy_has_perhaps_not_read() {
    // It had read it: the Sync behind answers, and a question of ours shows that nothing else comes.
    for extra in [0, 1, 2] {
        let mut exchange = answered(b"BESSdcS", b"2GEZ", false);
        assert!(exchange.is_doubtful() && !exchange.is_quiet());
        let mut words = Vec::new();
        exchange.probe(&mut words);
        assert_eq!(words[0], b'C');
        assert_eq!(talk(&mut exchange, b"", &b"ZZ"[..extra]), "..."[..extra], "{extra} more");
        assert!(!exchange.is_free());
        assert_eq!(talk(&mut exchange, b"", b"3Z"), "--");
        assert!(exchange.is_free());
    }
    // The end of the COPY was not sent yet, and is not sent at all.
    let mut exchange = answered(b"BES", b"2GE", false);
    assert!(!exchange.is_doubtful());
    assert_eq!(talk(&mut exchange, b"", b"Z"), ".");
    assert!(exchange.is_free() && !exchange.is_skipping());
    // Of the simple protocol, where nothing is skipped: the next reply settles it.
    answered(b"QScQ", b"GEZTDCZ", true);
    answered(b"QScQ", b"GEZZTDCZ", true);
    // A COPY that came to its end has ignored it for sure.
    answered(b"QScQ", b"GCZTDCZ", true);
    // Not in the middle of a client's message.
    let mut exchange = answered(b"BESdcS", b"2GEZ", false);
    exchange.cut = true;
    assert!(!exchange.is_doubtful() && !exchange.is_free());
}

#[test]
fn what_cannot_be_told_apart_ends_the_server() {
    // One Sync of the two counts, or both; with what is between them.
    let mut exchange = answered(b"BESdcBES", b"2GE", false);
    assert_eq!(exchange.ready(Status::Idle), Reply::OutOfStep);
    let mut exchange = answered(b"BES", b"2GE", false);
    assert_eq!(talk(&mut exchange, b"PBES", b"Z"), "X");
    assert_eq!(talk(&mut exchange, b"", b"1"), "X");
    assert!(!exchange.is_free());
}

#[test]
fn replies_that_cannot_come_are_out_of_step() {
    for (sent, replies) in [
        (&b""[..], &b"Z"[..]),
        (b"", b"C"),
        (b"", b"D"),
        (b"P", b"Z"),
        (b"P", b"2"),
        (b"B", b"1"),
        (b"D", b"D"),
        (b"E", b"T"),
        (b"Q", b"2"),
        (b"Q", b"s"),
        (b"Q", b"V"),
        (b"F", b"C"),
        (b"F", b"G"),
        (b"S", b"1"),
        (b"S", b"C"),
        (b"Q", b"R"),
        (b"Q", b"K"),
        (b"Q", b"W"),
        (b"Q", b"\0"),
        (b"QS", b"CZC"),
    ] {
        let mut exchange = Exchange::default();
        let thought = talk(&mut exchange, sent, replies);
        assert!(thought.ends_with('X'), "{} answered by {}: {thought}", sent.escape_ascii(), replies.escape_ascii());
    }
    // A server that ends says why whenever it likes.
    assert_eq!(talk(&mut Exchange::default(), b"", b"NSAE"), "....");
}

#[test]
fn our_own_messages_are_nobodys() {
    let mut exchange = Exchange::default();
    assert_eq!(talk(&mut exchange, &[OUR_QUERY], b"TDNCZ"), "-----");
    assert!(exchange.is_free() && !exchange.take_ours_failed());
    assert_eq!(talk(&mut exchange, &[OUR_QUERY, b'Q'], b"EZCZ"), "--..");
    assert!(exchange.take_ours_failed() && !exchange.take_ours_failed());
    assert_eq!(talk(&mut exchange, &[OUR_PARSE, b'B', b'E', b'S'], b"N12CZ"), "--...");
    assert_eq!(talk(&mut exchange, &[OUR_CLOSE, b'B', b'E', b'S'], b"3EZ"), "-..");
    assert_eq!(talk(&mut exchange, &[OUR_PARSE, b'B', b'S'], b"EZ"), "..");
    assert_eq!(talk(&mut exchange, &[OUR_FORGET, b'B', b'E', b'S'], b"3EZ"), "-..");
    exchange.sent_refused(REFUSED, Refusal::Begins);
    assert_eq!(talk(&mut exchange, b"BES", b"EZ"), "!.");
    exchange.sent_refused(REFUSED_QUERY, Refusal::Begins);
    assert_eq!(talk(&mut exchange, b"Q", b"EZCZ"), "!...");
    exchange.sent(b'E');
    exchange.sent_refused(REFUSED_QUERY, Refusal::Begins);
    assert_eq!(talk(&mut exchange, b"SQ", b"EZCZ"), "....", "skipped as any other");
    assert!(exchange.marks.list().is_empty());
    assert!(exchange.is_free());
    exchange.sent(OUR_QUERY);
    assert!(exchange.is_ours());
}

#[test]
fn the_unnamed_statement_is_known_or_lost() {
    // The server holds 7 before; Parses make it 1, 2, ... in the order sent.
    let with = |sent: &[u8], replies: &[u8]| {
        let mut exchange = Exchange { unnamed: 7, ..Exchange::default() };
        let mut tag = 0;
        for &kind in sent {
            tag += u128::from(matches!(kind, b'P' | OUR_PARSE));
            exchange.sent_as(kind, tag);
        }
        talk(&mut exchange, b"", replies);
        assert_eq!(exchange.marks.list().len(), exchange.expected.iter().filter(|&&kind| has_mark(kind)).count());
        (exchange.unnamed, exchange.take_changed())
    };
    assert_eq!(with(b"PS", b""), (7, false), "nothing has happened yet");
    assert_eq!(with(b"PS", b"1Z"), (1, true));
    assert_eq!(with(b"PS", b"EZ"), (UNKNOWN, true));
    assert_eq!(with(b"DPS", b"EZ"), (7, false), "what was skipped has not happened");
    assert_eq!(with(b"PBS", b"1EZ"), (1, true));
    assert_eq!(with(b"PSPS", b"EZ1Z"), (2, true), "the second one counts");
    assert_eq!(with(b"PSPS", b"1ZEZ"), (UNKNOWN, true));
    assert_eq!(with(b"PBPS", b"1EZ"), (1, true));
    assert_eq!(with(b"PSQ", b"1Z"), (1, true));
    assert_eq!(with(b"PSQ", b"1ZCZ"), (0, true));
    assert_eq!(with(b"PSQ", b"1ZEZ"), (UNKNOWN, true));
    assert_eq!(with(b"BQS", b"EZ"), (7, false));
    assert_eq!(with(b"FS", b"VZZ"), (7, false));
    assert_eq!(with(&[FORGET, b'S'], b"3Z"), (0, true));
    assert_eq!(with(&[FORGET, b'S'], b"EZ"), (7, false));
    assert_eq!(with(b"CS", b"3Z"), (7, false));
    // Ours are no change of the client's.
    assert_eq!(with(&[OUR_PARSE, b'B', b'S'], b"12Z"), (1, false));
    assert_eq!(with(&[OUR_PARSE, b'B', b'S'], b"EZ"), (UNKNOWN, false));
    assert_eq!(with(&[OUR_FORGET, b'B', b'S'], b"3EZ"), (0, false));
    assert_eq!(with(&[OUR_QUERY], b"CZ"), (0, false));
    assert_eq!(with(&[b'D', OUR_PARSE, b'B', b'S'], b"EZ"), (7, false));
}

#[test]
fn the_queue_is_bounded() {
    let mut exchange = Exchange::default();
    (0..OUTSTANDING_MAX - 1).for_each(|_| exchange.sent(b'S'));
    assert!(!exchange.is_full());
    exchange.sent(b'S');
    assert!(exchange.is_full());
    exchange.ready(Status::Idle);
    assert!(!exchange.is_full());
}

/// The types of the messages that recovery sends now.
fn recovery(exchange: &mut Exchange) -> String {
    let mut words = Vec::new();
    let some = exchange.recovery(&mut words);
    assert_eq!(some, !words.is_empty());
    kinds(&words).into_iter().map(char::from).collect()
}

fn kinds(mut words: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(header)) = crate::wire::frame::client_header(words) {
        all.push(header.kind);
        words = &words[header.total()..];
    }
    assert!(words.is_empty());
    all
}

#[test]
fn recovery_ends_what_a_client_left() {
    let after = |sent: &[u8], replies: &[u8]| answered(sent, replies, sent.is_empty() || replies.ends_with(b"Z"));
    assert_eq!(recovery(&mut after(b"", b"")), "");
    assert_eq!(recovery(&mut after(b"Q", b"TD")), "", "replies come first");
    assert_eq!(recovery(&mut after(b"PBES", b"12")), "");
    // A batch without its Sync is made to fail, not committed.
    let mut exchange = after(b"PBE", b"1");
    assert_eq!(recovery(&mut exchange), "DS");
    assert_eq!(recovery(&mut exchange), "");
    assert_eq!(talk(&mut exchange, b"", b"2CEZ"), "..!.");
    assert!(exchange.is_free());
    // One that failed already needs the Sync alone.
    let mut exchange = after(b"PBE", b"E");
    assert_eq!(recovery(&mut exchange), "S");
    assert_eq!(talk(&mut exchange, b"", b"Z"), ".");
    assert!(exchange.is_free());
    // An open transaction, when all replies are there.
    for open in [Status::InTransaction, Status::Failed] {
        let mut exchange = Exchange::default();
        status(&mut exchange, open);
        assert_eq!(recovery(&mut exchange), "Q");
        assert_eq!(talk(&mut exchange, b"", b"CZ"), "--");
        assert!(exchange.is_free());
    }
}

#[test]
fn recovery_ends_copies() {
    let mut exchange = answered(b"Qd", b"G", false);
    assert_eq!((recovery(&mut exchange), recovery(&mut exchange)), ("f".into(), "".into()));
    assert_eq!(talk(&mut exchange, b"", b"EZ"), "..");
    assert!(exchange.is_free());
    for sync in [&b"BEd"[..], b"BESd"] {
        let mut exchange = answered(sync, b"2G", false);
        assert_eq!((recovery(&mut exchange), recovery(&mut exchange)), ("fS".into(), "".into()));
        assert_eq!(talk(&mut exchange, b"", b"EZ"), "..");
        // After an ignored Sync only an answer of the server's can tell that it was ignored.
        let more = recovery(&mut exchange);
        assert_eq!(more, if sync == b"BESd" { "CS" } else { "" });
        talk(&mut exchange, b"", if more.is_empty() { b"" } else { b"3Z" });
        assert!(exchange.is_free());
    }
    // The COPY shows only after the client has gone.
    let mut exchange = answered(b"BES", b"2", false);
    assert_eq!(recovery(&mut exchange), "");
    assert_eq!(talk(&mut exchange, b"", b"G"), ".");
    assert_eq!(recovery(&mut exchange), "fS");
    // One that came to its end behind a Sync that was ignored is not committed.
    let mut exchange = answered(b"BESdc", b"2GC", false);
    assert_eq!(recovery(&mut exchange), "DS");
}

// ---- a model of PostgreSQL's main loop ----

/// How a statement or message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Good,
    Bad,
    Suspended,
    Begin,
    Commit,
    CopyOut,
    CopyIn,
    /// fails when it has asked for data, before it reads any
    CopyTrigger,
}

#[derive(Clone, Debug)]
struct Said {
    kind: u8,
    ends: Vec<End>,
    ours: bool,
}

/// What the server has in hand. Replies are (type, status, whose).
#[derive(Default)]
struct Model {
    ignores_till_sync: bool,
    /// a COPY reads: the statements behind it in its query, None for Execute
    copying: Option<Option<Vec<End>>>,
    status: u8,
    /// something was done in an implicit transaction that is not committed
    undecided: bool,
    dead: bool,
    replies: VecDeque<(u8, u8, bool)>,
}

impl Model {
    fn say(&mut self, kind: u8, ours: bool) {
        self.replies.push_back((kind, self.status, ours));
    }

    fn fail(&mut self, extended: bool, ours: bool) {
        self.undecided = false;
        self.copying = None;
        self.ignores_till_sync = extended;
        self.status = if self.status == b'I' { b'I' } else { b'E' };
        self.say(b'E', ours);
        if !extended {
            self.say(b'Z', ours);
        }
    }

    fn read(&mut self, said: &Said) {
        if self.copying.is_some() {
            return self.read_copy(said);
        }
        let (end, ours) = (said.ends.first().copied().unwrap_or(End::Good), said.ours);
        if matches!(said.kind, b'd' | b'c' | b'f' | b'H') || self.ignores_till_sync && said.kind != b'S' {
            return;
        }
        match said.kind {
            b'S' => {
                self.ignores_till_sync = false;
                assert!(!(ours && self.undecided && self.status == b'I'), "a Sync of ours commits what the client did not");
                if self.undecided && end == End::Bad && self.status == b'I' {
                    self.say(b'E', ours);
                }
                self.undecided = false;
                self.say(b'Z', ours);
            }
            b'Q' => self.query(&said.ends, ours),
            b'F' if end == End::Bad || self.status == b'E' => self.fail(false, ours),
            b'F' => {
                self.undecided = false;
                self.say(b'V', ours);
                self.say(b'Z', ours);
            }
            _ if end == End::Bad || self.status == b'E' && matches!(said.kind, b'P' | b'B' | b'E') => self.fail(true, ours),
            b'E' if matches!(end, End::CopyIn | End::CopyTrigger) => self.copy(None, end),
            b'E' => {
                self.undecided = true;
                let replies: &[u8] = match end {
                    End::Suspended => b"Ds",
                    End::CopyOut => b"HddcC",
                    _ => b"DC",
                };
                replies.iter().for_each(|&kind| self.say(kind, ours));
            }
            kind => {
                let replies: &[u8] = match kind {
                    b'P' => b"1",
                    b'B' => b"2",
                    b'C' => b"3",
                    b'D' if end == End::Suspended => b"n",
                    b'D' if end == End::CopyOut => b"tT",
                    _ => b"T",
                };
                replies.iter().for_each(|&kind| self.say(kind, ours));
            }
        }
    }

    fn copy(&mut self, behind: Option<Vec<End>>, end: End) {
        self.say(b'G', false);
        let extended = behind.is_none();
        self.copying = Some(behind);
        if end == End::CopyTrigger {
            self.fail(extended, false);
        }
    }

    fn read_copy(&mut self, said: &Said) {
        let Some(behind) = self.copying.clone() else { return };
        let bad = said.ends.first() == Some(&End::Bad);
        match said.kind {
            b'd' if !bad => {}
            b'd' | b'f' => self.fail(behind.is_none(), false),
            b'c' => {
                self.copying = None;
                self.undecided = true;
                self.say(b'C', false);
                if let Some(behind) = behind {
                    self.query(&behind, false);
                }
            }
            b'H' | b'S' => {}
            _ => self.dead = true,
        }
    }

    fn query(&mut self, ends: &[End], ours: bool) {
        for (at, &end) in ends.iter().enumerate() {
            match end {
                End::Commit => self.status = b'I',
                _ if end == End::Bad || self.status == b'E' => return self.fail(false, ours),
                End::CopyIn | End::CopyTrigger => return self.copy(Some(ends[at + 1..].to_vec()), end),
                End::Begin => self.status = b'T',
                _ => {}
            }
            let replies: &[u8] = if end == End::CopyOut { b"HdcC" } else { b"TDC" };
            replies.iter().for_each(|&kind| self.say(kind, ours));
        }
        self.undecided = false;
        self.say(b'Z', ours);
    }
}

struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides
    }

    /// One of these; each end is bad once in `luck`.
    fn said(&mut self, kind: u8, luck: usize) -> Said {
        let good = [End::Good, End::Good, End::Suspended, End::CopyOut][self.roll(4)];
        Said { kind, ends: vec![if self.roll(luck) == 0 { End::Bad } else { good }], ours: false }
    }

    /// A few messages as a client may put them together: it ends a COPY, and a Sync follows one of the extended protocol.
    fn phrase(&mut self) -> Vec<Said> {
        let copy = [End::CopyIn, End::CopyIn, End::CopyIn, End::CopyTrigger][self.roll(4)];
        match self.roll(8) {
            0 => {
                let mut ends: Vec<End> = (0..=self.roll(2)).map(|_| [End::Good, End::Begin, End::Commit, End::Bad][self.roll(4)]).collect();
                let copies = self.roll(3);
                ends.extend(vec![copy; copies]);
                let mut phrase = vec![Said { kind: b'Q', ends, ours: false }];
                (0..copies).for_each(|_| self.copy(&mut phrase));
                phrase
            }
            1 => {
                let mut phrase = vec![self.said(b'B', 9), Said { kind: b'E', ends: vec![copy], ours: false }];
                self.copy(&mut phrase);
                phrase.push(self.said(b'S', 3));
                phrase
            }
            _ => {
                let kind = b"PBDECPBESSQFHdcf"[self.roll(16)];
                vec![self.said(kind, 6)]
            }
        }
    }

    fn copy(&mut self, phrase: &mut Vec<Said>) {
        for _ in 0..self.roll(6) {
            let kind = b"ddddSH"[self.roll(6)];
            phrase.push(self.said(kind, 8));
        }
        let ends: &[u8] = [&b"c"[..], b"c", b"f", b"cc", b"cf"][self.roll(5)];
        phrase.extend(ends.iter().map(|&kind| Said { kind, ends: vec![End::Good], ours: false }));
    }
}

/// A client, an exchange and the model, with messages and replies on their way.
struct Stage {
    exchange: Exchange,
    model: Model,
    to_server: VecDeque<Said>,
    /// the client has gone
    gone: bool,
    trail: String,
}

impl Stage {
    fn new() -> Stage {
        let model = Model { status: b'I', ..Model::default() };
        Stage { exchange: Exchange::default(), model, to_server: VecDeque::new(), gone: false, trail: String::new() }
    }

    fn send(&mut self, said: Said) {
        self.trail.push_str(&format!(" {}{:?}", char::from(said.kind), said.ends));
        self.exchange.sent(said.kind);
        self.to_server.push_back(said);
        self.ask();
    }

    /// What we say ourselves where it is due.
    fn ask(&mut self) {
        let mut words = Vec::new();
        if self.gone {
            self.exchange.recovery(&mut words);
        } else if self.exchange.is_doubtful() {
            self.exchange.probe(&mut words);
        }
        for kind in kinds(&words) {
            // Describe is the one made to fail; the query is ROLLBACK.
            let end = [End::Good, End::Bad, End::Commit][usize::from(kind == b'D') + 2 * usize::from(kind == b'Q')];
            self.trail.push_str(&format!(" our-{}", char::from(kind)));
            self.to_server.push_back(Said { kind, ends: vec![end], ours: true });
        }
    }

    fn serve(&mut self) {
        if let Some(said) = self.to_server.pop_front() {
            self.model.read(&said);
        }
    }

    fn hear(&mut self) {
        let Some((kind, status, ours)) = self.model.replies.pop_front() else { return };
        self.trail.push_str(&format!(" <{}", char::from(kind)));
        let reply = if kind == b'Z' { self.exchange.ready(Status::from_byte(status).expect("a status")) } else { self.exchange.received(kind) };
        if self.gone {
            // Nobody is left to be told; the server is given up.
            self.model.dead |= reply == Reply::OutOfStep;
        } else {
            assert_eq!(reply, if ours { Reply::Swallow } else { Reply::Forward }, "{}", self.trail);
        }
        self.ask();
    }

    /// A server that counts as free is free.
    fn check(&self) {
        if self.exchange.is_free() {
            let model = &self.model;
            let idle = model.status == b'I' && model.copying.is_none() && !model.ignores_till_sync && !model.undecided && model.replies.is_empty();
            assert!(idle && self.to_server.iter().all(|said| matches!(said.kind, b'd' | b'c' | b'f' | b'H')), "{}", self.trail);
        }
    }

    fn drain(&mut self) {
        while !(self.model.dead || self.to_server.is_empty() && self.model.replies.is_empty()) {
            self.serve();
            self.hear();
            self.check();
        }
    }
}

#[test]
fn random_conversations_stay_in_step_with_a_model_of_the_server() {
    for seed in 1..=10_000 {
        let mut dice = Dice::new(seed);
        let mut stage = Stage::new();
        let mut said: VecDeque<Said> = (0..1 + dice.roll(12)).flat_map(|_| dice.phrase()).collect();
        let pace = [1 + dice.roll(4), 1 + dice.roll(4), 1 + dice.roll(8)];
        while let Some(next) = said.pop_front() {
            stage.send(next);
            stage.check();
            (0..dice.roll(pace[0])).for_each(|_| stage.serve());
            for _ in 0..dice.roll(pace[1] + pace[2]) {
                stage.hear();
                stage.check();
            }
        }
        stage.drain();
        // What is still open ends with a Sync, and a ROLLBACK.
        stage.send(Said { kind: b'S', ends: vec![End::Good], ours: false });
        stage.drain();
        stage.send(Said { kind: b'Q', ends: vec![End::Commit], ours: false });
        stage.drain();
        assert!(stage.exchange.is_free() && !stage.model.dead, "{}", stage.trail);
    }
}

#[test]
fn a_client_that_vanishes_anywhere_leaves_a_free_server_and_nothing_committed() {
    let mut given_up = 0;
    for seed in 1..=10_000 {
        let mut dice = Dice::new(seed + 1_000_000);
        let mut stage = Stage::new();
        let said: Vec<Said> = (0..1 + dice.roll(6)).flat_map(|_| dice.phrase()).collect();
        let stays = dice.roll(said.len() + 1);
        for next in said.into_iter().take(stays) {
            stage.send(next);
            (0..dice.roll(3)).for_each(|_| stage.serve());
            (0..dice.roll(4)).for_each(|_| stage.hear());
        }
        stage.gone = true;
        stage.ask();
        stage.drain();
        // A batch whose COPY was not seen when the client went, or may have failed with Syncs in it, ends with the connection.
        given_up += u32::from(stage.model.dead);
        assert!(stage.exchange.is_free() || stage.model.dead, "{}", stage.trail);
    }
    assert!(given_up < 1000, "{given_up}");
}

/// It ends the connection if the COPY is still at work, and is answered like any other if the COPY has failed by then.
#[test]
fn what_does_not_belong_into_a_copy_is_outstanding() {
    for (sent, replies) in [(&b"Q"[..], &b"EZTDCZ"[..]), (b"F", b"EZVZ"), (b"PBS", b"EZ12Z"), (b"dQ", b"EZEZ")] {
        let mut exchange = answered(b"Qd", b"G", false);
        assert!(talk(&mut exchange, sent, b"").is_empty() && !exchange.is_free());
        for (at, &reply) in replies.iter().enumerate() {
            assert!(!exchange.is_free(), "{} answered by {}", sent.escape_ascii(), replies[..at].escape_ascii());
            assert_eq!(talk(&mut exchange, b"", &[reply]), ".");
        }
        assert!(exchange.is_free());
    }
    // Sent before the COPY showed: the Sync behind it is answered for sure, the one in front perhaps.
    for before in [&b"EZZTDCZ"[..], b"EZTDCZ"] {
        let mut exchange = answered(b"QdSQ", b"G", false);
        assert_eq!(talk(&mut exchange, b"fS", before), ".".repeat(before.len()));
        assert!(!exchange.is_free());
        assert_eq!(talk(&mut exchange, b"", b"Z"), ".");
        assert!(exchange.is_free());
    }
    // Of the extended protocol: skipped to the Sync.
    let mut exchange = answered(b"BEd", b"2G", false);
    assert_eq!(talk(&mut exchange, b"QPS", b"EZ"), "..");
    assert!(exchange.is_free());
}

/// What statements with names of ours come to; `n` is their number.
fn named(sent: &[(u8, u64)], replies: &[u8]) -> (String, Exchange) {
    let mut exchange = Exchange::default();
    for &(kind, id) in sent {
        if id > 0 { exchange.sent_named(kind, id) } else { exchange.sent(kind) }
    }
    let thought = talk(&mut exchange, b"", replies);
    let marks = exchange.marks.list();
    assert_eq!(marks.len(), exchange.expected.iter().filter(|&&kind| has_mark(kind)).count());
    let earlier = marks.iter().any(|mark| matches!(mark, Mark::Named(_, batch) | Mark::Made(_, batch) if *batch != exchange.batch));
    assert_eq!(exchange.is_unsure(), earlier || exchange.barrier);
    (thought, exchange)
}

#[test]
fn statements_are_there_when_the_server_says_so() {
    let has = |exchange: &mut Exchange, id| exchange.shelf.has(id, exchange.batch());
    use super::super::shelf::Has;
    let (thought, mut exchange) = named(&[(NAMED_PARSE, 1), (b'B', 0), (b'E', 0), (b'S', 0)], b"1");
    assert_eq!((thought.as_str(), has(&mut exchange, 1), exchange.is_unsure()), (".", Has::Yes(None), false));
    assert_eq!(exchange.outcomes, [Outcome::Done]);
    let (_, mut exchange) = named(&[(NAMED_PARSE, 1), (b'S', 0)], b"");
    assert_eq!((has(&mut exchange, 1), exchange.is_unsure()), (Has::Unsure, true));
    let (thought, mut exchange) = named(&[(OUR_PREPARE, 1), (b'B', 0), (b'S', 0)], b"EZ");
    assert_eq!((thought.as_str(), has(&mut exchange, 1), exchange.outcomes.len()), ("..", Has::No, 0));
    // What is skipped has not happened.
    let all = [(b'D', 0), (NAMED_PARSE, 1), (HAD_PARSE, 2), (HAD_CLOSE, 3), (NAMED_DESCRIBE, 1), (EVICT, 4), (b'S', 0)];
    let (thought, mut exchange) = named(&all, b"EZ");
    assert_eq!((thought.as_str(), has(&mut exchange, 1), has(&mut exchange, 4)), ("..", Has::No, Has::Yes(None)));
    assert_eq!(exchange.outcomes, [Outcome::Undone; 4]);
    assert!(exchange.is_free());
}

#[test]
fn answers_of_ours_take_their_turn() {
    let mut exchange = Exchange::default();
    exchange.sent_named(HAD_PARSE, 1);
    assert_eq!((exchange.due(), exchange.due()), (Some(Due::ParseComplete), None), "nothing is in front of it");
    exchange.sent(b'B');
    exchange.sent_named(HAD_PARSE, 1);
    exchange.sent_named(HAD_CLOSE, 1);
    exchange.sent(b'S');
    assert_eq!(exchange.due(), None);
    exchange.received(b'2');
    exchange.mid_message = true;
    assert_eq!(exchange.due(), None, "the rest of a message comes first");
    exchange.mid_message = false;
    assert_eq!([exchange.due(), exchange.due(), exchange.due()], [Some(Due::ParseComplete), Some(Due::CloseComplete), None]);
    assert_eq!((exchange.ready(Status::Idle), exchange.is_free()), (Reply::Forward, true));
    assert_eq!(exchange.outcomes, [Outcome::Done; 3]);
    // Behind the end of a copy that never was.
    b"Sc".iter().for_each(|&kind| exchange.sent(kind));
    exchange.sent_named(HAD_CLOSE, 1);
    exchange.sent(b'S');
    assert_eq!((exchange.due(), exchange.ready(Status::Idle)), (None, Reply::Forward));
    assert_eq!((exchange.due(), exchange.ready(Status::Idle)), (Some(Due::CloseComplete), Reply::Forward));
}

#[test]
fn shapes_are_told_to_who_asked() {
    let (mut words, sent) = (Vec::new(), [(NAMED_DESCRIBE, 1), (OUR_PREPARE, 2), (OUR_DESCRIBE, 2), (b'S', 0)]);
    let (_, mut exchange) = named(&sent, b"t");
    assert!(exchange.is_describing() && exchange.awaits_shape());
    exchange.described(Some(7));
    assert_eq!(exchange.received(b'T'), Reply::Forward);
    assert_eq!((exchange.received(b'1'), exchange.received(b't')), (Reply::Swallow, Reply::Swallow));
    exchange.described(Some(9));
    assert_eq!((exchange.received(b'T'), exchange.ready(Status::Idle)), (Reply::Swallow, Reply::Forward));
    assert_eq!((exchange.outcomes.len(), exchange.awaits_shape()), (1, false));
    assert_eq!((exchange.outcomes[0], exchange.shelf.has(2, 9)), (Outcome::Shape(7), super::super::shelf::Has::Yes(Some(9))));
    exchange.flush(&mut words);
    exchange.flush(&mut words);
    assert_eq!(words, b"H\0\0\0\x04", "once is enough");
}
