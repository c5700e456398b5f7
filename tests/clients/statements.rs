//! Statement mode: every statement by itself, transaction control refused, and no transaction left for the next client.

use super::house::{House, error, extended, one, tags};
use super::support::raw::{self, bind, execute, parse};
use super::support::{SOON, Version, psql, wait_until};

crate::on_both!(each_statement_is_by_itself, transaction_control_is_refused, what_is_left_open_is_rolled_back, psql_is_told);

fn house(version: Version, size: usize) -> House {
    House::new(version, size, "pooler_mode = \"statement\"\ncheckout_timeout = 20000")
}

fn each_statement_is_by_itself(version: Version) {
    let house = house(version, 1);
    let (mut one_client, mut other) = (house.client(), house.client());
    house.postgres.psql(&["-c", "CREATE TABLE kept (a int)", "-c", "GRANT ALL ON kept TO PUBLIC"]).expect_success();
    for i in 0..20 {
        assert_eq!(one(&mut one_client, &format!("SELECT {i}")), i.to_string());
        other.send(&[extended("SELECT $1::text", &[Some("x")]), raw::sync()].concat());
        assert_eq!(tags(&other.read_until_ready()), "12TDCZ");
    }
    // Several in one query are one transaction, and succeed or fail as one.
    assert_eq!(tags(&one_client.query("INSERT INTO kept VALUES (1); INSERT INTO kept VALUES (2)")), "CCZ");
    assert_eq!(tags(&one_client.query("INSERT INTO kept VALUES (3); SELECT 1/0")), "CEZ");
    assert_eq!(one(&mut other, "SELECT sum(a) FROM kept"), "3");
    // PostgreSQL's own words where there is no transaction.
    for text in ["COMMIT", "ROLLBACK", "END"] {
        assert_eq!(tags(&one_client.query(text)), "NCZ", "{text}");
    }
    assert_eq!(error(&one_client.query("SAVEPOINT a"))[&'C'], "25P01");
    // The unnamed statement is the client's own here too.
    for (client, text) in [(&mut one_client, "SELECT 'mine'"), (&mut other, "SELECT 'other'")] {
        client.send(&[parse("", text, &[]), raw::sync()].concat());
        assert_eq!(tags(&client.read_until_ready()), "1Z");
    }
    for (client, text) in [(&mut one_client, "mine"), (&mut other, "other")] {
        client.send(&[bind("", "", &[]), execute("", 0), raw::sync()].concat());
        assert_eq!(client.read_until_ready()[1].text(), text);
    }
    house.watch().wait_until_settled();
}

fn transaction_control_is_refused(version: Version) {
    let house = house(version, 1);
    let mut client = house.client();
    for text in ["BEGIN", "start transaction", ";; begin; SELECT 1", "/* a /* b */ */ -- c\n BeGiN", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        let answer = client.query(text);
        assert_eq!((tags(&answer).as_str(), client.status), ("EZ", b'I'), "{text}");
        let fields = error(&answer);
        assert_eq!((fields[&'S'].as_str(), fields[&'C'].as_str()), ("ERROR", "58000"));
        assert_eq!(fields[&'M'], "transaction control statements are not supported in statement mode");
        client.send(&[parse("", text, &[]), bind("", "", &[]), execute("", 0), raw::query("SELECT 'skipped'"), raw::sync()].concat());
        let answer = client.read_until_ready();
        assert_eq!((tags(&answer).as_str(), error(&answer)[&'C'].as_str()), ("EZ", "58000"));
        assert_eq!(one(&mut client, "SELECT 'alive'"), "alive");
    }
    // Where the server skips it, nobody refuses it; in a pipeline the order holds.
    client.send(&[execute("missing", 0), raw::query("BEGIN"), parse("", "BEGIN", &[]), raw::sync()].concat());
    assert_eq!(error(&client.read_until_ready())[&'C'], "34000");
    client.send(&[raw::query("SELECT 1"), raw::query("BEGIN"), raw::query("SELECT 2")].concat());
    let answers = [client.read_until_ready(), client.read_until_ready(), client.read_until_ready()].map(|answer| tags(&answer));
    assert_eq!(answers, ["TDCZ", "EZ", "TDCZ"]);
    house.watch().wait_until_settled();
}

fn what_is_left_open_is_rolled_back(version: Version) {
    let house = house(version, 1);
    house.postgres.psql(&["-c", "CREATE TABLE kept (a int)", "-c", "GRANT ALL ON kept TO PUBLIC"]).expect_success();
    let mut other = house.client();
    let mut watch = house.watch();
    for text in ["SELECT 1; BEGIN", "INSERT INTO kept VALUES (1); BEGIN; INSERT INTO kept VALUES (2)", "SELECT 1; BEGIN; SELECT 1/0"] {
        let mut client = house.client();
        client.send(&raw::query(text));
        let end = client.read_until_closed();
        let last = end.last().expect("it is told").fields();
        assert_eq!((last[&'S'].as_str(), last[&'C'].as_str()), ("FATAL", "58000"), "{text}");
        assert!(end.iter().all(|message| message.tag != b'Z'), "{text}: {end:?}");
        assert_eq!(one(&mut other, "SELECT pg_current_xact_id_if_assigned() IS NULL"), "t");
        assert_eq!(watch.sessions("state LIKE 'idle in transaction%'"), 0);
    }
    // PostgreSQL commits what stood before a BEGIN in one query only with what stands behind it.
    assert_eq!(one(&mut other, "SELECT count(*) FROM kept"), "0");
    watch.wait_until_settled();
}

fn psql_is_told(version: Version) {
    let house = house(version, 2);
    let said = psql(&house.login("app"), &["-v", "ON_ERROR_STOP=0", "-c", "BEGIN", "-c", "SELECT 'alive'"]);
    assert!(said.stderr.contains("not supported in statement mode") && said.stdout.contains("alive"), "{said:?}");
    wait_until("the servers rest", SOON, || house.watch().pools("sv_active") == 0);
}
