//! Commits over shards that nobody finishes, on real PostgreSQL: each point at which a coordinator can die is made by hand on three servers, which
//! then may crash; pg_dogs start, and every commit is everywhere or nowhere, as its decider said. What is not theirs to finish they leave alone.

use pg_dog::config::sharded::uuid;
use pg_dog::route::commit::{self, Gid};

use super::support::{Dog, Login, Postgres, Raw, SOON, Version, admin, config, users, wait_until};
use crate::on_both;

on_both!(
    what_was_decided_is_done_wherever_the_coordinator_died,
    servers_that_crash_forget_nothing,
    a_number_that_is_given_again_decides_nothing,
    a_decider_in_flight_is_waited_for,
    a_decider_that_comes_too_late_fails,
    what_is_not_ours_is_left_alone,
    a_verdict_of_another_role_is_not_believed,
    another_role_is_taken_on,
    a_shard_that_is_down_is_done_later,
    decisions_are_forgotten,
    names_of_ours_are_refused,
);

const SHARDS: u16 = 3;
/// Behind the lines that decide where WAL goes to disk: only where a commit says so.
const LAZY: &str = "wal_writer_delay = 10s\n";
/// PostgreSQL asks the second for no password.
const USERS: [(&str, &str); 2] = [("app", ""), ("trusted", "password = \"known-here\"\n")];

/// Three servers that know who they are, and no pg_dog.
struct House {
    shards: Vec<Postgres>,
    cluster: [u8; 16],
}

impl House {
    fn new(version: Version) -> House {
        House::with(version, "")
    }

    fn with(version: Version, settings: &str) -> House {
        let shards: Vec<Postgres> = (0..SHARDS).map(|_| Postgres::start_with(version, settings)).collect();
        for shard in &shards {
            shard.sql("CREATE TABLE marks (gid text, shard int); GRANT ALL ON marks TO PUBLIC; GRANT ALL ON DATABASE app TO PUBLIC");
        }
        let mut house = House { shards, cluster: [0; 16] };
        let dog = house.dog();
        house.wait_for_ready(&dog);
        let id = house.shards[0].sql("SELECT cluster FROM dog.identity")[0][0].clone();
        house.cluster = uuid(id.as_bytes()).expect("a uuid");
        house
    }

