//! A client on three shards whose participants follow a script: every order in which they may answer, and every point at which one may fail or end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::*;
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};
use crate::config::snapshot::PoolerMode;
use crate::route::cluster::{Commits, State};
use crate::route::commit;
use crate::route::request::Where;
use crate::route::router::{Router, Says};
use crate::route::schema::Schema;
use crate::route::topology::Topology;
use crate::wire::client::{self, bind_names};
use crate::wire::server::{self, command_complete, data_row, error_fields, parse_command_complete, row_description};

/// The answers to the questions of one run, in their order: which of the waiting participants is heard next, and what becomes of those left behind.
#[derive(Default)]
struct Choices {
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    fn pick(&mut self, of: usize) -> usize {
        if of < 2 {
            return 0;
        }
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (choice, known) = self.taken[self.at];
        assert_eq!(known, of, "the same answers lead to the same questions");
        self.at += 1;
        choice
    }

    /// The next run's; false: there was none like it that is left.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.taken.pop() {
            if choice + 1 < of {
                self.taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// Runs it under every order of answers; returns how many there are.
fn in_every_order(mut run: impl FnMut(Choices) -> Desk) -> usize {
    let mut choices = Choices::default();
    for count in 1..100_000 {
        choices = run(choices).choices;
        if !choices.advance() {
            return count;
        }
    }
    panic!("too many orders");
}

/// What befalls a participant when it is told a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Fails(&'static str),
    /// before it has done it
    Ends,
    /// when it has done it, before it says so
    EndsBehind,
    /// as `Ends`, with a FATAL of its own
    Leaves(&'static str),
}

/// One participant's session.
#[derive(Default)]
struct Seat {
    inbox: VecDeque<(u8, Vec<u8>)>,
    outbox: VecDeque<Vec<u8>>,
    /// said, and not consumed
    unread: Vec<u8>,
    status: u8,
    skipping: bool,
    copying: bool,
    wrote: bool,
    statements: BTreeMap<Vec<u8>, String>,
    portals: BTreeMap<Vec<u8>, String>,
}

/// What a shard keeps when sessions end.
#[derive(Default)]
struct Store {
    prepared: Option<String>,
    /// its writes are there, or gone
    end: Option<bool>,
}

/// A coordinator with all that the engine does for it.
struct Desk {
    coordinator: Coordinator,
    home: Client,
    seats: BTreeMap<u16, Seat>,
    stores: [Store; 3],
    faults: Vec<(u16, &'static str, Fault)>,
    /// OID of the first column's type, by shard
    types: [u32; 3],
    held: Vec<u8>,
    said: Vec<u8>,
    /// what each was told, and what each has done, in order
    told: Vec<(u16, String)>,
    did: Vec<(u16, String)>,
    gone: BTreeSet<u16>,
    doubts: Vec<Gid>,
    over: bool,
    closed: bool,
    /// every message of an answer comes by itself
    fine: bool,
    choices: Choices,
}

fn row(fields: &[&str]) -> crate::route::schema::Row {
    fields.iter().map(|field| Some(field.as_bytes().to_vec())).collect()
}

fn cluster(commits: Commits) -> Arc<Cluster> {
    let users = ShardedTable {
        schema: None,
        table: Some("users".into()),
        column: "id".into(),
        data_type: DataType::Bigint,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    let sharded = Sharded { database: "app".into(), shards: 3, tables: vec![users], schemas: Vec::new(), omnisharded: Vec::new() };
    let topology = Topology::first(&sharded).expect("a map");
    let columns = [
        row(&["public", "kinds", "r", "id", "23", "-1", "t", "n"]),
        row(&["public", "users", "r", "id", "20", "-1", "t", "n"]),
        row(&["public", "users", "r", "name", "25", "-1", "t", "n"]),
    ];
    let schema = Schema::read(&columns, &[], &[row(&["public", "150015", "UTF8"])]).expect("an answer").fitted(&topology);
    Arc::new(Cluster { state: State::Known(schema), topology, servers: Vec::new(), listed: Vec::new(), commits, number: 1 })
}

fn able() -> Commits {
    Commits { id: Some([7; 16]), prepares: vec![true; 3] }
}

/// A user of each shard.
fn ids() -> [i64; 3] {
    let mut router = Router::new(cluster(able()));
    let says = Says { standard: true, ..Says::default() };
    let mut shard_of = |id: i64| router.route(format!("SELECT 1 FROM users WHERE id = {id}").as_bytes(), None, &says, "app");
    let mut find = |shard| (1..100).find(|id| shard_of(*id) == Ok(Where::One(shard))).expect("an id");
    [find(0), find(1), find(2)]
}

fn words(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn simple(text: &str) -> Vec<u8> {
    words(|out| client::query(out, text.as_bytes()).expect("short"))
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// A statement without parameters, to be executed in a batch.
fn steps(text: &str) -> Vec<u8> {
    let bound = framed(b'B', b"\0\0\0\0\0\0\0\0");
    [words(|out| client::parse(out, b"", text.as_bytes(), &[]).expect("short")), bound, framed(b'E', b"\0\0\0\0\0")].concat()
}

fn failure(code: &str, severity: &str) -> Vec<u8> {
    words(|out| server::error(out, &ErrorFields { severity, code, message: "it is in the script", detail: None, hint: None }))
}

fn messages(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut list, mut at) = (Vec::new(), 0);
    while let Some(header) = frame::header(&bytes[at..]).expect("a message") {
        list.push((header.kind, bytes[at + HEADER..at + header.total()].to_vec()));
        at += header.total();
    }
    assert_eq!(at, bytes.len(), "whole messages");
    list
}

impl Desk {
    /// In a transaction that it has begun on shard 0, or in none.
    fn new(choices: Choices, begun: bool) -> Desk {
        Desk::with(choices, begun, able(), true)
    }

    fn with(choices: Choices, begun: bool, commits: Commits, atomic: bool) -> Desk {
        let cluster = cluster(commits);
        let shards = Box::new(Shards::new(Rc::new(RefCell::new(Router::new(cluster.clone()))), "app", 0));
        let mut home = Client::new(PoolerMode::Transaction, 3);
        home.begun = begun.then(|| b"BEGIN"[..].into());
        let coordinator = Coordinator::new(shards, Means { cluster, unique: 5, atomic }, Standing { begun, unsynced: false }, &home);
        let seat = Seat { status: if begun { b'T' } else { b'I' }, ..Seat::default() };
        Desk {
            coordinator,
            home,
            seats: BTreeMap::from([(0, seat)]),
            stores: Default::default(),
            faults: Vec::new(),
            types: [25; 3],
            held: Vec::new(),
            said: Vec::new(),
            told: Vec::new(),
            did: Vec::new(),
            gone: BTreeSet::new(),
            doubts: Vec::new(),
            over: false,
            closed: false,
            fine: false,
            choices,
        }
    }

    /// Three shards, of which these have written and the others read.
    fn written(choices: Choices, writers: &[u16], commits: Commits) -> Desk {
        let mut desk = Desk::with(choices, true, commits, true);
        for (shard, id) in ids().into_iter().enumerate() {
            let writes = writers.contains(&(shard as u16));
            let text =
                if writes { format!("UPDATE users SET name = 'x' WHERE id = {id}") } else { format!("SELECT name FROM users WHERE id = {id}") };
            desk.client(&simple(&text));
        }
        let said = desk.hears();
        assert!(said.iter().all(|said| !said.starts_with('E')), "{said:?}");
        desk
    }

    /// Bytes of the client's, and all that comes of them.
    fn client(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        self.feed();
        while self.turn() {}
    }

    fn feed(&mut self) {
        while !self.over && !self.closed {
            let mut acts = Acts::default();
            let (consumed, halt) = self.coordinator.on_client(&self.held, &self.home, None, &mut acts);
            assert!(!matches!(halt, Halt::Broken(_)), "{halt:?}");
            self.held.drain(..consumed);
            self.carry_out(acts);
            if consumed == 0 {
                break;
            }
        }
    }

    fn carry_out(&mut self, acts: Acts) {
        for act in acts.list {
            assert!(!self.over && !self.closed, "nothing follows the end: {act:?}");
            match act {
                Act::Tell(shard, range) => self.tell(shard, &acts.words[range]),
                Act::Say(range) => self.said.extend_from_slice(&acts.words[range]),
                Act::Keep(_) => {}
                Act::InDoubt(gid) => self.doubts.push(gid),
                Act::Done => self.over = true,
                Act::Close => self.closed = true,
            }
        }
    }

    fn tell(&mut self, shard: u16, words: &[u8]) {
        assert!(!self.gone.contains(&shard) || self.coordinator.turn().is_none(), "shard {shard} has ended, and is told something in a commit");
        // After it whoever comes there is somebody else.
        self.gone.remove(&shard);
        let seat = self.seats.entry(shard).or_insert_with(|| Seat { status: b'I', ..Seat::default() });
        for (kind, body) in messages(words) {
            if kind == b'Q' {
                let text = String::from_utf8(body[..body.len() - 1].to_vec()).expect("text");
                check_order(shard, &text, &self.told, &self.did);
                self.told.push((shard, text));
            }
            if kind != b'H' {
                seat.inbox.push_back((kind, body));
            }
        }
    }

    /// One of those that have something to say is heard; false: nobody has.
    fn turn(&mut self) -> bool {
        let waiting: Vec<u16> =
            self.seats.iter().filter(|(_, seat)| !seat.inbox.is_empty() || !seat.outbox.is_empty()).map(|(shard, _)| *shard).collect();
        if self.closed || waiting.is_empty() {
            return false;
        }
        let shard = waiting[self.choices.pick(waiting.len())];
        if self.seats[&shard].outbox.is_empty() && !self.work(shard) {
            self.ends(shard);
            self.feed();
            return true;
        }
        let Some(seat) = self.seats.get_mut(&shard) else { return true };
        let count = if self.fine { 1 } else { seat.outbox.len() };
        for message in seat.outbox.drain(..count.min(seat.outbox.len())) {
            seat.unread.extend(message);
        }
        let unread = std::mem::take(&mut seat.unread);
        let mut acts = Acts::default();
        let consumed = self.coordinator.on_server(shard, &unread, &mut acts);
        if let Some(seat) = self.seats.get_mut(&shard) {
            seat.unread = unread[consumed..].to_vec();
        }
        self.carry_out(acts);
        self.feed();
        true
    }

    /// A participant's session is over.
    fn ends(&mut self, shard: u16) {
        let seat = self.seats.remove(&shard).expect("a seat");
        let last = [seat.unread, seat.outbox.into_iter().flatten().collect()].concat();
        self.gone.insert(shard);
        if seat.wrote {
            self.stores[usize::from(shard)].end = Some(false);
        }
        let mut acts = Acts::default();
        self.coordinator.on_ended(shard, &last, &mut acts);
        self.carry_out(acts);
    }

    /// A participant does what it was told next; false: that was its end.
    fn work(&mut self, shard: u16) -> bool {
        let Some((kind, body)) = self.seats.get_mut(&shard).and_then(|seat| seat.inbox.pop_front()) else { return true };
        let zero = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let seat = self.seats.get_mut(&shard).expect("a seat");
        if seat.skipping && kind != b'S' {
            return true;
        }
        match kind {
            b'Q' => {
                let text = String::from_utf8(body[..body.len() - 1].to_vec()).expect("text");
                if !self.execute(shard, &text, true) {
                    return false;
                }
                let seat = self.seats.get_mut(&shard).expect("a seat");
                if !seat.copying {
                    let status = seat.status;
                    seat.outbox.push_back(words(|out| ready(out, status)));
                }
            }
            b'P' => {
                let name = zero(&body);
                seat.statements.insert(name.clone(), String::from_utf8(zero(&body[name.len() + 1..])).expect("text"));
                seat.outbox.push_back(words(server::parse_complete));
            }
            b'B' => {
                let (portal, name) = bind_names(&body).expect("names");
                let text = seat.statements.get(name).cloned().expect("a statement that was parsed there");
                seat.portals.insert(portal.to_vec(), text);
                seat.outbox.push_back(words(server::bind_complete));
            }
            b'E' => {
                let text = seat.portals.get(&zero(&body)).cloned().expect("a portal that was bound there");
                return self.execute(shard, &text, false);
            }
            b'C' => seat.outbox.push_back(words(server::close_complete)),
            b'S' => {
                seat.skipping = false;
                let status = seat.status;
                seat.outbox.push_back(words(|out| ready(out, status)));
            }
            b'd' => {}
            b'c' | b'f' if seat.copying => {
                seat.copying = false;
                let answer = if kind == b'c' { words(|out| command_complete(out, "COPY 1").expect("short")) } else { failure("57014", "ERROR") };
                let status = seat.status;
                seat.outbox.extend([answer, words(|out| ready(out, status))]);
            }
            _ => panic!("{}", char::from(kind)),
        }
        true
    }

    fn execute(&mut self, shard: u16, text: &str, simple: bool) -> bool {
        let fault = self.faults.iter().position(|(on, part, _)| *on == shard && text.contains(part)).map(|at| self.faults.remove(at).2);
        if matches!(fault, Some(Fault::Ends)) {
            return false;
        }
        let done = match fault {
            Some(Fault::Leaves(code)) => {
                self.seats.get_mut(&shard).expect("a seat").outbox.push_back(failure(code, "FATAL"));
                return false;
            }
            Some(Fault::Fails(code)) => Err(code),
            _ => self.does(shard, text, simple),
        };
        let seat = self.seats.get_mut(&shard).expect("a seat");
        match done {
            Ok(answer) => {
                if let Some(tag) = answer.iter().find(|message| message[0] == b'C').and_then(|message| parse_command_complete(&message[HEADER..])) {
                    self.did.push((shard, String::from_utf8_lossy(tag).into_owned()));
                }
                seat.outbox.extend(answer);
            }
            Err(code) => {
                seat.outbox.push_back(failure(code, "ERROR"));
                seat.skipping = !simple;
                if matches!(text, "COMMIT" | "ROLLBACK") || text.starts_with("PREPARE TRANSACTION") {
                    // What ends a transaction and fails has ended it.
                    seat.status = b'I';
                    if std::mem::take(&mut seat.wrote) {
                        self.stores[usize::from(shard)].end = Some(false);
                    }
                } else if seat.status == b'T' {
                    seat.status = b'E';
                }
            }
        }
        if matches!(fault, Some(Fault::EndsBehind)) {
            self.seats.get_mut(&shard).expect("a seat").outbox.clear();
            return false;
        }
        true
    }

    /// As PostgreSQL would.
    fn does(&mut self, shard: u16, text: &str, simple: bool) -> Result<Vec<Vec<u8>>, &'static str> {
        let (seat, store) = (self.seats.get_mut(&shard).expect("a seat"), &mut self.stores[usize::from(shard)]);
        let tag = |tag: &str| Ok(vec![words(|out| command_complete(out, tag).expect("short"))]);
        let oid = self.types[usize::from(shard)];
        let rows = |values: &[String]| {
            let head = words(|out| row_description(out, &[("name", oid, -1)]).expect("short"));
            let rows = values.iter().map(|value| words(|out| data_row(out, &[Some(value.as_bytes())]).expect("short")));
            let tag = words(|out| command_complete(out, &format!("SELECT {}", values.len())).expect("short"));
            // An Execute says no columns.
            Ok(simple.then_some(head).into_iter().chain(rows).chain([tag]).collect())
        };
        let failed = seat.status == b'E';
        let mut ends = |seat: &mut Seat, commits: bool| {
            let commits = commits && seat.status == b'T';
            seat.status = b'I';
            if std::mem::take(&mut seat.wrote) {
                store.end = Some(commits);
            }
            commits
        };
        if let Some(name) = text.strip_prefix("PREPARE TRANSACTION ") {
            assert!(seat.wrote || failed, "who has only read is not prepared");
            if failed {
                ends(seat, false);
                return tag("ROLLBACK");
            }
            (seat.status, seat.wrote) = (b'I', false);
            store.prepared = Some(name.trim_matches('\'').to_owned());
            return tag("PREPARE TRANSACTION");
        }
        match text {
            "COMMIT" => return tag(if ends(seat, true) { "COMMIT" } else { "ROLLBACK" }),
            "ROLLBACK" => {
                ends(seat, false);
                return tag("ROLLBACK");
            }
            _ if failed && !text.starts_with("ROLLBACK TO") => return Err("25P02"),
            "BEGIN" => {
                seat.status = b'T';
                return tag("BEGIN");
            }
            commit::WROTE => return rows(&[if seat.wrote { "t" } else { "f" }.to_owned()]),
            commit::NUMBER => {
                seat.wrote = true;
                return rows(&["5".to_owned()]);
            }
            _ => {}
        }
        let said = text.rsplit("*/").next().unwrap_or_default();
        let verb: String = said.trim_start().chars().take_while(|letter| letter.is_ascii_alphabetic()).collect();
        match verb.as_str() {
            "ROLLBACK" if text.contains("PREPARED") => {
                (store.prepared, store.end) = (None, Some(false));
                tag("ROLLBACK PREPARED")
            }
            "ROLLBACK" => {
                seat.status = b'T';
                tag("ROLLBACK")
            }
            "COMMIT" if text.contains("PREPARED") => {
                assert!(store.prepared.take().is_some(), "{text}");
                store.end = Some(true);
                tag("COMMIT PREPARED")
            }
            "UPDATE" | "INSERT" => {
                seat.wrote |= seat.status == b'T';
                tag(if verb == "UPDATE" { "UPDATE 1" } else { "INSERT 0 1" })
            }
            "COPY" => {
                (seat.copying, seat.wrote) = (true, seat.status == b'T');
                Ok(vec![framed(b'G', &[0, 0, 2, 0, 0, 0, 0])])
            }
            "SELECT" if text.contains("dog.decide") => {
                assert!(seat.wrote, "a decider has a number of its own before anybody prepares");
                rows(&[String::new()])
            }
            "SELECT" => rows(&[format!("{shard}a"), format!("{shard}b")]),
            "SAVEPOINT" | "SET" | "NOTIFY" => tag(&verb),
            _ => panic!("{text}"),
        }
    }

    /// What the client has heard since the last call: the types of messages, with what matters of them.
    fn hears(&mut self) -> Vec<String> {
        let said = std::mem::take(&mut self.said);
        let shown = |(kind, body): (u8, Vec<u8>)| {
            let kind = char::from(kind);
            match kind {
                'E' | 'N' => {
                    let fields = error_fields(&body).expect("fields");
                    format!("{kind} {}{}", if fields.is_fatal() { "FATAL " } else { "" }, fields.sqlstate())
                }
                'C' => format!("C {}", String::from_utf8_lossy(parse_command_complete(&body).expect("a tag"))),
                'D' => format!("D {}", String::from_utf8_lossy(&body[6..])),
                'Z' => format!("Z {}", char::from(body[0])),
                _ => kind.to_string(),
            }
        };
        messages(&said).into_iter().map(shown).collect()
    }

    /// All that is left when everybody has gone, and recovery has been there: by shard, whether what it wrote is there.
    fn outcome(&mut self) -> Vec<Option<bool>> {
        if self.closed {
            // What was sent to a server is done there or not, when its client has gone.
            for shard in self.seats.keys().copied().collect::<Vec<_>>() {
                if !self.seats[&shard].inbox.is_empty() && self.choices.pick(2) == 1 {
                    while self.seats.get(&shard).is_some_and(|seat| !seat.inbox.is_empty()) && self.work(shard) {}
                }
                if self.seats[&shard].wrote {
                    self.stores[usize::from(shard)].end = Some(false);
                }
            }
        } else {
            assert!(self.over && matches!(self.coordinator.work, Work::Idle), "it has come to an end");
            for (shard, seat) in &self.seats {
                assert!(seat.status == b'I' && seat.inbox.is_empty() && seat.outbox.is_empty(), "shard {shard} is free");
            }
        }
        for shard in 0..3 {
            let Some(name) = self.stores[shard].prepared.take() else { continue };
            let (gid, participant) = Gid::parse(&name).expect("a name of ours");
            assert_eq!(usize::from(participant), shard);
            assert!(self.doubts.contains(&gid), "recovery hears of what is left prepared");
            let decided = self.stores[usize::from(gid.decider)].end == Some(true);
            self.stores[shard].end = Some(decided);
        }
        self.stores.iter().map(|store| store.end).collect()
    }

    fn told_to(&self, shard: u16) -> Vec<&str> {
        self.told.iter().filter(|(on, _)| *on == shard).map(|(_, text)| text.as_str()).collect()
    }
}

/// The turns of a commit, as `route::commit` has them: nobody is told to do what depends on something that is not done.
fn check_order(shard: u16, text: &str, told: &[(u16, String)], did: &[(u16, String)]) {
    let prepares: Vec<u16> = told.iter().filter(|(_, text)| text.starts_with("PREPARE TRANSACTION")).map(|(shard, _)| *shard).collect();
    let decider = told.iter().find(|(_, text)| text.contains("dog.decide")).map(|(shard, _)| *shard);
    let has = |shard: u16, tag: &str| did.iter().any(|(on, done)| *on == shard && done == tag);
    let decided = decider.is_some_and(|decider| has(decider, "COMMIT"));
    let prepared = || prepares.iter().all(|shard| has(*shard, "PREPARE TRANSACTION"));
    if text.starts_with("COMMIT PREPARED") {
        assert!(decided, "shard {shard} does what is not decided");
    } else if text.starts_with("ROLLBACK PREPARED") {
        assert!(!decided, "shard {shard} undoes what is decided");
    } else if text == "COMMIT" && !prepares.is_empty() {
        assert!(prepared(), "shard {shard} is to commit before all others can");
        assert!(decided || decider == Some(shard), "shard {shard} commits before it is decided");
    }
}

fn lists(said: &[String]) -> Vec<&str> {
    said.iter().map(String::as_str).collect()
}

#[test]
fn a_commit_takes_its_turns_in_every_order_of_answers() {
    let orders = in_every_order(|choices| {
        let mut desk = Desk::written(choices, &[0, 1, 2], able());
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"]);
        for shard in [1, 2] {
            let told = desk.told_to(shard);
            let (prepare, finish) = (told[told.len() - 2], told[told.len() - 1]);
            assert!(prepare.starts_with("PREPARE TRANSACTION 'dog:") && finish.starts_with("COMMIT PREPARED 'dog:"), "{told:?}");
        }
        assert!(matches!(desk.told_to(0)[..], [.., commit::WROTE, decide, "COMMIT"] if decide.starts_with("SELECT dog.decide('dog:")));
        assert!(desk.doubts.is_empty());
        assert_eq!(desk.outcome(), [Some(true); 3]);
        desk
    });
    // Three that say whether they have written, three that prepare, two that finish.
    assert_eq!(orders, 6 * 6 * 2);
}

#[test]
fn who_only_reads_is_not_prepared_and_one_writer_alone_decides() {
    in_every_order(|choices| {
        let mut desk = Desk::written(choices, &[0, 2], able());
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"]);
        assert!(matches!(desk.told_to(1)[..], [.., commit::WROTE, "COMMIT"]), "{:?}", desk.told_to(1));
        assert_eq!(desk.outcome(), [Some(true), None, Some(true)]);
        desk
    });
    for writers in [&[1_u16][..], &[]] {
        in_every_order(|choices| {
            let mut desk = Desk::written(choices, writers, Commits::default());
            desk.client(&simple("COMMIT"));
            assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"], "neither schema dog nor prepared transactions are needed");
            assert!(desk.told.iter().all(|(_, text)| !text.contains("PREPARE") && !text.contains("dog.")), "{:?}", desk.told);
            let first = desk.told.iter().find(|(_, text)| text == "COMMIT").map(|(shard, _)| *shard);
            assert_eq!(first, Some(writers.first().copied().unwrap_or(0)));
            desk.outcome();
            desk
        });
    }
}

#[test]
fn who_cannot_prepare_decides_and_two_such_are_refused() {
    in_every_order(|choices| {
        let mut desk = Desk::written(choices, &[0, 1, 2], Commits { prepares: vec![true, false, true], ..able() });
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"]);
        assert!(desk.told_to(1).last().is_some_and(|text| *text == "COMMIT"), "{:?}", desk.told_to(1));
        assert_eq!(desk.outcome(), [Some(true); 3]);
        desk
    });
    for commits in [Commits { prepares: vec![true, false, false], ..able() }, Commits { id: None, ..able() }] {
        in_every_order(|choices| {
            let mut desk = Desk::written(choices, &[0, 1, 2], commits.clone());
            desk.client(&simple("COMMIT"));
            assert_eq!(lists(&desk.hears()), ["E 55000", "Z I"]);
            assert_eq!(desk.outcome(), [Some(false); 3]);
            desk
        });
    }
}

#[test]
fn a_notify_is_told_by_the_decider_though_it_has_written_nothing() {
    in_every_order(|choices| {
        let mut desk = Desk::written(choices, &[1, 2], able());
        desk.client(&simple("/* pgdog_shard: 0 */ NOTIFY a"));
        assert_eq!(lists(&desk.hears()), ["C NOTIFY", "Z T"]);
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"]);
        let told = desk.told_to(0);
        assert!(matches!(told[..], [.., commit::NUMBER, decide, "COMMIT"] if decide.contains("dog.decide")), "{told:?}");
        assert_eq!(desk.outcome(), [Some(true); 3]);
        desk
    });
}

/// A fault in the commit of three writers, of which shard 0 decides; what the client hears, and whether what was written is there: None = it may.
type Case = (u16, &'static str, Fault, &'static [&'static str], Option<bool>);

const CASES: &[Case] = {
    use Fault::{Ends, EndsBehind, Fails, Leaves};
    const UNKNOWN: &[&str] = &["E FATAL 08007"];
    const LOST: &[&str] = &["E FATAL 08006"];
    const LATE: &[&str] = &["N 01000", "C COMMIT", "Z I"];
    const DONE: &[&str] = &["C COMMIT", "Z I"];
    &[
        // Who does not say whether it has written has.
        (1, "pg_current_xact", Fails("57014"), &["C ROLLBACK", "Z I"], Some(false)),
        (0, "pg_current_xact", Ends, LOST, Some(false)),
        (2, "pg_current_xact", EndsBehind, LOST, Some(false)),
        (2, "pg_current_xact", Leaves("57P01"), LOST, Some(false)),
        (1, "PREPARE TRANSACTION", Fails("40001"), &["E 40001", "Z I"], Some(false)),
        (2, "PREPARE TRANSACTION", Fails("23503"), &["E 23503", "Z I"], Some(false)),
        (1, "PREPARE TRANSACTION", Ends, LOST, Some(false)),
        (1, "PREPARE TRANSACTION", EndsBehind, LOST, Some(false)),
        (2, "PREPARE TRANSACTION", Leaves("57P01"), &["E FATAL 57P01"], Some(false)),
        (0, "dog.decide", Fails("23505"), &["E 23505", "Z I"], Some(false)),
        (0, "dog.decide", Ends, LOST, Some(false)),
        (0, "dog.decide", EndsBehind, LOST, Some(false)),
        (0, "COMMIT", Fails("40001"), &["E 40001", "Z I"], Some(false)),
        (0, "COMMIT", Ends, UNKNOWN, Some(false)),
        (0, "COMMIT", EndsBehind, UNKNOWN, Some(true)),
        (0, "COMMIT", Leaves("57P01"), UNKNOWN, Some(false)),
        // Recovery was faster.
        (1, "COMMIT PREPARED", Fails("42704"), DONE, None),
        (1, "COMMIT PREPARED", Fails("53200"), LATE, Some(true)),
        (2, "COMMIT PREPARED", Ends, LATE, Some(true)),
        (2, "COMMIT PREPARED", EndsBehind, LATE, Some(true)),
        (1, "COMMIT PREPARED", Leaves("57P01"), LATE, Some(true)),
    ]
};

#[test]
fn a_fault_at_any_point_of_a_commit_leaves_all_or_nothing_and_the_client_is_told_which() {
    for &(shard, part, fault, heard, there) in CASES {
        in_every_order(|choices| {
            let mut desk = Desk::written(choices, &[0, 1, 2], able());
            desk.faults.push((shard, part, fault));
            desk.client(&simple("COMMIT"));
            let said = desk.hears();
            assert_eq!(lists(&said), heard, "shard {shard}, {part}, {fault:?}");
            assert!(desk.faults.is_empty(), "{part} was not told to shard {shard}");
            assert_eq!(desk.closed, said[0].contains("FATAL"));
            if fault == Fault::Fails(commit::GONE) {
                // The script's own: what recovery has done is done.
                desk.stores[1] = Store { prepared: None, end: Some(true) };
            }
            let outcome = desk.outcome();
            assert_eq!(outcome, [Some(there.unwrap_or(true)); 3], "shard {shard}, {part}, {fault:?}: {:?}", desk.told);
            desk
        });
    }
}

#[test]
fn an_error_on_one_shard_puts_all_in_a_failed_transaction() {
    let [zero, one, two] = ids();
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, true);
        desk.client(&simple(&format!("UPDATE users SET name = 'x' WHERE id = {zero}")));
        desk.client(&simple("SAVEPOINT a"));
        desk.faults.push((1, "UPDATE", Fault::Fails("23505")));
        desk.client(&simple(&format!("UPDATE users SET name = 'x' WHERE id = {one}")));
        assert_eq!(lists(&desk.hears()), ["C UPDATE 1", "Z T", "C SAVEPOINT", "Z T", "E 23505", "Z E"]);
        assert_eq!(desk.told_to(1)[..2], ["BEGIN", "SAVEPOINT \"a\""], "who joins stands where the others do");
        let before = desk.told.len();
        desk.client(&simple(&format!("UPDATE users SET name = 'y' WHERE id = {zero}")));
        desk.client(&[steps("SELECT 1"), words(client::sync)].concat());
        desk.client(&simple(&format!("SELECT 1 FROM users WHERE id = {two}")));
        assert_eq!(lists(&desk.hears()), ["E 25P02", "Z E", "E 25P02", "Z E", "E 25P02", "Z E"]);
        assert_eq!(desk.told.len(), before, "nobody is told anything");
        desk.client(&simple("ROLLBACK TO a"));
        desk.client(&simple(&format!("UPDATE users SET name = 'y' WHERE id = {one}")));
        assert_eq!(lists(&desk.hears()), ["C ROLLBACK", "Z T", "C UPDATE 1", "Z T"]);
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"]);
        assert_eq!(desk.outcome(), [Some(true), Some(true), None]);
        desk
    });
    // COMMIT of what has failed is a ROLLBACK.
    in_every_order(|choices| {
        let mut desk = Desk::written(choices, &[0, 1, 2], able());
        desk.faults.push((2, "UPDATE", Fault::Fails("22012")));
        desk.client(&simple("UPDATE users SET name = 'z'"));
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["E 22012", "Z E", "C ROLLBACK", "Z I"]);
        assert_eq!(desk.outcome(), [Some(false); 3]);
        desk
    });
}

#[test]
fn a_request_that_writes_on_several_shards_is_a_transaction_of_its_own() {
    let [zero, one, _] = ids();
    let text = format!("UPDATE users SET name = 'x' WHERE id IN ({zero}, {one})");
    let orders = in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.client(&simple(&text));
        assert_eq!(lists(&desk.hears()), ["C UPDATE 2", "Z I"]);
        let told = desk.told_to(1);
        assert!(matches!(told[..], ["BEGIN", _, commit::WROTE, _, _]), "{told:?}");
        assert_eq!(desk.outcome(), [Some(true), Some(true), None]);
        desk
    });
    // Of two that begin, write and say that they have; then both take their first turn.
    assert_eq!(orders, 20 * 2);
    for (fault, heard) in
        [(Fault::Fails("23505"), &["E 23505", "Z I"][..]), (Fault::Ends, &["E FATAL 08006"]), (Fault::Leaves("57P01"), &["E FATAL 57P01"])]
    {
        in_every_order(|choices| {
            let mut desk = Desk::new(choices, false);
            desk.faults.push((1, "UPDATE", fault));
            desk.client(&simple(&text));
            assert_eq!(lists(&desk.hears()), heard);
            let outcome = desk.outcome();
            assert!(outcome.iter().all(|end| *end != Some(true)), "{outcome:?}");
            desk
        });
    }
    let mut desk = Desk::with(Choices::default(), false, able(), false);
    desk.client(&simple("UPDATE users SET name = 'x'"));
    assert_eq!(lists(&desk.hears()), ["E 0A000", "Z I"]);
    assert!(desk.told.is_empty());
}

