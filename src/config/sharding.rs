//! From the sharding sections to `Sharded`, one for each database that has shards or rules.
//! Invariant: what comes out holds what `sharded` promises; everything that does not is a problem that names file, line and key. A value that
//! could belong to two shards, a hole between two ranges that no default fills, a shard without a server are all refused here, because later
//! they could only be guessed. Sections and keys that are not built yet are `judge`'s: here they are passed over without a word, so that the
//! kind in the table is the one switch. What rules mean for a statement is left to `route`.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Block, Value};
use super::problem::{At, Findings, What, printed};
use super::sharded::{
    DataType, Hasher, Home, KeyValue, Mapping, Omnisharded, RULES_MAX, Range, SHARDS_MAX, Sharded, ShardedSchema, ShardedTable, uuid,
};
use super::table::{Kind, section_named};

/// What the sections say that are built.
pub(super) fn build(blocks: &[Block], findings: &mut Findings) -> Vec<Sharded> {
    let is_built = |section: &str, key: &str| {
        let row = section_named(section).and_then(|section| section.key(key).filter(|_| section.presence == Kind::Built));
        row.is_some_and(|row| row.kind == Kind::Built)
    };
    let blocks: Vec<&Block> = blocks.iter().filter(|block| block.section.presence == Kind::Built).collect();
    all(&blocks, is_built("databases", "shard"), findings)
}

/// What all of them say; `shards`: the databases may have more than one.
fn all(blocks: &[&Block], shards: bool, findings: &mut Findings) -> Vec<Sharded> {
    let named = |name: &'static str| blocks.iter().copied().filter(move |block| block.section.name == name);
    let mut sharding = Sharding { databases: databases(named("databases"), shards, findings), findings };
    let mut older = Older::default();
    for block in named("sharded_mappings") {
        sharding.older(block, &mut older);
    }
    for block in named("sharded_tables") {
        sharding.table(block, &mut older);
    }
    for (at, _) in older.into_values() {
        sharding.wrong(at, "[[sharded_mappings]]", "no [[sharded_tables]] has this database, schema, table and column; add one");
    }
    for block in named("sharded_schemas") {
        sharding.schema(block);
    }
    for block in named("omnisharded_tables") {
        sharding.omnisharded(block);
    }
    let said = |sharded: &Sharded| sharded.shards > 1 || !sharded.tables.is_empty() || !sharded.schemas.is_empty() || !sharded.omnisharded.is_empty();
    sharding.databases.into_values().map(|place| place.sharded).filter(said).collect()
}

/// A database while its rules are collected: what is known, and where each rule stands.
struct Place {
    sharded: Sharded,
    tables: Vec<At>,
    schemas: Vec<At>,
}

/// The shards of each database, which have servers without a hole.
fn databases<'b>(blocks: impl Iterator<Item = &'b Block>, shards: bool, findings: &mut Findings) -> BTreeMap<&'b str, Place> {
    let mut numbers: BTreeMap<&str, (At, BTreeSet<usize>)> = BTreeMap::new();
    for block in blocks {
        let Some(name) = block.words("name") else { continue };
        let number = block.unsigned("shard").filter(|_| shards).unwrap_or(0);
        let at = block.entries.get("shard").map_or(block.at, |entry| entry.at);
        if number >= SHARDS_MAX {
            let what = format!("`shard` = {number}: a database has {SHARDS_MAX} shards at most, from 0 on");
            findings.problem(at, What::Sharding { section: "[[databases]]", what });
            continue;
        }
        numbers.entry(name).or_insert((at, BTreeSet::new())).1.insert(number);
    }
    let mut places = BTreeMap::new();
    for (name, (at, numbers)) in numbers {
        let shards = numbers.last().map_or(1, |last| last + 1);
        if let Some(missing) = (0..shards).find(|number| !numbers.contains(number)) {
            let what = format!("\"{}\" has a shard {}, and shard {missing} has no server; add one", printed(name), shards - 1);
            findings.problem(at, What::Sharding { section: "[[databases]]", what });
        }
        let sharded = Sharded { database: name.to_owned(), shards: shards as u16, tables: Vec::new(), schemas: Vec::new(), omnisharded: Vec::new() };
        places.insert(name, Place { sharded, tables: Vec::new(), schemas: Vec::new() });
    }
    places
}

/// What an older mapping is for: database, schema, table, column.
type For = (String, Option<String>, Option<String>, String);
/// Rules of `[[sharded_mappings]]`, and where the first of each stands.
type Older<'b> = BTreeMap<For, (At, Vec<&'b Block>)>;

struct Sharding<'b, 'f> {
    databases: BTreeMap<&'b str, Place>,
    findings: &'f mut Findings,
}

