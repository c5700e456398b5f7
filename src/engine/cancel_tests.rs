//! Cancel requests as they reach a server.

use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;
use crate::wire::client;

#[test]
fn a_servers_key_goes_back_whole_whatever_its_length() {
    for length in [4, 5, 32, 255, 256] {
        let mut house = House::new(PoolerMode::Transaction, 1);
        house.key = (0..length).map(|i| i as u8).collect();
        let mine = house.connect("app");
        assert_eq!(house.read(mine).0, "RSKZ");
        assert_eq!(house.keys[&mine].len(), 8, "a client of protocol 3.0 gets four bytes, whatever the server gave");
        // Something that has not been answered.
        let mut words = Vec::new();
        client::parse(&mut words, b"", b"SELECT 1", &[]).unwrap();
        house.write(mine, &words);
        house.request_cancel(mine);
        assert_eq!(house.cancels, [[&[0, 0, 0, 7], house.key.as_slice()].concat()]);
    }
}
