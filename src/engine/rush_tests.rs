//! Tests of many that come or go at once: each is served, and each is counted out again.

use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;

#[test]
fn hundreds_that_come_at_once_all_get_in_and_all_get_out() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let mut startup = Vec::new();
    crate::wire::client::startup(&mut startup, 0, &[("user", "app"), ("database", "app")]).unwrap();
    let clients: Vec<_> = (0..700).map(|_| house.world.connect_client(0)).collect();
    for &client in &clients {
        assert_eq!(house.world.peer_write(client, &startup), startup.len());
    }
    house.settle();
    assert_eq!(house.clients(), 700);
    for &client in &clients {
        assert!(house.read(client).0.ends_with("KZ"));
    }
    assert_eq!(house.ask(clients[699], "SELECT 1").0, "CZ");
    clients.iter().for_each(|&client| house.world.peer_close(client));
    house.settle();
    assert_eq!(house.clients(), 0);
    let (_, idle) = house.permits();
    assert!(idle >= 1, "their servers rest");
}
