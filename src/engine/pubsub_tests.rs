//! Who is given what, when, and what is lost; with letters as the control core writes them.

use super::super::house::House;
use super::*;
use crate::config::snapshot::PoolerMode::{Statement as StatementMode, Transaction};
use crate::mail::{Mail, Order};
use crate::wire::frame::header;

fn topic(id: u64, channel: &str) -> Arc<Topic> {
    Arc::new(Topic { id, channel: channel.as_bytes().into(), ..Topic::default() })
}

fn frame(channel: &str, payload: &str) -> Arc<[u8]> {
    let body = [&7u32.to_be_bytes()[..], channel.as_bytes(), b"\0", payload.as_bytes(), b"\0"].concat();
    [&b"A"[..], &(body.len() as u32 + 4).to_be_bytes(), &body].concat().into()
}

/// Clients 1 and 2 listen to `a`, client 1 to `b` as well.
fn two() -> (PubSub, Arc<Topic>, Arc<Topic>) {
    let (a, b) = (topic(1, "a"), topic(2, "b"));
    let mut hub = PubSub::default();
    for (topic, clients) in [(&a, vec![1, 2]), (&b, vec![1])] {
        for client in &clients {
            hub.clients.entry(*client).or_default().topics.entry(topic.id).or_default();
        }
        hub.topics.insert(topic.id, Audience { topic: topic.clone(), clients });
    }
    (hub, a, b)
}

/// What a client is given: the payloads, and the messages of notices.
fn taken(hub: &mut PubSub, client: u32) -> Vec<String> {
    let (mut words, mut all, mut at) = (Vec::new(), Vec::new(), 0);
    hub.take(client, &mut words);
    while at < words.len() {
        let header = header(&words[at..]).unwrap().unwrap();
        let body = &words[at + HEADER..at + header.total()];
        all.push(match header.kind {
            b'A' => String::from_utf8_lossy(body.split(|byte| *byte == 0).rev().nth(1).unwrap()).into_owned(),
            _ => crate::wire::server::error_fields(body).unwrap().text().into_owned(),
        });
        at += header.total();
    }
    all
}

#[test]
fn a_queue_keeps_the_order_and_its_bound() {
    let (mut hub, a, b) = two();
    for payload in ["1", "2", "3", "4"] {
        hub.queue(1, a.id, 2, &frame("a", payload));
        hub.queue(1, b.id, 3, &frame("b", payload));
    }
    assert_eq!((a.dropped.load(Ordering::Relaxed), b.dropped.load(Ordering::Relaxed)), (2, 1));
    let lost = "3 notifications on channels \"a\", \"b\" were dropped";
    assert_eq!(taken(&mut hub, 1), ["1", "1", "2", "2", "3", lost]);
    // Said once, and there is room again.
    assert_eq!((taken(&mut hub, 1), hub.queued_bytes), (vec![], 0));
    hub.queue(1, a.id, 2, &frame("a", "5"));
    assert_eq!(taken(&mut hub, 1), ["5"]);
    assert_eq!(taken(&mut hub, 2), Vec::<String>::new());
}

#[test]
fn a_core_keeps_no_more_than_its_bound() {
    let (mut hub, a, _) = two();
    let large = frame("a", &"x".repeat(7000));
    while hub.has_room(1, a.id, usize::MAX, large.len()) {
        hub.queue(1, a.id, usize::MAX, &large);
    }
    assert!(hub.queued_bytes <= QUEUED_MAX && hub.queued_bytes > QUEUED_MAX - 8000, "{}", hub.queued_bytes);
    hub.queue(2, a.id, usize::MAX, &large);
    assert_eq!(a.dropped.load(Ordering::Relaxed), 1);
    // A part at a time.
    let (count, mut times) = (hub.clients[&1].queue.len(), 0);
    while !hub.clients[&1].queue.is_empty() {
        let mut words = Vec::new();
        hub.take(1, &mut words);
        assert!(words.len() < GIVE + 8000);
        times += 1;
    }
    assert!(times > count / 10 && hub.queued_bytes == 0);
    assert_eq!(taken(&mut hub, 2), ["1 notifications on channel \"a\" were dropped"]);
}

#[test]
fn a_client_that_does_not_read_is_told_of_few_gaps() {
    let (mut hub, ..) = two();
    (0..100).for_each(|number| hub.queue_notice(1, &format!("gap {number}"), ""));
    assert_eq!(taken(&mut hub, 1).len(), NOTICES_MAX);
    hub.queue_notice(1, "another", "");
    assert_eq!(taken(&mut hub, 1), ["another"]);
}

#[test]
fn notices_name_a_few_channels() {
    let topics: Vec<Arc<Topic>> = (0..12).map(|id| topic(id, &format!("c{id}"))).collect();
    assert_eq!(names(&topics[..1]), "channel \"c0\"");
    assert_eq!(names(&topics[..2]), "channels \"c0\", \"c1\"");
    assert!(names(&topics).ends_with("\"c9\" and 2 more"));
    assert_eq!((plain("UTF-8"), plain("unicode"), plain("Latin_1")), ("utf8".into(), "utf8".into(), "latin1".into()));
}

/// A pg_dog of one core whose control core is played here.
fn house(mode: PoolerMode) -> House {
    House::with(mode, 1, |_, general| general.pub_sub_channel_size = 10)
}

fn notified(house: &mut House, id: u64, payload: &str) {
    house.post(Mail::Air(Airmail::Notified { notifications: vec![(id, frame("c", payload))], ticket: Arc::default() }));
    house.settle();
}

