//! From a request to its shard, for one database on one core: what its text is planned to need, with the values of this request, under what the
//! session says by hand.
//!
//! Invariant: a request goes to one shard only if every key in it leads there, and to several only if its plan says that their answers make the
//! answer. What leads nowhere or cannot be read is refused with the reason. Who says most precisely where something goes is obeyed: a comment, then
//! the session, then the keys. What each of several shards gets is left to `over`.

use std::sync::Arc;

use crate::config::sharded::Home;
use crate::sql::directive::{self, Directives};
use crate::sql::explained::Explained;
use crate::sql::outline::Session;
use crate::sql::plan::{Any, Many, Plan, Target};
use crate::sql::scan::CORE;
use crate::sql::texts::{Found, Read, Reading, SHAPES_BYTES, Texts};
use crate::wire::bind::Values;

use super::apart;
use super::behind;
use super::cluster::Cluster;
use super::commit;
use super::explain::{self, Why};
use super::key::{self, Format, Server};
use super::keys::{Ground, Route, keyed, placed, rows, united, within_limit};
use super::large::{Answer, Larges, Question};
use super::over;
use super::refusals::{forbidden, foreign, from_plan, lost, nobody_knows, not_carried, refused, too_large};
use super::remarks::{Remark, Remarks};
use super::request::{Refused, Where};
use super::schema::{Schema, View};
use super::spaces::Spaces;
use super::topology::Topology;

/// What the names of our parameters of routes begin with.
const PARAMETERS: &[u8] = b"pgdog.shard";
/// What a session says about the route of its requests, and about how their texts are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Says<'a> {
    /// `pgdog.shard`
    pub shard: Option<&'a str>,
    /// `pgdog.sharding_key`
    pub key: Option<&'a str>,
    /// `standard_conforming_strings` is surely on
    pub standard: bool,
    /// `search_path`, if the session has a word of its own on it
    pub search_path: Option<&'a str>,
    /// `client_encoding`, if the session has a word of its own on it
    pub encoding: Option<&'a str>,
    /// parameters may have changed in this transaction
    pub unsure: bool,
    /// what SQL prepares goes with its session from server to server
    pub prepares: bool,
    /// its requests go to one shard each: `cross_shard_disabled`
    pub one_shard: bool,
    /// EXPLAIN shows its route, `expanded_explain`: the shard that what any shard can answer goes to
    pub explains: Option<u16>,
}

impl Says<'_> {
    /// Of a session that has said nothing.
    pub const NOTHING: Says<'static> = Says {
        shard: None,
        key: None,
        standard: true,
        search_path: None,
        encoding: None,
        unsure: false,
        one_shard: false,
        prepares: false,
        explains: None,
    };

    /// Whether its texts come as the servers keep them. Another encoding is another hash.
    pub fn is_utf8(&self) -> bool {
        self.encoding.is_none_or(|name| ["utf8", "utf-8", "unicode"].iter().any(|known| name.trim().eq_ignore_ascii_case(known)))
    }
}

/// What a Bind brings.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    pub values: Values<'a>,
    /// OIDs of the parameters' types as the Parse says them, four bytes each; 0 or missing: PostgreSQL decides
    pub types: &'a [u8],
}

/// Routes the requests of one database on one core.
#[derive(Debug)]
pub struct Router {
    cluster: Arc<Cluster>,
    texts: Texts,
    spaces: Spaces,
    larges: Larges,
    /// requests for one shard, and for several
    direct: u64,
    multi: u64,
    /// requests that went nowhere
    refused: u64,
    remarks: Remarks,
}

/// What a router has done so far, and what it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// texts whose plans were kept, and texts that were parsed
    pub hits: u64,
    pub misses: u64,
    /// verdicts that named one shard, and several
    pub direct: u64,
    pub multi: u64,
    /// verdicts that named none
    pub refused: u64,
    /// what is kept, and its bytes, about
    pub shapes: u64,
    pub bytes: u64,
}