#[test]
fn answers_come_together_wherever_they_are_cut() {
    let orders = in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.fine = true;
        let [zero, one, _] = ids();
        desk.client(&simple(&format!("SELECT name FROM users WHERE id IN ({zero}, {one})")));
        let mut said = desk.hears();
        assert_eq!(said[0], "T");
        assert_eq!(said[5..], ["C SELECT 4", "Z I"]);
        said[1..5].sort();
        assert_eq!(said[1..5], ["D 0a", "D 0b", "D 1a", "D 1b"]);
        desk.outcome();
        desk
    });
    // Of ten messages, which five are the first shard's.
    assert_eq!(orders, 252);
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.fine = true;
        let [zero, one, _] = ids();
        desk.faults.push((1, "SELECT", Fault::Fails("22012")));
        desk.client(&simple(&format!("SELECT name FROM users WHERE id IN ({zero}, {one})")));
        let said = desk.hears();
        assert_eq!(said[said.len() - 2..], ["E 22012", "Z I"]);
        assert!(said.iter().all(|said| !said.starts_with('C')), "no tag says that the rows are all: {said:?}");
        desk.outcome();
        desk
    });
}

#[test]
fn a_batch_that_comes_to_a_second_shard_is_one_transaction() {
    let [zero, one, _] = ids();
    let write = |id: i64| steps(&format!("UPDATE users SET name = 'x' WHERE id = {id}"));
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.client(&[write(zero), write(one), words(client::sync)].concat());
        assert_eq!(lists(&desk.hears()), ["1", "2", "C UPDATE 1", "1", "2", "C UPDATE 1", "Z I"]);
        assert_eq!(desk.outcome()[1], Some(true));
        desk
    });
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.faults.push((1, "UPDATE", Fault::Fails("23505")));
        desk.client(&[write(zero), write(one), write(zero), words(client::sync)].concat());
        assert_eq!(lists(&desk.hears()), ["1", "2", "C UPDATE 1", "1", "2", "E 23505", "Z I"]);
        assert!(desk.outcome().iter().all(|end| *end != Some(true)), "{:?}", desk.stores.map(|store| store.end));
        desk
    });
}