    fn dog(&self) -> Dog {
        let more = |shard: usize| {
            let port = self.shards[shard].port;
            format!("[[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"\nport = {port}\nshard = {shard}\n")
        };
        let rules = "[[sharded_tables]]\ndatabase = \"app\"\nname = \"keyed\"\ncolumn = \"id\"\n";
        let general = "default_pool_size = 4\nmin_pool_size = 0\ntwo_phase_commit_recovery_interval = 100";
        let config = config(&self.shards[0], general, &format!("{}{}{rules}", more(1), more(2)));
        Dog::start(&config, &users(&self.shards[0], &USERS))
    }

    fn wait_for_ready(&self, dog: &Dog) {
        let mut client = Raw::login(&dog.instead_of(&self.shards[0].login("app")));
        wait_until("the shards are known", SOON, || client.query("SELECT 1").iter().any(|message| message.tag == b'D'));
    }

    /// A name that nobody has used.
    fn gid(&self, decider: u16, number: u8) -> Gid {
        Gid::new(&self.cluster, decider, [number; 16])
    }

    fn client(&self, shard: u16, user: &str) -> Raw {
        Raw::login(&self.shards[usize::from(shard)].login(user))
    }

    /// A transaction of a shard that has written.
    fn written(&self, shard: u16, user: &str, gid: &Gid) -> Raw {
        let mut client = self.client(shard, user);
        client.rows("BEGIN");
        client.rows(&format!("INSERT INTO marks VALUES ('{gid}', {shard})"));
        client
    }

    fn prepare(&self, shard: u16, user: &str, gid: &Gid) {
        let mut client = self.written(shard, user, gid);
        let tags = client.query(&gid.prepare(shard));
        assert!(tags.iter().any(|message| message.tag == b'C' && message.body.starts_with(b"PREPARE TRANSACTION")), "{tags:?}");
    }

    /// The decider's half to its end.
    fn decide(&self, gid: &Gid, user: &str) {
        let mut client = self.written(gid.decider, user, gid);
        client.rows(&gid.decide());
        client.rows(commit::COMMIT);
    }

    /// Shards that have what a commit wrote.
    fn holders(&self, gid: &Gid) -> Vec<u16> {
        let sql = format!("SELECT shard FROM marks WHERE gid = '{gid}'");
        (0..SHARDS).filter(|shard| !self.client(*shard, "postgres").rows(&sql).is_empty()).collect()
    }

    fn prepared(&self) -> usize {
        (0..SHARDS).map(|shard| self.client(shard, "postgres").rows("SELECT gid FROM pg_prepared_xacts").len()).sum()
    }

    fn wait_for_nothing_prepared(&self) {
        wait_until("nothing is prepared any more", SOON, || self.prepared() == 0);
    }

    /// Commits that died at every point there is: their names, and whether they were decided.
    fn dead(&self) -> Vec<(&'static str, Gid, bool)> {
        let (mut all, mut number) = (Vec::new(), 0);
        for decider in 0..SHARDS {
            let others: Vec<u16> = (0..SHARDS).filter(|shard| *shard != decider).collect();
            let mut next = |point: &'static str, decided: bool| {
                number += 1;
                all.push((point, self.gid(decider, number), decided));
                self.gid(decider, number)
            };
            let gid = next("before the first PREPARE", false);
            drop(self.written(decider, "app", &gid));
            let gid = next("after one PREPARE", false);
            self.prepare(others[0], "app", &gid);
            let gid = next("after the other PREPARE", false);
            self.prepare(others[1], "app", &gid);
            let gid = next("when the decider had written alone", false);
            self.written(decider, "app", &gid).rows(&gid.decide());
            let gid = next("when all but the decider had prepared", false);
            others.iter().for_each(|other| self.prepare(*other, "app", &gid));
            drop(self.written(decider, "app", &gid));
            let gid = next("before the decider's COMMIT", false);
            others.iter().for_each(|other| self.prepare(*other, "app", &gid));
            self.written(decider, "app", &gid).rows(&gid.decide());
            let gid = next("after the decider's COMMIT", true);
            others.iter().for_each(|other| self.prepare(*other, "app", &gid));
            self.decide(&gid, "app");
            for first in 0..2 {
                let gid = next("between two COMMIT PREPAREDs", true);
                others.iter().for_each(|other| self.prepare(*other, "app", &gid));
                self.decide(&gid, "app");
                self.client(others[first], "app").rows(&gid.commit_prepared(others[first]));
                let gid = next("between two ROLLBACK PREPAREDs of a recovery", false);
                others.iter().for_each(|other| self.prepare(*other, "app", &gid));
                self.client(decider, "trusted").rows(&gid.resolve());
                self.client(others[first], "app").rows(&gid.rollback_prepared(others[first]));
            }
            let gid = next("when all was done", true);
            others.iter().for_each(|other| self.prepare(*other, "app", &gid));
            self.decide(&gid, "app");
            others.iter().for_each(|other| _ = self.client(*other, "app").rows(&gid.commit_prepared(*other)));
        }
        all
    }