impl Router {
    /// For a database.
    pub fn new(cluster: Arc<Cluster>) -> Router {
        Router {
            cluster,
            texts: Texts::new(SHAPES_BYTES),
            spaces: Spaces::default(),
            larges: Larges::default(),
            direct: 0,
            multi: 0,
            refused: 0,
            remarks: Remarks::default(),
        }
    }

    /// What is known of the database now.
    pub fn learn(&mut self, cluster: Arc<Cluster>) {
        if cluster.number != self.cluster.number {
            self.cluster = cluster;
            self.spaces.forget();
            self.larges.forget();
        }
    }

    /// A text that a helper has to read, after `Refused::unread`.
    pub fn asks(&mut self) -> Option<Arc<Question>> {
        self.larges.take()
    }

    /// A helper has read it. What it found in a database that has changed meanwhile is worth nothing: the text is asked about again.
    pub fn answered(&mut self, question: Arc<Question>) {
        if question.is_about(&self.cluster) {
            self.larges.keep(question);
        }
    }

    /// The database as it is known now.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone()
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.cluster.topology.shards()
    }

    /// What it has done so far. A request that is looked at again, because more of it has come or it goes to several
    /// shards and has a coordinator now, counts again.
    pub fn done(&self) -> Done {
        let (shapes, bytes) = self.texts.kept();
        Done {
            hits: self.texts.found(),
            misses: self.texts.parsed(),
            direct: self.direct,
            multi: self.multi,
            refused: self.refused,
            shapes: shapes as u64,
            bytes: bytes as u64,
        }
    }

    /// Where a text goes, executed by `user`; `bound` is what its Bind brings, if there is one.
    pub fn route(&mut self, text: &[u8], bound: Option<&Bound<'_>>, says: &Says<'_>, user: &str) -> Route {
        let route = self.decide(text, bound, says, user);
        match &route {
            Ok(Where::Over(_)) => self.multi += 1,
            Ok(_) => self.direct += 1,
            // Until it is known what there is, nothing is said of the text.
            Err(refused) if refused.is_unread() => {}
            Err(_) => self.refused += u64::from(self.cluster.schema().is_ok()),
        }
        route
    }

    /// The same in a dry run: nothing comes of it, but why a text would go nowhere is kept for the operator.
    pub fn rehearse(&mut self, text: &[u8], bound: Option<&Bound<'_>>, says: &Says<'_>, user: &str) -> Route {
        let route = self.route(text, bound, says, user);
        if let Err(refused) = &route
            && !refused.is_unread()
            && self.cluster.schema().is_ok()
        {
            self.remarks.add(text, refused);
        }
        route
    }

    /// What was refused in a dry run.
    pub fn remarks(&self) -> &[Remark] {
        self.remarks.all()
    }

    fn decide(&mut self, text: &[u8], bound: Option<&Bound<'_>>, says: &Says<'_>, user: &str) -> Route {
        let Router { cluster: shared, texts, spaces, larges, .. } = self;
        // Counting it would be a write to what all cores read.
        let cluster = &**shared;
        let schema = cluster.schema()?;
        if says.unsure && (text.contains(&b'\\') || schema.depends_on_path()) {
            return Err(Refused::unsupported(
                "parameters that decide how a statement is read have been changed in this transaction",
                "Change search_path and standard_conforming_strings before the transaction.",
            ));
        }
        let ascii = text.is_ascii() && bound.is_none_or(|bound| bound.values.are_ascii());
        if !(ascii || says.is_utf8()) {
            return by_hand(cluster, says, schema).unwrap_or_else(|| Err(foreign()));
        }
        let space = spaces.of((says.standard, says.search_path), user);
        let view = View { schema, topology: &cluster.topology, search_path: says.search_path, user, listed: &cluster.listed };
        let reading = Reading { standard: says.standard, space, limits: CORE };
        let found = if bound.is_some() { texts.read_again(text, reading, &view) } else { texts.read(text, reading, &view) };
        let hand = |otherwise: fn(&[u8]) -> Box<Refused>| by_hand(cluster, says, schema).unwrap_or_else(|| Err(otherwise(text)));
        let (read, rows, fixed) = match found {
            Found::Plans(read) => (read, None, None),
            Found::Foreign => return hand(|_| foreign()),
            Found::Beyond(_) if (says.shard.is_some() || says.key.is_some()) && !directive::may_be_in(text) => return hand(too_large),
            Found::Beyond(_) if !larges.find(text, space) => match larges.ask(shared, text, space, says, user) {
                true => return Err(Refused::unread()),
                false => return hand(too_large),
            },
            Found::Beyond(_) => match larges.found() {
                Some(Answer::Read(known)) => (
                    Read { plans: known.plans.clone(), literals: &known.literals, directives: &known.directives },
                    known.rows.as_ref(),
                    known.route.as_ref(),
                ),
                Some(Answer::Beyond) => return hand(too_large),
                Some(Answer::Foreign) => return hand(|_| foreign()),
                Some(Answer::Lost) | None => return hand(|_| lost()),
            },
        };
        let ground = Ground { cluster, schema, says, text, literals: read.literals, rows, bound };
        if let Some(route) = prepared(&ground, &read) {
            return route;
        }
        let explains = says.explains.zip(explained(&read.plans));
        let shown = |route: Route, why: Why| match explains {
            Some((here, explained)) => explain::plans(&cluster.topology, route?, why, explained, here),
            None => route,
        };
        if let Some(route) = said(&ground, read.directives) {
            return shown(route, Why::Comment);
        }
        if let Some(route) = by_hand(cluster, says, schema) {
            return shown(route, Why::Session);
        }
        let route = match (explains, fixed) {
            (Some((_, explained)), _) => planned(&ground, &explained.target, read.plans.iter().any(|plan| plan.write)),
            (None, Some(fixed)) => fixed.clone(),
            (None, None) => combined(&ground, &read),
        };
        match shown(route, Why::Statement)? {
            Where::Over(over) if says.one_shard && over.parts.len() > 1 => Err(forbidden(text)),
            place => Ok(place),
        }
    }

    /// The shard of a row of this rule by its key, as it stands in a COPY.
    pub fn place(&self, rule: usize, binary: bool, key: Option<&[u8]>) -> Result<u16, Box<Refused>> {
        let schema = self.cluster.schema()?;
        let Some(known) = self.cluster.topology.rules().get(rule) else {
            return Err(refused("XX000", "a COPY names a rule that is not there", "The configuration has changed; try again."));
        };
        let format = if binary { Format::Binary } else { Format::Text(Server::of(schema.major)) };
        let key = key::parse(known.key_type, format, key)
            .map_err(|error| refused(error.sqlstate(), error.message(key.unwrap_or_default()), "Give a value of the sharding key's type."))?;
        within_limit(schema, rule, key)?;
        placed(&known.placement, key)
    }
}