#[test]
fn who_is_lost_while_nothing_is_asked_of_it_ends_the_client() {
    for (shard, last, heard) in [(0, None, "E FATAL 08006"), (1, None, "E FATAL 08006"), (2, Some("57P01"), "E FATAL 57P01")] {
        let mut desk = Desk::written(Choices::default(), &[0, 1, 2], able());
        if let Some(code) = last {
            desk.seats.get_mut(&shard).expect("a seat").outbox.push_back(failure(code, "FATAL"));
        }
        desk.ends(shard);
        assert_eq!(lists(&desk.hears()), [heard]);
        assert!(desk.closed);
        assert_eq!(desk.outcome(), [Some(false); 3]);
    }
}

#[test]
fn a_rollback_goes_on_without_who_is_lost() {
    for shard in 0..3 {
        for fault in [Fault::Ends, Fault::EndsBehind, Fault::Fails("XX000")] {
            in_every_order(|choices| {
                let mut desk = Desk::written(choices, &[0, 1, 2], able());
                desk.faults.push((shard, "ROLLBACK", fault));
                desk.client(&simple("ROLLBACK"));
                assert_eq!(lists(&desk.hears()), ["C ROLLBACK", "Z I"], "{shard} {fault:?}");
                assert_eq!(desk.outcome(), [Some(false); 3]);
                desk
            });
        }
    }
}