/// The control core's answer to the only LISTEN that waits for one.
fn answer(house: &mut House, heard: Result<Arc<Topic>, (String, String)>) {
    let words: Vec<Word> = house.words.borrow_mut().drain(..).collect();
    let [Word::Listen(listen)] = &words[..] else { panic!("{} words", words.len()) };
    let Asker { slot, generation, .. } = listen.asker;
    assert_eq!((&*listen.channel, listen.pool.spec.database.as_str()), (&b"c"[..], "app"));
    house.post(Mail::Air(Airmail::Listening { slot, generation, heard }));
    house.settle();
}

/// What the control core was told: topics that a client listens to no more.
fn unlistened(house: &mut House) -> Vec<u64> {
    let unlistened = |word| if let Word::Unlisten { core: 0, topics } = word { topics } else { panic!("another word") };
    house.words.borrow_mut().drain(..).flat_map(unlistened).collect()
}

#[test]
fn a_listener_is_answered_when_somebody_listens_for_it() {
    for mode in [Transaction, StatementMode] {
        let mut house = house(mode);
        let (client, other) = (house.login(), house.login());
        let both = [&b"Q\0\0\0\x0dLISTEN C\0"[..], b"Q\0\0\0\x0dSELECT 1\0"].concat();
        house.write(client, &both);
        assert_eq!(house.read(client).0, "", "neither is answered");
        answer(&mut house, Ok(topic(3, "c")));
        let (tags, texts) = house.read(client);
        assert!(tags.starts_with("CZ") && tags.ends_with('Z') && tags.len() > 3 && texts[0] == "LISTEN\0", "{tags}");
        notified(&mut house, 3, "x");
        notified(&mut house, 4, "not for it");
        assert_eq!((house.read(client).0, house.read(other).0), ("A".to_string(), String::new()));
        // It listens already: nobody is asked.
        assert_eq!(house.ask(client, "listen c").0, "CZ");
        assert!(unlistened(&mut house).is_empty());
        assert_eq!(house.ask(client, "UNLISTEN c").0, "CZ");
        assert_eq!(unlistened(&mut house), [3]);
        notified(&mut house, 3, "y");
        assert_eq!(house.read(client).0, "");
        assert_eq!(house.servers.iter().flat_map(|server| &server.texts).filter(|text| text.contains("ISTEN")).count(), 0);
    }
}

#[test]
fn a_refusal_is_told_and_the_client_lives() {
    let mut house = house(Transaction);
    let client = house.login();
    assert_eq!(house.ask(client, "LISTEN c").0, "");
    answer(&mut house, Err(("08001".into(), "nobody there".into())));
    let (tags, texts) = house.read(client);
    assert!(tags == "EZ" && texts[0].contains("C08001\0Mnobody there\0"), "{tags} {texts:?}");
    notified(&mut house, 3, "x");
    assert_eq!(house.read(client).0, "");
    assert!(house.ask(client, "SELECT 1").0.ends_with('Z'));
}

#[test]
fn a_suspended_core_hands_out_nothing() {
    let mut house = house(Transaction);
    let client = house.login();
    house.ask(client, "LISTEN c");
    answer(&mut house, Ok(topic(3, "c")));
    house.read(client);
    house.order(Order::Suspend);
    notified(&mut house, 3, "x");
    assert_eq!(house.read(client).0, "");
    house.order(Order::Wake);
    assert_eq!(house.read(client).0, "A");
}

#[test]
fn whoever_has_gone_is_no_listener() {
    let mut house = house(Transaction);
    let client = house.login();
    house.ask(client, "LISTEN c");
    house.world.peer_close(client);
    house.settle();
    answer(&mut house, Ok(topic(3, "c")));
    assert_eq!(unlistened(&mut house), [3]);
    let client = house.login();
    house.ask(client, "LISTEN c");
    answer(&mut house, Ok(topic(4, "c")));
    house.world.peer_close(client);
    house.settle();
    assert_eq!(unlistened(&mut house), [4]);
    notified(&mut house, 4, "x");
}

#[test]
fn nothing_comes_into_a_transaction() {
    let mut house = house(Transaction);
    let client = house.login();
    house.ask(client, "LISTEN c");
    answer(&mut house, Ok(topic(3, "c")));
    house.read(client);
    house.ask(client, "BEGIN");
    assert!(house.ask(client, "SELECT 1").0.ends_with('Z'));
    for payload in 0..15 {
        notified(&mut house, 3, &payload.to_string());
    }
    house.post(Mail::Air(Airmail::Gap { topics: [3, 9].into(), since: "then".into(), until: "now".into() }));
    house.settle();
    assert_eq!(house.read(client).0, "");
    assert!(!house.ask(client, "SELECT 2").0.contains('A'));
    let (tags, texts) = house.ask(client, "COMMIT");
    assert_eq!(tags, format!("CZ{}NN", "A".repeat(10)));
    assert!(texts[12].contains("notifications on channel \"c\" that were sent between then and now may be missing"), "{texts:?}");
    assert!(texts[13].contains("5 notifications on channel \"c\" were dropped"), "{texts:?}");
    // A LISTEN in a transaction, and a DISCARD ALL, are for the server.
    house.ask(client, "BEGIN");
    house.ask(client, "LISTEN d");
    house.ask(client, "ROLLBACK");
    house.ask(client, "DISCARD ALL");
    assert_eq!(unlistened(&mut house), [3]);
}