impl<'b> Sharding<'b, '_> {
    fn wrong(&mut self, at: At, section: &'static str, what: impl Into<String>) {
        self.findings.problem(at, What::Sharding { section, what: what.into() });
    }

    /// The name of the database that a rule is for, if there is one.
    fn database(&mut self, block: &'b Block, section: &'static str) -> Option<&'b str> {
        let name = block.words("database")?;
        if !self.databases.contains_key(name) {
            self.wrong(at_of(block, "database"), section, format!("`database` = \"{}\" is not in [[databases]]", printed(name)));
            return None;
        }
        Some(name)
    }

    fn older(&mut self, block: &'b Block, older: &mut Older<'b>) {
        let Some(database) = self.database(block, "[[sharded_mappings]]") else { return };
        let Some(column) = block.words("column").map(folded) else { return };
        let key = (database.to_owned(), block.words("schema").map(folded), block.words("table").map(folded), column);
        older.entry(key).or_insert((block.at, Vec::new())).1.push(block);
    }

    fn table(&mut self, block: &'b Block, older: &mut Older<'b>) {
        const SECTION: &str = "[[sharded_tables]]";
        let Some(database) = self.database(block, SECTION) else { return };
        let data_type = match block.words("data_type") {
            Some("uuid") => DataType::Uuid,
            Some("varchar") => DataType::Varchar,
            // Refused by its own key, as those of vectors and of lookups are.
            Some("vector") => return,
            _ => DataType::Bigint,
        };
        let Some(column) = block.words("column").map(folded) else {
            return self.wrong(block.at, SECTION, "`column` is missing: it names the sharding key");
        };
        let (schema, table) = (block.words("schema").map(folded), block.words("name").map(folded));
        let nested = match block.get("mapping") {
            Some(Value::Blocks(rules)) => rules.iter().collect(),
            _ => Vec::new(),
        };
        let before = older.remove(&(database.to_owned(), schema.clone(), table.clone(), column.clone()));
        let shards = self.databases.get(database).map_or(1, |place| place.sharded.shards);
        let mut rules = Rules { section: "[[sharded_tables.mapping]]", data_type, shards, findings: self.findings, found: Vec::new() };
        let mapping = match (nested.is_empty(), before) {
            (false, Some((at, _))) => {
                let what = format!("the mapping of this key stands {} already; keep one of them", at_of(block, "mapping").other());
                return self.wrong(at, "[[sharded_mappings]]", what);
            }
            (false, None) => Some(rules.mapping(&nested)),
            (true, Some((_, blocks))) => {
                rules.section = "[[sharded_mappings]]";
                Some(rules.mapping(&blocks))
            }
            (true, None) => None,
        };
        let hasher = if block.words("hasher") == Some("sha1") { Hasher::Sha1 } else { Hasher::Postgres };
        self.add(block, database, ShardedTable { schema, table, column, data_type, hasher, primary: block.flag("primary"), mapping });
    }

    /// One key for a table: rows of a table with two could live on two shards.
    fn add(&mut self, block: &Block, database: &str, new: ShardedTable) {
        let Some(place) = self.databases.get_mut(database) else { return };
        let same =
            |known: &ShardedTable| (&known.schema, &known.table) == (&new.schema, &new.table) && (new.table.is_some() || known.column == new.column);
        match place.sharded.tables.iter().position(same) {
            Some(at) => {
                let what = match &new.table {
                    Some(table) => format!("table \"{}\" has its key {} already; a table has one", printed(table), place.tables[at].other()),
                    None => format!("column \"{}\" stands {} already", printed(&new.column), place.tables[at].other()),
                };
                self.wrong(block.at, "[[sharded_tables]]", what);
            }
            None => {
                place.sharded.tables.push(new);
                place.tables.push(block.at);
            }
        }
    }

    fn schema(&mut self, block: &'b Block) {
        const SECTION: &str = "[[sharded_schemas]]";
        let Some(database) = self.database(block, SECTION) else { return };
        let Some(place) = self.databases.get_mut(database) else { return };
        // Not folded: PgDog compares this name as it stands.
        let name = block.owned("name");
        if let Some(first) = place.sharded.schemas.iter().position(|known| known.name == name) {
            let which = name.map_or("the rule without `name`".to_owned(), |name| format!("schema \"{}\"", printed(&name)));
            let what = format!("{which} stands {} already", place.schemas[first].other());
            return self.wrong(block.at, SECTION, what);
        }
        let home = match (block.flag("all"), block.unsigned("shard").unwrap_or(usize::MAX)) {
            (true, _) => Home::All,
            (false, shard) => match known_shard(shard, place.sharded.shards) {
                Ok(shard) => Home::Shard(shard),
                Err(what) => return self.wrong(at_of(block, "shard"), SECTION, what),
            },
        };
        place.sharded.schemas.push(ShardedSchema { name, home });
        place.schemas.push(block.at);
    }

    fn omnisharded(&mut self, block: &'b Block) {
        const SECTION: &str = "[[omnisharded_tables]]";
        let Some(database) = self.database(block, SECTION) else { return };
        let Some(place) = self.databases.get_mut(database) else { return };
        let mut both = None;
        for table in block.texts("tables") {
            if let Some(at) = place.sharded.tables.iter().position(|sharded| sharded.table.as_deref() == Some(table)) {
                both = both.or(Some((table, place.tables[at])));
            }
            place.sharded.omnisharded.push(Omnisharded { table: table.to_owned(), sticky: block.flag("sticky") });
        }
        if let Some((table, at)) = both {
            let what = format!("table \"{}\" is in [[sharded_tables]] {}; it is one or the other", printed(table), at.other());
            self.wrong(at_of(block, "tables"), SECTION, what);
        }
    }
}

