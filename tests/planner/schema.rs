//! The schema of the corpus: every kind of table that a database of several shards may have.

use std::collections::HashMap;

use pg_dog::sql::catalog::{self, Catalog, Column, Fill, Placement, Routine, ShardKey};
use pg_dog::sql::outline::{Family, Name};

/// Where a table of the corpus is.
#[derive(Clone, Copy)]
enum Home {
    Sharded { column: &'static str, family: Family, rule: u32, group: u32 },
    Omni,
    One(u32),
    View,
}

/// Tables by name, or by `schema.name`.
pub struct Schema {
    tables: HashMap<&'static str, (Home, Option<Vec<Column>>)>,
}

const BIGINT: Family = Family::Integer;

/// `name:type`, the type i, u, t or nothing; `!` behind it: its default is another one each time, `=` a constant, `*` computed.
fn columns(text: &str) -> Vec<Column> {
    let column = |word: &str| {
        let (name, kind) = word.split_once(':').unwrap_or((word, ""));
        let family = match kind.chars().next() {
            Some('i') => Some(Family::Integer),
            Some('u') => Some(Family::Uuid),
            Some('t') => Some(Family::Text),
            _ => None,
        };
        let default = match kind.chars().last() {
            Some('!') => Fill::Moving,
            Some('=') => Fill::Constant,
            Some('*') => Fill::Computed,
            _ => Fill::Null,
        };
        Column { name: name.into(), family, default }
    };
    text.split_whitespace().map(column).collect()
}

#[rustfmt::skip]
const TABLES: &[(&str, Home, &str)] = &[
    // pgbench and the messenger.
    ("pgbench_accounts", sharded("aid", BIGINT, 0), "aid:i bid:i abalance:i filler"),
    ("pgbench_branches", sharded("bid", BIGINT, 1), "bid:i bbalance:i filler"),
    ("pgbench_tellers", sharded("tid", BIGINT, 2), "tid:i bid:i tbalance:i filler"),
    ("pgbench_history", sharded("aid", BIGINT, 3), "tid:i bid:i aid:i delta:i mtime filler"),
    ("users", sharded("id", BIGINT, 4), "id:i name:t email:t created_at:!"),
    ("messages", sharded("sender", BIGINT, 5), "id:i! sender:i recipient:i body:t sent_at:!"),
    ("sbtest1", sharded("id", BIGINT, 6), "id:i! k:i= c:t= pad:t="),
    // Several tenants.
    ("accounts", sharded("tenant_id", BIGINT, 10), "tenant_id:i id:i! name:t balance:i= created_at:!"),
    ("orders", sharded("tenant_id", BIGINT, 11), "tenant_id:i id:i! account_id:i total note:t"),
    ("items", sharded("tenant_id", BIGINT, 12), "tenant_id:i order_id:i sku:t qty:i"),
    ("computed", sharded("k", BIGINT, 16), "a:i up:t* k:i v:t"),
    ("nullable", sharded("k", BIGINT, 13), "k:i v:t"),
    ("serial_key", sharded("id", BIGINT, 14), "id:i! v:t"),
    ("Quoted", sharded("Tenant", BIGINT, 15), "Tenant:i v:t"),
    // Other types, another function.
    ("sessions", sharded("id", Family::Uuid, 20), "id:u user_id:i data:t"),
    ("tags", sharded("slug", Family::Text, 21), "slug:t label:t n:i"),
    ("legacy", Home::Sharded { column: "id", family: BIGINT, rule: 22, group: 9 }, "id:i v:t"),
    // On every shard.
    ("countries", Home::Omni, "code:t name:t"),
    ("tenants", Home::Omni, "id:i name:t plan:t="),
    ("settings", Home::Omni, "key:t value:t updated_at:!"),
    ("counters", Home::Omni, "id:i! n:i"),
    // On one.
    ("audit.log", Home::One(1), "id:i! what:t"),
    ("audit.tags", Home::One(1), "id:i what:t"),
    ("archive.log", Home::One(0), "id:i! what:t"),
    ("active_accounts", Home::View, ""),
];

const fn sharded(column: &'static str, family: Family, rule: u32) -> Home {
    Home::Sharded { column, family, rule, group: 0 }
}

impl Schema {
    pub fn new() -> Schema {
        let mut tables: HashMap<_, _> = TABLES.iter().map(|(name, home, text)| (*name, (*home, Some(columns(text))))).collect();
        // Its columns could not be read.
        tables.insert("mystery", (sharded("id", BIGINT, 30), None));
        tables.insert("mystery_omni", (Home::Omni, None));
        Schema { tables }
    }

    fn find(&self, name: &Name) -> Option<&(Home, Option<Vec<Column>>)> {
        match name.schema.as_deref() {
            None | Some("public") => self.tables.get(&*name.name),
            Some(schema) => self.tables.get(format!("{schema}.{}", name.name).as_str()),
        }
    }
}

impl Catalog for Schema {
    fn table(&self, name: &Name) -> Placement<'_> {
        let system = match name.schema.as_deref() {
            Some(schema) => matches!(schema, "pg_catalog" | "information_schema"),
            None => name.name.starts_with("pg_") && !name.name.starts_with("pg_temp") && !name.name.starts_with("pgbench"),
        };
        match self.find(name) {
            _ if system => Placement::System,
            Some((Home::Sharded { column, family, rule, group }, _)) => {
                Placement::Sharded(ShardKey { column, family: *family, rule: *rule, group: *group })
            }
            Some((Home::Omni, _)) => Placement::Omni,
            Some((Home::One(shard), _)) => Placement::One(*shard),
            Some((Home::View, _)) => Placement::View,
            None => Placement::Unknown,
        }
    }

    fn columns(&self, name: &Name) -> Option<&[Column]> {
        self.find(name)?.1.as_deref()
    }

    fn function(&self, name: &Name) -> Routine {
        match &*name.name {
            "twice" | "two_rows" => Routine::Immutable,
            "my_sum" => Routine::Aggregate,
            "local_only" => Routine::Listed,
            _ => Routine::Hidden,
        }
    }

    fn home(&self, name: &Name) -> catalog::Home {
        match name.schema.as_deref() {
            Some("audit") => catalog::Home::One(1),
            Some("archive") => catalog::Home::One(0),
            None if &*name.name == "somewhere" => catalog::Home::Unknown,
            _ => catalog::Home::All,
        }
    }

    fn returns_sets(&self, name: &Name) -> bool {
        &*name.name == "two_rows"
    }
}