/// The names of prepared transactions: ours are not a client's to use, and where one of theirs lies is not known here. None: it is not about that, or
/// somebody has said where.
fn prepared(ground: &Ground<'_>, read: &Read<'_>) -> Option<Route> {
    if !read.plans.iter().any(|plan| plan.target == Target::Session(Session::Transaction)) {
        return None;
    }
    for literal in ground.literals {
        let before = ground.text.get(..literal.start as usize).unwrap_or_default().trim_ascii_end();
        let ends = |word: &str| before.len().checked_sub(word.len()).is_some_and(|at| before[at..].eq_ignore_ascii_case(word.as_bytes()));
        // Nothing else that begins or ends a transaction holds a string; behind a comment it may be anything.
        if read.plans.len() > 1 && !ends("TRANSACTION") && !ends("PREPARED") && !ends("*/") {
            continue;
        }
        let mut spare = Vec::new();
        if literal.string(ground.text, &mut spare).is_none_or(commit::is_ours) {
            let message = format!("names of prepared transactions that begin with \"{}\" are those of pg_dog", commit::PREFIX);
            return Some(Err(refused("42939", message, "Choose another name. What pg_dog has prepared it finishes by itself: SHOW TRANSACTIONS.")));
        }
    }
    None
}

/// What the comments say.
fn said(ground: &Ground<'_>, directives: &Directives) -> Option<Route> {
    if directives.broken {
        let message = "a pgdog_ comment cannot be read";
        return Some(Err(refused("22023", message, "Write it as /* pgdog_shard: 0 */ or /* pgdog_sharding_key: \"value\" */.")));
    }
    if let Some(shard) = directives.shard {
        return Some(numbered(&ground.cluster.topology, u64::from(shard)));
    }
    let key = ground.text.get(directives.key.clone()?)?;
    Some(by_key(&ground.cluster.topology, key, ground.schema))
}