    fn all_or_none(&self, dead: &[(&'static str, Gid, bool)]) {
        for (point, gid, decided) in dead {
            let expected: &[u16] = if *decided { &[0, 1, 2] } else { &[] };
            assert_eq!(self.holders(gid), expected, "{point}: {gid}");
        }
    }
}

fn what_was_decided_is_done_wherever_the_coordinator_died(version: Version) {
    let house = House::new(version);
    for dogs in [1, 2, 5] {
        let dead = house.dead();
        assert_eq!(house.prepared(), 36);
        let dogs: Vec<Dog> = (0..dogs).map(|_| house.dog()).collect();
        house.wait_for_nothing_prepared();
        house.all_or_none(&dead);
        let count = |words: &str| dogs.iter().map(|dog| dog.log().matches(words).count()).sum::<usize>();
        wait_until("each part is finished by one of them", SOON, || (count("COMMIT PREPARED"), count("ROLLBACK PREPARED")) == (12, 24));
        wait_until("nothing is left to show", SOON, || admin(&dogs[0], "SHOW TRANSACTIONS").is_empty());
        drop(dogs);
        for shard in &house.shards {
            shard.sql("TRUNCATE marks; DELETE FROM dog.decided");
        }
    }
}

fn servers_that_crash_forget_nothing(version: Version) {
    let mut house = House::with(version, LAZY);
    let dead = house.dead();
    house.shards.iter_mut().for_each(Postgres::crash_and_restart);
    let _dog = house.dog();
    house.wait_for_nothing_prepared();
    house.all_or_none(&dead);
}

/// A server that crashes before its WAL is on disk gives the number of the lost transaction to the next one. Who asked what became of the number
/// would be told that it committed.
fn a_number_that_is_given_again_decides_nothing(version: Version) {
    let mut house = House::with(version, LAZY);
    let (one, two) = (house.gid(0, 1), house.gid(0, 2));
    house.shards[0].sql("CHECKPOINT");
    let mut decider = house.client(0, "app");
    let number = |client: &mut Raw| client.rows("SELECT pg_current_xact_id()")[0][0].clone();
    decider.rows("BEGIN");
    decider.rows(&format!("INSERT INTO marks VALUES ('{one}', 0)"));
    decider.rows(&one.decide());
    let before = number(&mut decider);
    house.prepare(1, "app", &one);
    house.prepare(2, "app", &one);
    house.shards[0].crash_and_restart();
    let mut next = house.client(0, "app");
    next.rows("BEGIN");
    next.rows(&format!("INSERT INTO marks VALUES ('{two}', 0)"));
    let after = number(&mut next);
    next.rows("COMMIT");
    assert_eq!(before, after, "the number was not given again, so that this shows nothing");
    let _dog = house.dog();
    house.wait_for_nothing_prepared();
    assert_eq!((house.holders(&one), house.holders(&two)), (vec![], vec![0]));
}

fn a_decider_in_flight_is_waited_for(version: Version) {
    let house = House::new(version);
    let (yes, no) = (house.gid(1, 1), house.gid(1, 2));
    let mut deciders = [&yes, &no].map(|gid| {
        house.prepare(0, "app", gid);
        let mut decider = house.written(1, "app", gid);
        decider.rows(&gid.decide());
        decider
    });
    let dog = house.dog();
    let waits = || admin(&dog, "SHOW TRANSACTIONS").iter().filter(|row| row["detail"] == "being decided").count() == 2;
    wait_until("both are seen and left alone", SOON, waits);
    assert_eq!(house.prepared(), 2);
    let rows = admin(&dog, "SHOW TRANSACTIONS");
    let first = rows.iter().find(|row| row["transaction_name"] == yes.to_string()).expect("it is shown");
    let shown = ["database", "user", "transaction_state", "shard"].map(|column| first[column].as_str());
    assert_eq!(shown, ["app", "app", "prepared", "0"]);
    deciders[0].rows("COMMIT");
    deciders[1].rows("ROLLBACK");
    house.wait_for_nothing_prepared();
    assert_eq!((house.holders(&yes), house.holders(&no)), (vec![0, 1], vec![]));
}

fn a_decider_that_comes_too_late_fails(version: Version) {
    let house = House::new(version);
    let gid = house.gid(2, 1);
    house.prepare(0, "app", &gid);
    let mut decider = house.written(2, "app", &gid);
    let dog = house.dog();
    house.wait_for_nothing_prepared();
    let messages = decider.query(&gid.decide());
    assert!(messages.iter().any(|message| message.tag == b'E' && message.sqlstate() == commit::REFUSED), "{messages:?}");
    decider.rows("COMMIT");
    assert_eq!(house.holders(&gid), [0; 0]);
    assert!(dog.log().contains("that was not decided is refused"), "{}", dog.log());
}

fn what_is_not_ours_is_left_alone(version: Version) {
    let house = House::new(version);
    let other = Gid::new(&[9; 16], 0, [1; 16]);
    house.prepare(1, "app", &other);
    let beginning = house.gid(0, 1).to_string();
    for name in ["mine", "dog:mine", &format!("{beginning}:"), &format!("{beginning}:1:1"), &beginning] {
        let mut client = house.written(1, "app", &other);
        client.rows(&format!("PREPARE TRANSACTION '{name}'"));
    }
    // What is prepared in the database beside it is somebody else's too, and so is what was prepared for another shard.
    house.shards[1].sql("CREATE DATABASE beside");
    let ours = house.gid(0, 3);
    let mut beside = Raw::login(&Login { database: "beside".to_owned(), ..house.shards[1].login("postgres") });
    beside.rows("BEGIN");
    beside.rows("CREATE TABLE t ()");
    beside.rows(&ours.prepare(1));
    let mut moved = house.written(1, "app", &house.gid(0, 4));
    moved.rows(&house.gid(0, 4).prepare(2));
    let last = house.gid(0, 2);
    house.prepare(1, "app", &last);
    let dog = house.dog();
    wait_until("ours is finished", SOON, || dog.log().contains(&format!("{last}")));
    wait_until("the one that was moved is told of", SOON, || dog.log().contains("it was prepared for shard 2, which this is not"));
    assert_eq!(house.shards[1].sql("SELECT count(*) FROM pg_prepared_xacts"), [["8"]]);
    assert_eq!(house.shards[0].sql("SELECT gid FROM dog.decided"), [[last.to_string()]]);
}

fn a_verdict_of_another_role_is_not_believed(version: Version) {
    let house = House::new(version);
    let (forged, honest) = (house.gid(0, 1), house.gid(0, 2));
    house.prepare(1, "app", &forged);
    house.client(0, "other").rows(&forged.decide());
    house.prepare(1, "trusted", &honest);
    house.decide(&honest, "trusted");
    let dog = house.dog();
    let is_told = || dog.log().contains("role \"other\" says that it is committed, and \"app\" has prepared it");
    wait_until("it is told", SOON, is_told);
    wait_until("the other is finished", SOON, || house.holders(&honest) == [0, 1]);
    assert_eq!((house.holders(&forged), house.prepared()), (vec![], 1));
    let rows = admin(&dog, "SHOW TRANSACTIONS");
    assert_eq!((rows.len(), rows[0]["transaction_state"].as_str()), (1, "in doubt"), "{rows:?}");
    assert_eq!(dog.log().matches("says that it is committed").count(), 1, "once a minute");
}

fn another_role_is_taken_on(version: Version) {
    let house = House::new(version);
    let gid = house.gid(0, 1);
    house.prepare(1, "md5user", &gid);
    house.decide(&gid, "md5user");
    let dog = house.dog();
    wait_until("it is told what is missing", SOON, || dog.log().contains("GRANT \"md5user\" TO \""));
    assert_eq!(house.holders(&gid), [0]);
    house.shards[1].sql("GRANT md5user TO trusted");
    house.wait_for_nothing_prepared();
    assert_eq!(house.holders(&gid), [0, 1]);
    // The connection is itself again.
    let next = house.gid(0, 2);
    house.prepare(1, "app", &next);
    house.decide(&next, "app");
    house.wait_for_nothing_prepared();
    assert_eq!(house.holders(&next), [0, 1]);
}

fn a_shard_that_is_down_is_done_later(version: Version) {
    let mut house = House::new(version);
    let (decided, lost) = (house.gid(0, 1), house.gid(0, 2));
    let dog = house.dog();
    house.wait_for_ready(&dog);
    house.prepare(1, "app", &decided);
    house.prepare(1, "app", &lost);
    house.decide(&decided, "app");
    house.shards[0].stop();
    wait_until("it is told", SOON, || dog.log().contains("shard 0, which decides, cannot be asked"));
    assert_eq!(house.shards[1].sql("SELECT count(*) FROM pg_prepared_xacts"), [["2"]]);
    house.shards[0].restart("QUIT");
    house.wait_for_nothing_prepared();
    assert_eq!((house.holders(&decided), house.holders(&lost)), (vec![0, 1], vec![]));
}

fn decisions_are_forgotten(version: Version) {
    let house = House::new(version);
    let [done, open, young] = [1, 2, 3].map(|number| house.gid(0, number));
    for gid in [&done, &open, &young] {
        house.decide(gid, "app");
    }
    house.client(0, "trusted").rows(&format!("SELECT dog.decide('{}')", house.gid(0, 4)));
    // Another one is at this, so that it stays prepared.
    house.prepare(1, "md5user", &open);
    house.shards[0].sql(&format!("UPDATE dog.decided SET at = now() - interval '1 hour' WHERE gid <> '{young}'"));
    let _dog = house.dog();
    let left = || house.shards[0].sql("SELECT gid FROM dog.decided ORDER BY gid").concat();
    wait_until("what is done is forgotten, whoever's it was", SOON, || left() == [open.to_string(), young.to_string()]);
}

fn names_of_ours_are_refused(version: Version) {
    let house = House::new(version);
    let dog = house.dog();
    house.wait_for_ready(&dog);
    let mut client = Raw::login(&dog.instead_of(&house.shards[0].login("app")));
    let code = |client: &mut Raw, sql: &str| {
        let messages = client.query(sql);
        messages.iter().find(|message| message.tag == b'E').map_or(String::new(), |error| error.sqlstate())
    };
    let gid = house.gid(0, 1);
    for sql in [gid.prepare(1), gid.commit_prepared(1), format!("/* pgdog_shard: 0 */ {}", gid.rollback_prepared(1))] {
        assert_eq!(code(&mut client, &sql), "42939", "{sql}");
    }
    assert_eq!(code(&mut client, "COMMIT PREPARED 'mine'"), "0A000", "nobody knows where it is");
    client.rows("BEGIN");
    client.rows("/* pgdog_shard: 1 */ INSERT INTO marks VALUES ('mine', 1)");
    client.rows("PREPARE TRANSACTION 'mine'");
    assert_eq!(house.shards[1].sql("SELECT gid FROM pg_prepared_xacts"), [["mine"]]);
    client.rows("/* pgdog_shard: 1 */ COMMIT PREPARED 'mine'");
    assert_eq!(house.shards[1].sql("SELECT gid FROM marks"), [["mine"]]);
}