#[test]
fn the_clients_own_session_may_be_lost_in_the_last_turn() {
    // Shard 1 decides, so that the client's own session is one of those that are prepared.
    for fault in [Fault::Ends, Fault::EndsBehind] {
        in_every_order(|choices| {
            let mut desk = Desk::written(choices, &[0, 1, 2], Commits { prepares: vec![true, false, true], ..able() });
            desk.faults.push((0, "COMMIT PREPARED", fault));
            desk.client(&simple("COMMIT"));
            assert_eq!(lists(&desk.hears()), ["N 01000", "C COMMIT", "Z I"]);
            assert!(!desk.closed, "what follows is whoever takes over's business");
            assert_eq!(desk.outcome(), [Some(true); 3]);
            desk
        });
        // In a batch nobody takes over: its next messages have nowhere to go.
        in_every_order(|choices| {
            let mut desk = Desk::written(choices, &[0, 1, 2], Commits { prepares: vec![true, false, true], ..able() });
            desk.faults.push((0, "COMMIT PREPARED", fault));
            desk.client(&[steps("COMMIT"), words(client::sync)].concat());
            let said = desk.hears();
            assert_eq!(lists(&said[said.len() - 3..]), ["N 01000", "C COMMIT", "E FATAL 08006"], "{said:?}");
            assert!(desk.closed);
            assert_eq!(desk.outcome(), [Some(true); 3]);
            desk
        });
    }
}