/// What the session says.
fn by_hand(cluster: &Cluster, says: &Says<'_>, schema: &Schema) -> Option<Route> {
    match (says.shard, says.key) {
        (Some(shard), _) => Some(match shard.trim().parse() {
            Ok(shard) => numbered(&cluster.topology, shard),
            Err(_) => {
                Err(refused("22023", format!("pgdog.shard is \"{shard}\", which is no number of a shard"), "SET pgdog.shard TO 0, or RESET it."))
            }
        }),
        (None, Some(key)) => Some(by_key(&cluster.topology, key.as_bytes(), schema)),
        (None, None) => None,
    }
}

fn numbered(topology: &Topology, shard: u64) -> Route {
    match u16::try_from(shard) {
        Ok(number) if number < topology.shards() => Ok(Where::One(number)),
        _ => {
            let message = format!("there is no shard {shard}: database \"{}\" has {} of them, from 0 on", topology.database(), topology.shards());
            Err(refused("22023", message, "They are numbered as [[databases]] says."))
        }
    }
}

/// A key that is given by hand: the name of a schema that has a shard, else a value of the one way in which keys find their shards.
fn by_key(topology: &Topology, value: &[u8], schema: &Schema) -> Route {
    if let Some(Home::Shard(shard)) = std::str::from_utf8(value).ok().and_then(|name| topology.home(name)) {
        return Ok(Where::One(shard));
    }
    let Some(first) = topology.rules().first() else {
        return Err(refused("22023", "there is no sharding function for a key", "Add [[sharded_tables]], or name the shard."));
    };
    if (0..topology.rules().len()).any(|rule| topology.group(rule) != 0) {
        return Err(refused("22023", "config has more than one sharding function", "Name the shard instead: pgdog_shard, pgdog.shard."));
    }
    let key = key::parse(first.key_type, Format::Text(Server::of(schema.major)), Some(value));
    match key {
        Ok(key) => placed(&first.placement, key).map(Where::One),
        Err(error) => Err(refused(error.sqlstate(), error.message(value), "Give a value of the sharding key's type.")),
    }
}

/// The one place where all statements of a text go.
fn combined(ground: &Ground<'_>, read: &Read<'_>) -> Route {
    if let [plan] = &*read.plans {
        return planned(ground, &plan.target, plan.write);
    }
    let ours = |plan: &Plan| plan.target == Target::Session(Session::Set);
    if read.plans.iter().any(ours) && names_ours(ground.text) {
        // Which of its literals is the value is not known.
        return Err(refused("0A000", "SET pgdog.shard among other statements of one query", "Send it by itself, in front of them."));
    }
    if let Some(refused) = behind::refused(&read.plans, ground.text, ground.literals, ground.schema.depends_on_path()) {
        return Err(refused);
    }
    let mut all = Where::Any;
    for plan in read.plans.iter() {
        all = match over::both(all, planned(ground, &plan.target, plan.write)?) {
            Ok(all) => all,
            Err(why) => return apart::apart(ground, &read.plans, why),
        };
    }
    let transaction = |plan: &Plan| plan.target == Target::Session(Session::Transaction);
    if matches!(all, Where::Over(_)) && read.plans.iter().any(transaction) {
        // The shards would commit one by one.
        let message = "a query with a transaction command and a statement for all shards";
        return Err(Refused::unsupported(message, "Send BEGIN, COMMIT and the like by themselves."));
    }
    Ok(all)
}