/// The rules of one key while they are collected: each value or range with the line it stands on.
struct Rules<'f> {
    section: &'static str,
    data_type: DataType,
    shards: u16,
    findings: &'f mut Findings,
    found: Vec<(At, Rule)>,
}

enum Rule {
    Value(KeyValue, u16),
    Range(Range),
    Default(u16),
}

impl Rules<'_> {
    fn wrong(&mut self, at: At, what: impl Into<String>) {
        self.findings.problem(at, What::Sharding { section: self.section, what: what.into() });
    }

    fn mapping(mut self, blocks: &[&Block]) -> Mapping {
        for block in blocks {
            let shard = match known_shard(block.unsigned("shard").unwrap_or(usize::MAX), self.shards) {
                // A missing one has been reported.
                Err(_) if block.get("shard").is_none() => continue,
                Err(what) => {
                    self.wrong(at_of(block, "shard"), what);
                    continue;
                }
                Ok(shard) => shard,
            };
            self.rule(block, shard);
            if self.found.len() > RULES_MAX {
                self.wrong(block.at, format!("one key has {RULES_MAX} rules at most; use ranges, or hash the key"));
                return Mapping::default();
            }
        }
        let mut mapping = Mapping { default: self.default(), ..Mapping::default() };
        let (mut list, mut ranges) = (Vec::new(), Vec::new());
        for (at, rule) in std::mem::take(&mut self.found) {
            match rule {
                Rule::Value(value, shard) => list.push((value, shard, at)),
                Rule::Range(range) => ranges.push((range, at)),
                Rule::Default(_) => {}
            }
        }
        self.list(&mut list);
        mapping.list = list.into_iter().map(|(value, shard, _)| (value, shard)).collect();
        self.ranges(&mut ranges, &mapping);
        mapping.ranges = ranges.into_iter().map(|(range, _)| range).collect();
        mapping
    }

    fn rule(&mut self, block: &Block, shard: u16) {
        let is_range = block.get("start").is_some() || block.get("end").is_some();
        let is_list = block.get("values").is_some();
        let kind = match block.section.key("kind").and_then(|_| block.words("kind")) {
            Some(kind) => kind,
            None if is_list => "list",
            None if is_range => "range",
            None => "default",
        };
        match kind {
            "list" if is_list && !is_range => {
                for value in self.values(block) {
                    self.found.push((at_of(block, "values"), Rule::Value(value, shard)));
                }
            }
            "range" if is_range && !is_list => {
                let (Ok(start), Ok(end)) = (self.bound(block, "start"), self.bound(block, "end")) else { return };
                let at = at_of(block, if start.is_some() { "start" } else { "end" });
                match (&start, &end) {
                    (Some(from), Some(to)) if from >= to => self.wrong(at, format!("the range from {from} to {to} holds nothing; `end` is excluded")),
                    _ => self.found.push((at, Rule::Range(Range { start, end, shard }))),
                }
            }
            "default" if !is_list && !is_range => self.found.push((block.at, Rule::Default(shard))),
            "default" => self.wrong(block.at, "the default rule has no `values`, `start` or `end`"),
            "list" => self.wrong(block.at, "a list has `values`, and neither `start` nor `end`"),
            _ => self.wrong(block.at, "a range has `start` or `end` or both, and no `values`"),
        }
    }

    fn values(&mut self, block: &Block) -> Vec<KeyValue> {
        let at = at_of(block, "values");
        let Some(Value::List(items)) = block.get("values") else {
            // Whatever is not an array is one of these, and so is an array of something else.
            self.wrong(at, format!("`values` has to be an array of values of type {}", self.data_type));
            return Vec::new();
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            match typed(self.data_type, item) {
                Some(value) => values.push(value),
                None => {
                    self.wrong(at, format!("`values` has {}, which is not of type {}", shown(item), self.data_type));
                    return Vec::new();
                }
            }
        }
        values
    }

    /// None: open. The error has been reported.
    fn bound(&mut self, block: &Block, key: &'static str) -> Result<Option<KeyValue>, ()> {
        let Some(value) = block.get(key) else { return Ok(None) };
        typed(self.data_type, value).map(Some).ok_or_else(|| {
            self.wrong(at_of(block, key), format!("`{key}` is {}, which is not of type {}", shown(value), self.data_type));
        })
    }

    fn default(&mut self) -> Option<u16> {
        let defaults: Vec<(At, u16)> =
            self.found.iter().filter_map(|(at, rule)| if let Rule::Default(shard) = rule { Some((*at, *shard)) } else { None }).collect();
        for (at, _) in defaults.iter().skip(1) {
            self.wrong(*at, format!("the default rule stands {} already", defaults[0].0.other()));
        }
        defaults.first().map(|(_, shard)| *shard)
    }

    /// Sorts, and refuses a value that is there twice: of two shards one would be wrong.
    fn list(&mut self, list: &mut Vec<(KeyValue, u16, At)>) {
        list.sort_by(|left, right| left.0.cmp(&right.0).then(left.2.line().cmp(&right.2.line())));
        for pair in list.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1) {
            self.wrong(pair[1].2, format!("`values` has {}, which belongs to shard {} {}", pair[1].0, pair[0].1, pair[0].2.other()));
        }
        list.dedup_by(|later, first| later.0 == first.0);
    }

    /// Sorts, and refuses overlaps, and holes that neither the list nor a default fills.
    fn ranges(&mut self, ranges: &mut [(Range, At)], mapping: &Mapping) {
        ranges.sort_by(|left, right| left.0.start.cmp(&right.0.start).then(left.1.line().cmp(&right.1.line())));
        for pair in ranges.windows(2) {
            let ((before, first), (after, at)) = (&pair[0], &pair[1]);
            // Two that begin with the lowest value overlap too: `None` is not above any end.
            let overlap = before.end.as_ref().is_none_or(|end| after.start.as_ref().is_none_or(|start| start < end));
            match (&before.end, &after.start) {
                _ if overlap => self.wrong(*at, format!("this range overlaps the one {}", first.other())),
                (Some(end), Some(start)) if end < start && mapping.default.is_none() && !filled(end, start, mapping) => {
                    let what = format!("no rule is for keys from {end} on and before {start}, between this range and the one {}", first.other());
                    self.wrong(*at, format!("{what}; add one, or a default"));
                }
                _ => {}
            }
        }
    }
}