#[test]
fn a_batch_goes_on_without_a_participant_that_was_lost_in_its_commit() {
    let [zero, one, two] = ids();
    let write = |id: i64| steps(&format!("UPDATE users SET name = 'x' WHERE id = {id}"));
    in_every_order(|choices| {
        let mut desk = Desk::written(choices, &[0, 1, 2], able());
        desk.faults.push((1, "COMMIT PREPARED", Fault::EndsBehind));
        desk.client(&steps("COMMIT"));
        let said = desk.hears();
        assert_eq!(said[said.len() - 2..], ["N 01000", "C COMMIT"], "{said:?}");
        assert_eq!(desk.stores.iter().map(|store| store.end).collect::<Vec<_>>(), [Some(true); 3]);
        desk.stores = Default::default();
        (desk.told, desk.did) = Default::default();
        // The next transaction of the batch opens another session there, which ends with it as all others do.
        desk.client(&[steps("BEGIN"), write(zero), write(one), write(two), steps("COMMIT"), words(client::sync)].concat());
        let said = desk.hears();
        assert_eq!(said[said.len() - 2..], ["C COMMIT", "Z I"], "{said:?}");
        assert!(!said.contains(&"N 01000".to_owned()) && desk.doubts.len() == 1, "nothing is left to recovery: {said:?}");
        assert_eq!(desk.outcome(), [Some(true); 3]);
        desk
    });
}