/// An EXPLAIN by itself whose answer can take more lines.
fn explained(plans: &[Plan]) -> Option<&Explained> {
    if let [plan] = plans { plan.explained.as_deref().filter(|explained| explained.text) } else { None }
}

pub(super) fn planned(ground: &Ground<'_>, target: &Target, write: bool) -> Route {
    let shards = ground.cluster.topology.shards();
    match target {
        Target::OneKey(key) => keyed(ground, std::slice::from_ref(key), None),
        Target::Keys { keys, many: Many::Union } => united(ground, keys, write),
        Target::Keys { keys, many: Many::Refused(refusal) } => keyed(ground, keys, Some(refusal)),
        Target::Rows(keys) => rows(ground, keys),
        Target::AnyShard(Any::Either | Any::Sticky | Any::Cursor) => Ok(Where::Any),
        Target::AnyShard(Any::First) => Ok(Where::One(0)),
        Target::Shard(shard) => numbered(&ground.cluster.topology, u64::from(*shard)),
        // A notification reaches who listens on its own shard.
        Target::Session(Session::Listen | Session::Notify) => Ok(Where::One(0)),
        Target::Session(Session::Prepare) if !ground.says.prepares => Err(not_carried()),
        Target::Session(Session::Set) => setting(ground),
        Target::Session(Session::Transaction) if ends_prepared(ground) => Err(nobody_knows()),
        Target::Session(_) => Ok(Where::Any),
        Target::AllShards => Ok(over::union((0..shards).collect(), write)),
        Target::AllWrite { alone } => Ok(over::same(shards, *alone)),
        Target::CopyRows { .. } if !ground.says.is_utf8() => {
            Err(Refused::unsupported("COPY in another encoding than UTF8 cannot be split over shards", "SET client_encoding TO UTF8."))
        }
        Target::CopyRows { rule, position, format } => Ok(over::copied(shards, *rule as usize, *position as usize, format.clone())),
        Target::Refused(refusal) => Err(from_plan(refusal)),
    }
}

/// COMMIT PREPARED and ROLLBACK PREPARED, which stand by themselves.
fn ends_prepared(ground: &Ground<'_>) -> bool {
    let words = ground.text.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    !ground.literals.is_empty() && words.take(2).any(|word| word.eq_ignore_ascii_case(b"PREPARED"))
}

/// A text may be about one of our own parameters of routes.
fn names_ours(text: &[u8]) -> bool {
    text.windows(PARAMETERS.len()).any(|part| part.eq_ignore_ascii_case(PARAMETERS))
}

/// SET and RESET: one of our own parameters decides already about the transaction that it stands in.
fn setting(ground: &Ground<'_>) -> Route {
    let text = String::from_utf8_lossy(ground.text).to_ascii_lowercase();
    let value = ground.literals.last().map(|literal| {
        let mut spare = Vec::new();
        let number = literal.integer(ground.text).map(|number| number.to_string().into_bytes());
        number.or_else(|| literal.string(ground.text, &mut spare).map(<[u8]>::to_vec)).unwrap_or_default()
    });
    match value {
        Some(value) if text.contains("pgdog.shard ") || text.contains("pgdog.shard=") => match String::from_utf8_lossy(&value).parse() {
            Ok(shard) => numbered(&ground.cluster.topology, shard).map(held),
            Err(_) => Err(refused("22023", "pgdog.shard has to be the number of a shard", "SET pgdog.shard TO 0.")),
        },
        Some(value) if text.contains("pgdog.sharding_key") => by_key(&ground.cluster.topology, &value, ground.schema).map(held),
        _ => Ok(Where::Any),
    }
}

fn held(place: Where) -> Where {
    if let Where::One(shard) = place { Where::Held(shard) } else { place }
}

#[cfg(test)]
#[path = "router_tests.rs"]
pub mod tests;
