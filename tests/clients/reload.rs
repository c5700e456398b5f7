//! PostgreSQL's configuration is reloaded under a pool: what clients are told, and what they get.

use super::house::{House, one, tags};
use super::support::{SOON, Version, wait_until};

crate::on_both!(a_reload_reaches_clients_old_and_new);

fn a_reload_reaches_clients_old_and_new(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 20000");
    let (mut before, mut chooser) = (house.client(), house.client());
    assert_eq!(chooser.query("SET TimeZone = 'Asia/Tokyo'").last().map(|message| message.tag), Some(b'Z'));
    let old = one(&mut before, "SHOW TimeZone");
    assert_ne!(old, "Pacific/Apia");
    let mut watch = house.watch();
    watch.direct.query("ALTER SYSTEM SET TimeZone = 'Pacific/Apia'");
    watch.direct.rows("SELECT pg_reload_conf()");
    wait_until("the reload", SOON, || one(&mut watch.direct, "SHOW TimeZone") == "Pacific/Apia");
    // It has its own, from before; the others have the new one, and are told so by the time they see it.
    assert_eq!(one(&mut chooser, "SHOW TimeZone"), "Asia/Tokyo");
    for _ in 0..3 {
        assert_eq!(one(&mut before, "SHOW TimeZone"), "Pacific/Apia");
        assert_eq!(one(&mut chooser, "SHOW TimeZone"), "Asia/Tokyo");
    }
    assert_eq!(before.parameter("TimeZone"), Some("Pacific/Apia"));
    let mut after = house.client();
    assert_eq!(one(&mut after, "SHOW TimeZone"), "Pacific/Apia");
    assert_eq!(tags(&after.query("SELECT 1")), "TDCZ");
    watch.wait_until_settled();
}