#[test]
fn a_copy_that_fails_on_one_shard_is_given_up_on_all() {
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.faults.push((2, "COPY", Fault::Fails("42501")));
        desk.client(&simple("COPY users FROM STDIN"));
        assert_eq!(lists(&desk.hears()), ["E 42501", "Z I"]);
        assert!(desk.seats.values().all(|seat| !seat.copying));
        desk.outcome();
        desk
    });
    let mut desk = Desk::new(Choices::default(), false);
    desk.client(&simple("COPY users FROM STDIN"));
    assert_eq!(lists(&desk.hears()), ["G"]);
    desk.client(&[framed(b'd', b"1\ta\n2\tb\n3\tc\n4\td\n"), framed(b'c', b"")].concat());
    assert_eq!(lists(&desk.hears()), ["C COPY 3", "Z I"], "the script says one row for each shard");
    assert_eq!(desk.outcome(), [Some(true); 3]);
}

#[test]
fn a_text_of_several_statements_is_one_transaction() {
    let [zero, one, two] = ids();
    let update = |id: i64| format!("UPDATE users SET name = 'x' WHERE id = {id}");
    let text = format!("{}; SELECT 1; {};{}", update(one), update(two), update(one));
    let run = |choices, fine| {
        let mut desk = Desk::new(choices, false);
        desk.fine = fine;
        desk.client(&simple(&text));
        assert_eq!(lists(&desk.hears()), ["C UPDATE 1", "T", "D 1a", "D 1b", "C SELECT 2", "C UPDATE 1", "C UPDATE 1", "Z I"]);
        let own = |shard: u16| desk.told_to(shard).into_iter().map(str::trim).take(4).collect::<Vec<_>>();
        assert_eq!(own(1), ["BEGIN", &update(one), "SELECT 1", &update(one)]);
        assert_eq!(own(2)[..2], ["BEGIN", &update(two)]);
        assert!(desk.told_to(0).is_empty(), "what any shard can do is done where the others are: {:?}", desk.told);
        assert_eq!(desk.outcome(), [None, Some(true), Some(true)]);
        desk
    };
    in_every_order(|choices| run(choices, false));
    run(Choices::default(), true);
    // The last one's tag is told when all is committed.
    for (shard, part) in [(2, "PREPARE"), (1, "COMMIT")] {
        in_every_order(|choices| {
            let mut desk = Desk::new(choices, false);
            desk.faults.push((shard, part, Fault::Fails("23514")));
            desk.client(&simple(&format!("{}; {}", update(one), update(two))));
            assert_eq!(lists(&desk.hears()), ["C UPDATE 1", "E 23514", "Z I"], "{part}");
            assert_eq!(desk.outcome(), [None, Some(false), Some(false)]);
            desk
        });
    }
    // In a transaction of the client's they are a part of it.
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, true);
        desk.client(&simple(&format!("{}; {}", update(zero), update(two))));
        assert_eq!(lists(&desk.hears()), ["C UPDATE 1", "C UPDATE 1", "Z T"]);
        desk.client(&simple("COMMIT"));
        assert_eq!(lists(&desk.hears()), ["C COMMIT", "Z I"]);
        assert_eq!(desk.outcome(), [Some(true), None, Some(true)]);
        desk
    });
}

