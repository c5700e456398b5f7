//! Portals that are read page by page, by two clients that take turns on one server, and by a driver's cursors.

use super::house::{House, one, tags};
use super::support::raw::{bind, close, execute, flush, parse, sync};
use super::support::{SOON, Version, python};

crate::on_both!(two_clients_page_on_one_server, psycopg_pages);

/// Inside a transaction a page may be followed by a Sync; outside of one the server is the client's until its Sync.
fn two_clients_page_on_one_server(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 20000");
    for in_transaction in [true, false] {
        let mut clients = [house.client(), house.client()];
        // Both ask at once; who comes second waits for the first one's end.
        for (who, client) in clients.iter_mut().enumerate() {
            if in_transaction {
                client.query("BEGIN");
            }
            let open = [parse("", &format!("SELECT 'client {who} row ' || g FROM generate_series(1, 1000) g"), &[]), bind("p", "", &[])].concat();
            client.send(&[open, execute("p", 7), if in_transaction { sync() } else { flush() }].concat());
        }
        let mut order: Vec<usize> = vec![0, 1];
        // Whose first page has come is the one who has the server.
        clients[0].set_deadline(std::time::Duration::from_secs(1));
        if clients[0].try_read().is_err() {
            order.reverse();
        }
        clients[0].set_deadline(SOON);
        for who in order {
            let client = &mut clients[who];
            let mut rows = Vec::new();
            loop {
                let messages = client.read_until_page();
                rows.extend(messages.iter().filter(|message| message.tag == b'D').map(|message| message.text()));
                if tags(&messages).ends_with('C') {
                    break;
                }
                client.send(&[execute("p", 7), if in_transaction { sync() } else { flush() }].concat());
            }
            let expected: Vec<String> = (1..=1000).map(|row| format!("client {who} row {row}")).collect();
            assert_eq!(rows, expected);
            client.send(&[close(b'P', "p"), sync()].concat());
            assert!(tags(&client.read_until(b'3')).ends_with('3'));
            client.read_until_ready();
            if in_transaction {
                client.query("COMMIT");
            }
        }
        clients.iter_mut().for_each(|client| assert_eq!(one(client, "SELECT 'done'"), "done"));
    }
    house.watch().wait_until_settled();
}

fn psycopg_pages(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 20000");
    let code = r#"
import psycopg
one, two = psycopg.connect(prepare_threshold=None), psycopg.connect(prepare_threshold=None, autocommit=True)
for size in (1, 7, 100, 5000):
    with one.transaction(), one.cursor(name="paged") as cursor:
        cursor.itersize = size
        cursor.execute("SELECT g, repeat('x', g % 50) FROM generate_series(1, 1000) g")
        rows = [row for row in cursor]
        assert rows == [(g, 'x' * (g % 50)) for g in range(1, 1001)], rows[:3]
    with one.transaction(), one.cursor(name="scrolled", scrollable=True) as cursor:
        cursor.execute("SELECT generate_series(1, 100)")
        cursor.scroll(50)
        assert cursor.fetchone() == (51,)
        cursor.scroll(-11)
        assert cursor.fetchmany(3) == [(41,), (42,), (43,)]
    assert two.execute("SELECT 'between'").fetchone() == ('between',)
    assert [row for row in two.cursor().stream("SELECT generate_series(1, 500)")] == [(g,) for g in range(1, 501)]
print("all is well")
"#;
    let said = python(&house.login("app"), &["-c", code], SOON).expect_success();
    assert_eq!(said, "all is well\n");
    house.watch().wait_until_settled();
}
