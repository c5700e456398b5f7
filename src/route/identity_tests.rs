//! Tests of the steps and comparisons over made-up answers; the SQL runs in `tests/clients/sharding_identity.rs`.

use super::*;
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};
use crate::route::slots::Slots;

const PLACES: [Place<'static>; 3] =
    [Place { shard: 0, place: "shard 0 (a)" }, Place { shard: 1, place: "shard 1 (b)" }, Place { shard: 2, place: "shard 2 (c)" }];
const OURS: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

fn sharded(hasher: Hasher) -> Sharded {
    let table = ShardedTable {
        schema: None,
        table: Some("it's \\ a \"t\"".to_owned()),
        column: "k".to_owned(),
        data_type: DataType::Uuid,
        hasher,
        primary: false,
        mapping: None,
    };
    Sharded { database: "db".to_owned(), shards: 3, tables: vec![table], schemas: Vec::new(), omnisharded: Vec::new() }
}

fn topology() -> Topology {
    Topology::first(&sharded(Hasher::Postgres)).expect("three shards")
}

/// What a shard says that was set up like this, with one thing changed.
fn identity(shard: u64, change: impl FnOnce(&mut Identity)) -> Found {
    let topology = topology();
    let map = map_hash(topology.slots().map());
    let facts = topology.facts().clone();
    let mut identity =
        Identity { cluster: OURS, shard, first_shards: 3, slots: 3072, founded: true, version: 1, map, facts, owner: "dba".to_owned() };
    change(&mut identity);
    Found::Identity(Box::new(identity))
}

fn fine() -> [Found; 3] {
    [0, 1, 2].map(|shard| identity(shard, |_| {}))
}

fn run(found: &[Found]) -> Result<Step, IdentityError> {
    next(&PLACES, &topology(), [9; 16], found)
}

/// The shard and the text that the next step runs.
fn text(found: &[Found]) -> (u16, String) {
    match run(found) {
        Ok(Step::Run { shard, sql }) => (shard, sql),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cluster_begins_at_its_first_shard() {
    let young = |shard| identity(shard, |identity| identity.founded = false);
    let (shard, sql) = text(&[Found::Nothing, Found::Nothing, Found::Nothing]);
    assert_eq!(shard, 0);
    assert!(sql.contains("VALUES ('09090909-0909-0909-0909-090909090909', 0, 3, 3072)"), "{sql}");
    assert!(sql.contains("SELECT 1, '{0,1,2,0,1,") && sql.starts_with("BEGIN ") && sql.ends_with("COMMIT"), "{sql}");
    assert!(sql.contains(r#"INSERT INTO dog.fact VALUES (E'*."it''s \\\\ a \\"t\\""."k"', E'uuid hash postgres') ON CONFLICT DO NOTHING;"#), "{sql}");
    // The others get the id that the first one has, not a fresh one.
    let (shard, sql) = text(&[young(0), Found::Nothing, young(2)]);
    assert!(shard == 1 && sql.contains("VALUES ('01010101-0101-0101-0101-010101010101', 1, 3, 3072)"), "{sql}");
    assert_eq!(text(&[young(0), young(1), young(2)]), (0, "UPDATE dog.identity SET founded = true".to_owned()));
    assert_eq!(run(&fine()), Ok(Step::Ready { cluster: OURS }));
}

#[test]
fn a_new_rule_is_remembered_everywhere() {
    let mut found = fine();
    found[1] = identity(1, |identity| identity.facts.clear());
    let (shard, sql) = text(&found);
    assert!(shard == 1 && sql.starts_with("INSERT INTO dog.fact VALUES (E'*.\"it''s") && sql.lines().count() == 1, "{sql}");
}

#[test]
fn every_difference_names_both_sides() {
    let at = |shard: usize, found: Found| {
        let mut all = fine();
        all[shard] = found;
        run(&all).expect_err("a difference").to_string()
    };
    let ours = "01010101-0101-0101-0101-010101010101";
    let foreign = at(2, identity(2, |identity| identity.cluster = OTHER));
    assert_eq!(
        foreign,
        format!(
            "shard 2 (c) belongs to cluster 02020202-0202-0202-0202-020202020202, and shard 0 (a) to cluster {ours}: these servers are not shards \
             of one database"
        )
    );
    let swapped = at(1, identity(2, |_| {}));
    assert!(swapped.starts_with(&format!("shard 1 (b) says that it is shard 2 of cluster {ours}: ")), "{swapped}");
    let shards = at(1, identity(1, |identity| (identity.first_shards, identity.slots) = (2, 2048)));
    assert!(
        shards.starts_with("shard 1 (b) belongs to a cluster that began with 2 shards (2048 slots), and 3 (3072 slots) are configured"),
        "{shards}"
    );
    let slots = at(1, identity(1, |identity| identity.slots = 6144));
    assert!(slots.contains("3 shards (6144 slots), and 3 (3072 slots)"), "{slots}");
    let map = at(0, identity(0, |identity| identity.version = 2));
    assert_eq!(map, "shard 0 (a) has version 2 of the map of keys, and version 1 is in use here");
    let map = at(0, identity(0, |identity| identity.map ^= 1));
    assert_eq!(map, "shard 0 (a) has version 1 of the map of keys, and version 1 is in use here, but it is another map");
    let fact = at(2, identity(2, |identity| identity.facts.values_mut().for_each(|fact| *fact = "uuid hash sha1".to_owned())));
    assert!(fact.contains("as \"uuid hash sha1\", and [[sharded_tables]] or [[sharded_schemas]] say \"uuid hash postgres\""), "{fact}");
    let gone = at(2, identity(2, |identity| _ = identity.facts.insert("schema *".to_owned(), "all".to_owned())));
    assert!(gone.contains("schema * as \"all\", and [[sharded_tables]] or [[sharded_schemas]] say nothing of it"), "{gone}");
    let lost = at(1, Found::Nothing);
    assert!(lost.starts_with(&format!("shard 1 (b) has no identity, and cluster {ours} of shard 0 (a) was complete")), "{lost}");
    let late = at(0, Found::Nothing);
    assert!(late.starts_with(&format!("shard 0 (a) has no identity, and shard 1 (b) belongs to cluster {ours} already")), "{late}");
}

#[test]
fn a_server_is_compared_at_its_first_use() {
    let check = |found: &Found| compare(PLACES[1], &OURS, &topology(), found).map_err(|error| error.to_string());
    assert_eq!(check(&fine()[1]), Ok(()));
    for (found, words) in [
        (Found::Nothing, "was complete"),
        (identity(1, |identity| identity.cluster = OTHER), "belongs to cluster 02020202"),
        (identity(0, |_| {}), "says that it is shard 0"),
        (identity(1, |identity| identity.version = 3), "version 3 of the map"),
        (identity(1, |identity| identity.facts.clear()), "does not remember *.\"it's"),
    ] {
        let error = check(&found).expect_err("a difference");
        assert!(error.contains(words) && error.starts_with("shard 1 (b)"), "{error}");
    }
    let moved = Slots::new(3, 3, topology().slots().map().into(), 3).expect("a good map");
    let moved = Topology::new(&sharded(Hasher::Postgres), moved).expect("three shards");
    assert!(compare(PLACES[1], &OURS, &moved, &identity(1, |identity| identity.version = 3)).is_ok());
    assert_eq!(compare(PLACES[0], &OURS, &moved, &fine()[0]).map_err(|error| error.sqlstate()), Err("58000"));
}

/// A row as a server sends it.
fn row<'a>(change: impl FnOnce(&mut [Option<&'a [u8]>; COLUMNS])) -> [Option<&'a [u8]>; COLUMNS] {
    let texts: [&[u8]; COLUMNS] =
        [b"01010101-0101-0101-0101-010101010101", b"1", b"3", b"3072", b"t", b"7", b"-5", b"a\x01b\x02c\x01d=\x01", PROBE, b"dba"];
    let mut columns = texts.map(Some);
    change(&mut columns);
    columns
}

/// `SELECT hashint8extended(-2, 8816678312871386365)` on PostgreSQL 15.
const PROBE: &[u8] = b"2147707635919668551";

#[test]
fn answers_are_read() {
    let read = |columns: &[Option<&[u8]>]| read(PLACES[1], columns);
    let Ok(Found::Identity(found)) = read(&row(|_| {})) else { panic!("an identity") };
    assert_eq!((found.cluster, found.shard, found.first_shards, found.slots, found.founded), (OURS, 1, 3, 3072, true));
    assert_eq!((found.version, found.map, found.owner.as_str()), (7, -5, "dba"));
    assert_eq!(found.facts.iter().map(|(name, fact)| (name.as_str(), fact.as_str())).collect::<Vec<_>>(), [("a", "b"), ("c", "d=\u{1}")]);
    assert!(matches!(read(&row(|columns| columns[7] = None)), Ok(Found::Identity(found)) if found.facts.is_empty()));
    assert!(matches!(read(&row(|columns| columns[4] = Some(b"f"))), Ok(Found::Identity(found)) if !found.founded));
    assert_eq!(read(&row(|columns| columns[..8].fill(None))), Ok(Found::Nothing));
    for at in [0, 1, 2, 3, 5, 6, 7, 8, 9] {
        let broken = read(&row(|columns| columns[at] = Some(b"\xff")));
        assert_eq!(broken, Err(IdentityError::Answer { place: "shard 1 (b)".to_owned() }), "column {at}");
    }
    for at in [1, 2, 3, 4, 5, 6, 8, 9] {
        assert!(read(&row(|columns| columns[at] = None)).is_err(), "column {at}");
    }
    assert!(read(&row(|_| {})[..9]).is_err());
    assert_eq!(read(&row(|columns| columns[8] = Some(b"1"))), Err(IdentityError::Hash { place: "shard 1 (b)".to_owned() }));
}

#[test]
fn refusals_mean_something() {
    for state in ["3F000", "42P01"] {
        assert_eq!(refusal(PLACES[0], state, "no"), Ok(Found::Nothing));
    }
    let error = refusal(PLACES[0], "42501", "permission denied for database db").expect_err("no right").to_string();
    assert!(error.starts_with("shard 0 (a): ") && error.contains("permission denied for database db; let a user with CREATE"), "{error}");
    let error = refusal(PLACES[0], "53300", &"x".repeat(10_000)).expect_err("a failure").to_string();
    assert!(error.contains("53300") && error.len() < 500, "{error}");
}

#[test]
fn an_owner_that_is_the_application_is_remarked_on() {
    let Found::Identity(found) = identity(1, |_| {}) else { panic!("an identity") };
    let remark = |names: &[&'static str]| owner_remark(PLACES[1], &found, &names.iter().copied().collect());
    assert_eq!(remark(&["app"]), None);
    assert!(remark(&["app", "dba"]).expect("a remark").starts_with("shard 1 (b): schema dog belongs to \"dba\""));
}
