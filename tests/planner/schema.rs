//! The schema of the corpus: every kind of table that a database of several shards may have.

use std::collections::HashMap;

use pg_dog::sql::catalog::{self, Catalog, Column, Fill, Placement, Routine, ShardKey};
use pg_dog::sql::outline::{Family, Name};
use pg_dog::sql::view::{Definition, Seen};

/// Where a table of the corpus is.
#[derive(Clone, Copy)]
enum Home {
    Sharded { column: &'static str, family: Family, rule: u32, group: u32 },
    Omni,
    One(u32),
}

/// Tables by name, or by `schema.name`.
pub struct Schema {
    tables: HashMap<&'static str, (Home, Option<Vec<Column>>)>,
    views: HashMap<&'static str, (Seen, Vec<Column>)>,
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
];

/// Views: name, columns, definition. One whose name ends in `ruled` has triggers of its own.
#[rustfmt::skip]
const VIEWS: &[(&str, &str, &str)] = &[
    ("active_accounts", "tenant_id:i id:i name:t", "SELECT tenant_id, id, name FROM accounts WHERE balance > 0"),
    ("renamed", "t:i what:t", "SELECT o.tenant_id AS t, o.note AS what FROM public.orders o"),
    ("of_a_view", "tenant:i name:t", "SELECT tenant_id AS tenant, name FROM active_accounts"),
    ("joined", "tenant_id:i sku:t note:t",
        "SELECT o.tenant_id, i.sku, o.note FROM orders o JOIN items i ON i.tenant_id = o.tenant_id AND i.order_id = o.id"),
    ("with_country", "tenant_id:i name:t", "SELECT o.tenant_id, c.name FROM orders o LEFT JOIN countries c ON c.code = o.note"),
    ("recent", "tenant_id:i id:i", "SELECT tenant_id, id FROM accounts WHERE created_at > now()"),
    ("one_tenant", "tenant_id:i note:t", "SELECT tenant_id, note FROM orders WHERE tenant_id = 5"),
    ("twice_the_key", "a:i b:i", "SELECT tenant_id AS a, tenant_id AS b FROM orders"),
    ("made_key", "id:i v:t", "SELECT id, v FROM serial_key"),
    ("ruled", "tenant_id:i id:i", "SELECT tenant_id, id FROM orders"),
    ("through_it", "tenant_id:i id:i", "SELECT tenant_id, id FROM ruled"),
    ("counted", "tenant_id:i n:i", "SELECT tenant_id, count(*) AS n FROM orders GROUP BY tenant_id"),
    ("totals", "tenant_id:i", "SELECT max(tenant_id) AS tenant_id FROM orders"),
    ("of_counted", "tenant_id:i", "SELECT tenant_id FROM counted"),
    ("distinct_notes", "tenant_id:i note:t", "SELECT DISTINCT tenant_id, note FROM orders"),
    ("newest", "tenant_id:i id:i", "SELECT tenant_id, id FROM orders LIMIT 10"),
    ("sorted", "tenant_id:i id:i", "SELECT tenant_id, id FROM orders ORDER BY id"),
    ("everyone", "id:i", "SELECT id FROM users UNION ALL SELECT tenant_id FROM accounts"),
    ("ranked", "tenant_id:i r:i", "SELECT tenant_id, rank() OVER (ORDER BY id) AS r FROM orders"),
    ("some_orders", "tenant_id:i", "SELECT tenant_id FROM orders WHERE random() < 0.5"),
    ("hidden_call", "tenant_id:i", "SELECT tenant_id FROM orders WHERE not_known(id)"),
    ("keyless", "id:i note:t", "SELECT id, note FROM orders"),
    ("computed_key", "tenant_id:i", "SELECT tenant_id + 1 AS tenant_id FROM orders"),
    ("other_side", "tenant_id:i", "SELECT i.tenant_id FROM orders o LEFT JOIN items i ON i.tenant_id = o.tenant_id"),
    ("apart", "tenant_id:i sku:t", "SELECT o.tenant_id, i.sku FROM orders o JOIN items i ON i.order_id = o.id"),
    ("rows_of_rows", "tenant_id:i at", "SELECT tenant_id, ctid AS at FROM orders"),
    ("nations", "code:t name:t", "SELECT code, name FROM countries"),
    ("nation_counts", "n:i", "SELECT count(*) AS n FROM countries GROUP BY name"),
    ("fresh", "code:t", "SELECT code FROM countries WHERE now() > '2020-01-01'"),
    ("some_nation", "code:t", "SELECT code FROM countries LIMIT 1"),
    ("setting_keys", "key:t value:t", "SELECT key, value FROM settings"),
    ("five", "n:i", "SELECT generate_series(1, 5) AS n"),
    ("next_number", "n:i", "SELECT nextval('s') AS n"),
    ("audited", "id:i what:t", "SELECT id, what FROM audit.log"),
    ("picked", "code:t name:t", "SELECT code, name FROM countries WHERE code IN (SELECT what FROM audit.log)"),
    ("numbered", "n:i code:t", "SELECT row_number() OVER () AS n, code FROM countries"),
    ("listed", "codes:t", "SELECT string_agg(code, ',') AS codes FROM countries"),
    ("listed_in_order", "codes:t", "SELECT string_agg(code, ',' ORDER BY code) AS codes FROM countries"),
    ("relations", "relname", "SELECT relname FROM pg_class"),
    ("unreadable", "a", "SELECT FROM WHERE"),
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
        let mut schema = Schema { tables, views: HashMap::new() };
        for (name, text, definition) in VIEWS {
            let mut columns = columns(text);
            let seen = match Definition::read(definition) {
                Ok(definition) => definition.judge(columns.len(), name.ends_with("ruled"), &schema),
                Err(reason) => Seen::hidden(reason),
            };
            columns.iter_mut().zip(&seen.fills).for_each(|(column, fill)| column.default = *fill);
            schema.views.insert(name, (seen, columns));
        }
        schema
    }

    fn view(&self, name: &Name) -> Option<&(Seen, Vec<Column>)> {
        name.schema.as_deref().is_none_or(|schema| schema == "public").then(|| self.views.get(&*name.name)).flatten()
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
            None => self.view(name).map_or(Placement::Unknown, |(seen, _)| seen.placement()),
        }
    }

    fn columns(&self, name: &Name) -> Option<&[Column]> {
        match self.view(name) {
            Some((_, columns)) => Some(columns),
            None => self.find(name)?.1.as_deref(),
        }
    }

    fn barrier(&self, name: &Name, adds: bool) -> Option<&'static str> {
        self.view(name).and_then(|(seen, _)| seen.barrier(adds))
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