/// The list holds every integer from `end` on and before `start`.
fn filled(end: &KeyValue, start: &KeyValue, mapping: &Mapping) -> bool {
    let (KeyValue::Int(from), KeyValue::Int(to)) = (end, start) else { return false };
    let within = mapping.list.partition_point(|(value, _)| value < start) - mapping.list.partition_point(|(value, _)| value < end);
    within as u128 == from.abs_diff(*to).into()
}

fn known_shard(shard: usize, shards: u16) -> Result<u16, String> {
    match u16::try_from(shard) {
        Ok(known) if known < shards => Ok(known),
        _ if shards == 1 => Err(format!("`shard` = {shard}: this database has shard 0 and no other")),
        _ => Err(format!("`shard` = {shard}: this database has shards 0 to {}", shards - 1)),
    }
}

/// Where a key stands, or its table if it was left out.
fn at_of(block: &Block, key: &str) -> At {
    block.entries.get(key).map_or(block.at, |entry| entry.at)
}

/// A value in the type of its key.
fn typed(data_type: DataType, value: &Value) -> Option<KeyValue> {
    match (data_type, value) {
        (DataType::Bigint, Value::Int(number)) => Some(KeyValue::Int(*number)),
        (DataType::Uuid, Value::Text(text)) => uuid(text.as_bytes()).map(KeyValue::Uuid),
        // PostgreSQL has no text with a zero byte, so no row could have it.
        (DataType::Varchar, Value::Text(text)) if !text.contains('\0') => Some(KeyValue::Text(text.clone())),
        _ => None,
    }
}

/// A value as it stands in the file. Values of rules are no secrets.
fn shown(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("\"{}\"", printed(text)),
        _ => "something else".to_owned(),
    }
}

/// An identifier as PostgreSQL folds it: in lower case, unless it is quoted.
fn folded(name: &str) -> String {
    match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
#[path = "sharding_tests.rs"]
mod tests;