#[test]
fn an_error_in_a_text_of_several_statements_ends_it() {
    let [zero, one, two] = ids();
    let update = |id: i64| format!("UPDATE users SET name = 'x' WHERE id = {id}");
    let text = format!("{}; {}; UPDATE users SET name = 'all'; {}", update(zero), update(one), update(two));
    let tags = ["C UPDATE 1", "C UPDATE 1", "C UPDATE 3"];
    for begun in [false, true] {
        for (shard, part, before) in [(0, "id", 0), (1, "id", 1), (0, "all", 2), (1, "all", 2), (2, "id", 3)] {
            let mut desk = Desk::new(Choices::default(), begun);
            desk.faults.push((shard, part, Fault::Fails("23505")));
            desk.client(&simple(&text));
            let ends = ["E 23505", if begun { "Z E" } else { "Z I" }];
            assert_eq!(lists(&desk.hears()), [&tags[..before], &ends[..]].concat(), "{shard} {part}");
            assert!(desk.faults.is_empty() && desk.coordinator.pieces.is_none());
            if begun {
                desk.client(&simple(&text));
                desk.client(&simple("COMMIT"));
                assert_eq!(lists(&desk.hears()), ["E 25P02", "Z E", "C ROLLBACK", "Z I"]);
            }
            assert!(desk.outcome().iter().all(|there| *there != Some(true)), "{:?}", desk.told);
        }
    }
    let short = format!("{}; {}", update(zero), update(one));
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.faults.push((1, "id", Fault::Fails("23505")));
        desk.client(&simple(&short));
        assert_eq!(lists(&desk.hears()), ["C UPDATE 1", "E 23505", "Z I"]);
        assert!(desk.outcome().iter().all(|there| *there != Some(true)), "{:?}", desk.told);
        desk
    });
    // Who is gone in the middle of it takes the client along.
    in_every_order(|choices| {
        let mut desk = Desk::new(choices, false);
        desk.faults.push((1, "id", Fault::Ends));
        desk.client(&simple(&short));
        assert_eq!(lists(&desk.hears()), ["C UPDATE 1", "E FATAL 08006"]);
        assert!(desk.closed && desk.outcome().iter().all(|there| *there != Some(true)));
        desk
    });
    // Nothing of what is refused runs.
    for (atomic, text) in [(true, format!("{}; BEGIN; {}", update(zero), update(one))), (false, text)] {
        let mut desk = Desk::with(Choices::default(), false, able(), atomic);
        desk.client(&simple(&text));
        assert_eq!(lists(&desk.hears()), ["E 0A000", "Z I"], "{text}");
        assert!(desk.told.is_empty() && desk.over);
    }
}
