//! Tests of the sharding sections: what they give, and that every contradiction is named with its line and key.

use super::*;
use crate::config::file::{Source, Which, read};

fn run(text: &str) -> Result<Vec<Sharded>, Vec<String>> {
    let mut findings = Findings::new("m", "u");
    let blocks = read(Which::Main, Source { name: "m", text }, &mut findings).unwrap_or_default();
    let found = all(&blocks.iter().collect::<Vec<_>>(), true, &mut findings);
    findings.verdict().map(|_| found).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Of one database of three shards, with these lines from line 2 on.
fn three(lines: &str) -> Result<Sharded, Vec<String>> {
    let servers = (0..3).map(|shard| format!("{{ name = \"db\", host = \"h\", shard = {shard} }}")).collect::<Vec<_>>().join(", ");
    run(&format!("databases = [{servers}]\n{lines}")).map(|mut found| found.remove(0))
}

fn table(lines: &str) -> String {
    format!("[[sharded_tables]]\ndatabase = \"db\"\nname = \"t\"\ncolumn = \"k\"\n{lines}\n")
}

/// The mapping of a table with these rules, from line 7 on; line 6 is the heading of the first.
fn mapping(data_type: &str, rules: &[&str]) -> Result<Mapping, Vec<String>> {
    let rules: String = rules.iter().map(|rule| format!("[[sharded_tables.mapping]]\n{rule}\n")).collect();
    three(&format!("{}{rules}", table(&format!("data_type = \"{data_type}\"")))).map(|mut found| found.tables.remove(0).mapping.expect("rules"))
}

#[test]
fn a_table_has_its_key() {
    let found = three(&table("")).expect("a good one");
    let table = ShardedTable {
        schema: None,
        table: Some("t".to_owned()),
        column: "k".to_owned(),
        data_type: DataType::Bigint,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    assert_eq!((found.database.as_str(), found.shards, &found.tables[..]), ("db", 3, &[table][..]));
    let lines = "[[sharded_tables]]\ndatabase = \"db\"\ncolumn = \"Tenant_ID\"\n\
        schema = '\"My\"\"S\"'\ndata_type = \"uuid\"\nhasher = \"sha1\"\nprimary = true";
    let found = three(lines).expect("a good one").tables.remove(0);
    assert_eq!((found.schema.as_deref(), found.table, found.column.as_str()), (Some("My\"S"), None, "tenant_id"));
    assert_eq!((found.data_type, found.hasher, found.primary), (DataType::Uuid, Hasher::Sha1, true));
}

#[test]
fn databases_without_shards_or_rules_are_not_there() {
    assert_eq!(run("databases = [{ name = \"a\", host = \"h\" }, { name = \"b\", host = \"h\" }]"), Ok(Vec::new()));
    let found = run("databases = [{ name = \"a\", host = \"h\" }, { name = \"a\", host = \"i\", shard = 1 }, { name = \"b\", host = \"h\" }]");
    assert_eq!(found.map(|found| found.iter().map(|one| (one.database.clone(), one.shards)).collect()), Ok(vec![("a".to_owned(), 2)]));
}

#[test]
fn a_shard_without_a_server_is_named() {
    let text =
        "databases = [\n{ name = \"a\", host = \"h\" },\n{ name = \"a\", host = \"i\", shard = 3 },\n{ name = \"a\", host = \"i\", shard = 1 }]";
    assert_eq!(run(text), Err(vec!["m:2: [[databases]]: \"a\" has a shard 3, and shard 2 has no server; add one".to_owned()]));
    let text = "[[databases]]\nname = \"a\"\nhost = \"h\"\nshard = 1024\n";
    assert_eq!(run(text), Err(vec!["m:4: [[databases]]: `shard` = 1024: a database has 1024 shards at most, from 0 on".to_owned()]));
}

#[test]
fn rules_of_every_kind_are_read() {
    let found = mapping(
        "bigint",
        &["shard = 2", "shard = 1\nvalues = [7, -3, 7]", "shard = 1\nstart = 10", "shard = 0\nstart = 0\nend = 10", "shard = 0\nend = 0"],
    );
    let int = KeyValue::Int;
    let range = |start: Option<i64>, end: Option<i64>, shard| Range { start: start.map(int), end: end.map(int), shard };
    let expected = Mapping {
        list: vec![(int(-3), 1), (int(7), 1)],
        ranges: vec![range(None, Some(0), 0), range(Some(0), Some(10), 0), range(Some(10), None, 1)],
        default: Some(2),
    };
    assert_eq!(found, Ok(expected));
    let found = mapping("varchar", &["shard = 0\nstart = \"b\"\nend = \"\u{e4}\"", "shard = 1\nvalues = [\"x\", \"\"]"]).expect("good ones");
    assert_eq!(found.list, [(KeyValue::Text(String::new()), 1), (KeyValue::Text("x".to_owned()), 1)]);
    let found = mapping("uuid", &["shard = 0\nvalues = [\"{00000000000000000000000000000001}\"]"]).expect("a good one");
    assert_eq!(found.list, [(KeyValue::Uuid(1u128.to_be_bytes()), 0)]);
}

#[test]
fn rules_that_contradict_are_named() {
    let rule = |line: usize, what: &str| format!("m:{line}: [[sharded_tables.mapping]]: {what}");
    for (data_type, rules, problem) in [
        ("bigint", &["shard = 3\nvalues = [1]"][..], rule(8, "`shard` = 3: this database has shards 0 to 2")),
        ("bigint", &["shard = 0\nvalues = [1, \"a\"]"], rule(9, "`values` has \"a\", which is not of type bigint")),
        ("bigint", &["shard = 0\nvalues = 1"], rule(9, "`values` has to be an array of values of type bigint")),
        ("bigint", &["shard = 0\nvalues = [1.5]"], rule(9, "`values` has to be an array of values of type bigint")),
        ("bigint", &["shard = 0\nstart = 1.5"], rule(9, "`start` is something else, which is not of type bigint")),
        ("uuid", &["shard = 0\nvalues = [\"1\"]"], rule(9, "`values` has \"1\", which is not of type uuid")),
        ("uuid", &["shard = 0\nend = 7"], rule(9, "`end` is 7, which is not of type uuid")),
        ("varchar", &["shard = 0\nvalues = [7]"], rule(9, "`values` has 7, which is not of type varchar")),
        ("varchar", &["shard = 0\nvalues = [\"\\u0000\"]"], rule(9, "`values` has \"\\0\", which is not of type varchar")),
        ("bigint", &["shard = 0\nvalues = [1]\nstart = 1"], rule(7, "a list has `values`, and neither `start` nor `end`")),
        ("bigint", &["shard = 0\nstart = 5\nend = 5"], rule(9, "the range from 5 to 5 holds nothing; `end` is excluded")),
        ("bigint", &["shard = 0\nvalues = [1]", "shard = 1\nvalues = [2, 1]"], rule(12, "`values` has 1, which belongs to shard 0 on line 9")),
        ("bigint", &["shard = 0\nend = 5", "shard = 1\nstart = 4"], rule(12, "this range overlaps the one on line 9")),
        ("bigint", &["shard = 0\nend = 5", "shard = 1\nend = 4"], rule(12, "this range overlaps the one on line 9")),
        ("bigint", &["shard = 0\nstart = 5", "shard = 1\nstart = 6"], rule(12, "this range overlaps the one on line 9")),
        ("bigint", &["shard = 0", "shard = 1"], rule(9, "the default rule stands on line 7 already")),
        (
            "bigint",
            &["shard = 0\nend = 5", "shard = 1\nstart = 7", "shard = 1\nvalues = [5]"],
            rule(12, "no rule is for keys from 5 on and before 7, between this range and the one on line 9; add one, or a default"),
        ),
    ] {
        assert_eq!(mapping(data_type, rules), Err(vec![problem]), "{rules:?}");
    }
}

#[test]
fn a_hole_may_be_filled() {
    for rules in [
        &["shard = 0\nend = 5", "shard = 1\nstart = 7", "shard = 1\nvalues = [5, 6, 9]"][..],
        &["shard = 0\nend = 5", "shard = 1\nstart = 7", "shard = 2"],
        &["shard = 0\nend = 5", "shard = 1\nstart = 5"],
        // Below the first and above the last there may be nothing: such keys have no place, and are refused.
        &["shard = 0\nstart = 1\nend = 5"],
    ] {
        assert!(mapping("bigint", rules).is_ok(), "{rules:?}");
    }
}

#[test]
fn older_mappings_are_those_of_their_table() {
    let older =
        |kind: &str, rest: &str| format!("[[sharded_mappings]]\ndatabase = \"db\"\ntable = \"T\"\ncolumn = \"k\"\nkind = \"{kind}\"\n{rest}\n");
    let both = older("list", "shard = 1\nvalues = [4]") + &older("default", "shard = 0") + &older("range", "shard = 2\nend = 0");
    let found = three(&(both + &table(""))).expect("good ones").tables.remove(0).mapping.expect("rules");
    assert_eq!((found.list, found.default, found.ranges.len()), (vec![(KeyValue::Int(4), 1)], Some(0), 1));

    let alone = "m:2: [[sharded_mappings]]: no [[sharded_tables]] has this database, schema, table and column; add one";
    assert_eq!(three(&older("default", "shard = 0")), Err(vec![alone.to_owned()]));
    let twice = three(&(older("default", "shard = 0") + &table("mapping = [{ shard = 1 }]")));
    assert_eq!(twice, Err(vec!["m:2: [[sharded_mappings]]: the mapping of this key stands on line 12 already; keep one of them".to_owned()]));
    for (kind, rest, problem) in [
        ("list", "shard = 0\nstart = 1", "m:2: [[sharded_mappings]]: a list has `values`, and neither `start` nor `end`"),
        ("range", "shard = 0\nvalues = [1]", "m:2: [[sharded_mappings]]: a range has `start` or `end` or both, and no `values`"),
        ("default", "shard = 0\nend = 1", "m:2: [[sharded_mappings]]: the default rule has no `values`, `start` or `end`"),
        ("default", "shard = 5", "m:7: [[sharded_mappings]]: `shard` = 5: this database has shards 0 to 2"),
    ] {
        assert_eq!(three(&(older(kind, rest) + &table(""))), Err(vec![problem.to_owned()]));
    }
}

#[test]
fn a_table_has_one_key_and_a_known_database() {
    let other = "[[sharded_tables]]\ndatabase = \"db\"\nname = \"T\"\ncolumn = \"other\"\n";
    let problem = "m:7: [[sharded_tables]]: table \"t\" has its key on line 2 already; a table has one";
    assert_eq!(three(&(table("") + other)), Err(vec![problem.to_owned()]));
    let any = "[[sharded_tables]]\ndatabase = \"db\"\ncolumn = \"k\"\n";
    assert_eq!(three(&format!("{any}{any}")), Err(vec!["m:5: [[sharded_tables]]: column \"k\" stands on line 2 already".to_owned()]));
    assert_eq!(three(&format!("{any}{}", table(""))).map(|found| found.tables.len()), Ok(2));
    let keyless = "[[sharded_tables]]\ndatabase = \"db\"\nname = \"t\"\n";
    assert_eq!(three(keyless), Err(vec!["m:2: [[sharded_tables]]: `column` is missing: it names the sharding key".to_owned()]));
    for section in ["sharded_tables", "sharded_mappings", "sharded_schemas", "omnisharded_tables"] {
        let more = if section == "sharded_mappings" { "column = \"k\"\nkind = \"default\"\nshard = 0\n" } else { "tables = []\n" };
        let more = if section.starts_with("sharded_t") || section.ends_with("schemas") { "" } else { more };
        let problem = format!("m:3: [[{section}]]: `database` = \"x\" is not in [[databases]]");
        assert_eq!(three(&format!("[[{section}]]\ndatabase = \"x\"\n{more}")), Err(vec![problem]));
    }
}

#[test]
fn schemas_and_whole_tables_have_a_home() {
    let schema = |lines: &str| format!("[[sharded_schemas]]\ndatabase = \"db\"\n{lines}\n");
    let lines = schema("name = \"A\"\nshard = 2") + &schema("name = \"b\"\nall = true") + &schema("");
    let whole = "[[omnisharded_tables]]\ndatabase = \"db\"\ntables = [\"x\", \"y\"]\nsticky = true\n";
    let found = three(&(lines + whole)).expect("good ones");
    let schemas: Vec<(Option<&str>, Home)> = found.schemas.iter().map(|schema| (schema.name.as_deref(), schema.home)).collect();
    assert_eq!(schemas, [(Some("A"), Home::Shard(2)), (Some("b"), Home::All), (None, Home::Shard(0))]);
    assert_eq!(found.omnisharded, ["x", "y"].map(|table| Omnisharded { table: table.to_owned(), sticky: true }));

    for (lines, problem) in [
        (schema("shard = 3"), "m:4: [[sharded_schemas]]: `shard` = 3: this database has shards 0 to 2"),
        (schema("") + &schema("shard = 1"), "m:5: [[sharded_schemas]]: the rule without `name` stands on line 2 already"),
        (schema("name = \"a\"") + &schema("name = \"a\""), "m:5: [[sharded_schemas]]: schema \"a\" stands on line 2 already"),
        (
            table("") + "[[omnisharded_tables]]\ndatabase = \"db\"\ntables = [\"t\"]\n",
            "m:9: [[omnisharded_tables]]: table \"t\" is in [[sharded_tables]] on line 2; it is one or the other",
        ),
    ] {
        assert_eq!(three(&lines), Err(vec![problem.to_owned()]));
    }
}

/// Until the sections are built `judge` refuses them, and nothing here adds to that; `build` reads what is built.
#[test]
fn sections_that_are_refused_are_passed_over() {
    let text = "databases = [{ name = \"db\", host = \"h\", shard = 7 }]\n".to_owned() + &table("") + &table("");
    let mut findings = Findings::new("m", "u");
    let blocks = read(Which::Main, Source { name: "m", text: &text }, &mut findings).expect("TOML");
    let is_built = blocks.iter().any(|block| block.section.name == "sharded_tables" && block.section.presence == Kind::Built);
    build(&blocks, &mut findings);
    assert_eq!(findings.len() > 0, is_built);
}
