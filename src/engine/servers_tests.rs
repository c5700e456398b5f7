//! What servers say, and what becomes of their clients.

use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;

#[test]
fn a_transaction_left_open_in_statement_mode_ends_its_client_and_is_rolled_back() {
    let mut house = House::new(PoolerMode::Statement, 1);
    let (mine, other) = (house.login(), house.login());
    assert_eq!(house.ask(mine, "SELECT 1").0, "CZ");
    // Refused by its text; the server never sees it.
    let (tags, texts) = house.ask(mine, "BEGIN");
    assert!(tags == "EZ" && texts[0].contains("SERROR\0") && texts[0].contains("C58000\0"), "{tags} {texts:?}");
    assert!(house.servers[0].texts.iter().all(|text| text != "BEGIN"), "{:?}", house.servers[0].texts);
    // Not to be seen in its text.
    let (tags, texts) = house.ask(mine, "SELECT begins()");
    assert_eq!(tags, "CE");
    assert!(texts[1].contains("SFATAL\0") && texts[1].contains("C58000\0"), "{texts:?}");
    assert!(house.is_closed(mine) && !house.is_closed(other));
    assert_eq!(house.ask(other, "SELECT 2").0, "CZ");
    assert_eq!(house.servers[0].texts[2..], ["SELECT begins()", "ROLLBACK", "SELECT 2"]);
    assert_eq!((house.permits(), house.panics()), ((1, 1), 0));
    // In transaction mode it is nobody's fault.
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mine = house.login();
    assert_eq!(house.ask(mine, "SELECT begins()").0, "CZ");
    assert_eq!(house.ask(mine, "COMMIT").0, "CZ");
}
