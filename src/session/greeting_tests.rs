//! Our logins at servers: every method they ask for, and servers that are not what they claim.

use super::*;
use crate::auth::exchange::ServerExchange;
use crate::auth::scram::{Verifier, salted_password};
use crate::config::snapshot::{NEVER, PoolerMode};
use crate::wire::server as write;

const RANDOM: [u8; 18] = [7; 18];
const SALT: [u8; 16] = [3; 16];

fn spec(password: Option<&str>) -> PoolSpec {
    PoolSpec {
        database: "shop".into(),
        user: "ann".into(),
        host: "localhost".into(),
        port: 5432,
        server_database: "store".into(),
        server_user: "bob".into(),
        server_passwords: password.into_iter().map(str::to_string).collect(),
        pool_size: 1,
        min_pool_size: 0,
        mode: PoolerMode::Transaction,
        idle_timeout: NEVER,
        server_lifetime: NEVER,
        server_lifetime_jitter: std::time::Duration::ZERO,
        ..PoolSpec::default()
    }
}

fn words(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

/// What follows a proof.
fn welcome() -> Vec<u8> {
    words(|out| {
        write::authentication_ok(out);
        write::parameter_status(out, b"server_version", b"15.4").expect("short");
        write::parameter_status(out, b"TimeZone", b"UTC").expect("short");
        write::backend_key_data(out, 42, &[1, 2, 3, 4]).expect("short");
        write::ready(out, b'I');
    })
}

#[test]
fn a_client_that_replicates_says_all_it_wants_in_the_first_packet() {
    let mut spec = spec(None);
    spec.parameters = vec![("statement_timeout", "5".into())];
    let wishes = [("application_name".to_string(), "standby".to_string()), ("statement_timeout".to_string(), "0".to_string())];
    let bytes = words(|out| {
        Greeting::replicating(&spec, 0, Replication::Physical, &wishes, out).map(drop).expect("short");
    });
    let expected = words(|out| {
        let all = [
            ("user", "bob"),
            ("database", "store"),
            ("replication", "true"),
            ("statement_timeout", "5"),
            ("application_name", "standby"),
            ("statement_timeout", "0"),
        ];
        client::startup(out, 0, &all).expect("short");
    });
    assert_eq!(bytes, expected);
    let long = [("a".to_string(), "x".repeat(10_000))];
    let mut bytes = Vec::new();
    assert!(Greeting::replicating(&spec, 0, Replication::Logical, &long, &mut bytes).is_err());
    assert!(bytes.is_empty(), "nothing of it goes out");
}

/// A server's side of a login.
struct Desk {
    greeting: Greeting,
    spec: PoolSpec,
    keys: Option<SaltedKeys>,
    held: Vec<u8>,
    words: Vec<u8>,
}

impl Desk {
    fn new(password: Option<&str>) -> Desk {
        let (spec, mut words) = (spec(password), Vec::new());
        let greeting = Greeting::start(&spec, 0, &mut words);
        assert_eq!(words, self::words(|out| client::startup(out, 0, &[("user", "bob"), ("database", "store")]).expect("short")));
        Desk { greeting, spec, keys: None, held: Vec::new(), words: Vec::new() }
    }

    fn hear(&mut self, bytes: &[u8]) -> Greeted {
        self.held.extend_from_slice(bytes);
        let (consumed, greeted) = self.greeting.on_bytes(&self.held, &self.spec, self.keys.as_ref(), &RANDOM, &mut self.words);
        self.held.drain(..consumed);
        greeted
    }

    /// What we answered, without its header.
    fn answer(&mut self) -> Vec<u8> {
        let words = std::mem::take(&mut self.words);
        assert_eq!((words[0], words.len()), (b'p', 1 + u32::from_be_bytes([words[1], words[2], words[3], words[4]]) as usize));
        words[5..].to_vec()
    }
}

fn failure(greeted: Greeted) -> (String, String) {
    match greeted {
        Greeted::Failed { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

/// What a shard answers.
fn told() -> Vec<u8> {
    let row: [Option<&[u8]>; 6] = [Some(b"01010101-0101-0101-0101-010101010101"), Some(b"1"), Some(b"2"), Some(b"2048"), Some(b"3"), Some(b"-5")];
    words(|out| {
        write::data_row(out, &row).expect("short");
        out.extend(framed(b'C', b"SELECT 1\0"));
        write::ready(out, b'I');
    })
}

#[test]
fn a_server_says_which_shard_it_is_when_it_is_asked() {
    let question = words(|out| client::query(out, PROVE.as_bytes()).expect("short"));
    let bytes = [welcome(), framed(b'T', b"\0\0"), told()].concat();
    for cut in 0..bytes.len() {
        let mut desk = Desk::new(None);
        desk.greeting = Greeting::start(&desk.spec, 0, &mut Vec::new()).asking_who();
        assert_eq!((desk.hear(&bytes[..cut]), desk.hear(&bytes[cut..])), (Greeted::More, Greeted::Ready), "cut at {cut}");
        assert_eq!(desk.words, question, "once");
        let Some(Said::Known(known)) = desk.greeting.take_said() else { panic!("it said so") };
        assert_eq!((known.cluster, known.shard, known.version, known.facts), ([1; 16], 1, 3, -5));
    }
    let error = |severity: &[u8]| {
        let fields = [b"S".as_slice(), severity, b"\0V", severity, b"\0C3F000\0Mschema \"dog\" does not exist\0\0"].concat();
        [framed(b'E', &fields), words(|out| write::ready(out, b'I'))].concat()
    };
    let hear = |answer: &[u8]| {
        let mut desk = Desk::new(None);
        desk.greeting = Greeting::start(&desk.spec, 0, &mut Vec::new()).asking_who();
        (desk.hear(&[&welcome(), answer].concat()), desk.greeting.take_said())
    };
    let missing = Said::Error("3F000".to_string(), "schema \"dog\" does not exist".to_string());
    assert_eq!(hear(&error(b"ERROR")), (Greeted::Ready, Some(missing)));
    assert!(matches!(hear(&error(b"FATAL")).0, Greeted::Failed { .. }));
    assert_eq!(hear(&words(|out| write::ready(out, b'I'))), (Greeted::Ready, Some(Said::Unreadable)), "an answer without a row");
    assert!(matches!(hear(&framed(b'G', b"\0\0\0")).0, Greeted::Failed { .. }));
    let mut desk = Desk::new(None);
    assert!(matches!(desk.hear(&[welcome(), told()].concat()), Greeted::Ready), "who was not asked says nothing of it");
    assert_eq!(desk.greeting.take_said(), None);
}

#[test]
fn the_question_goes_out_with_the_last_proof() {
    let question = words(|out| client::query(out, PROVE.as_bytes()).expect("short"));
    let mut desk = Desk::new(Some("secret"));
    desk.greeting = Greeting::start(&desk.spec, 0, &mut Vec::new()).asking_who();
    assert_eq!(desk.hear(&framed(b'R', &3u32.to_be_bytes())), Greeted::More);
    assert_eq!(desk.words, [framed(b'p', b"secret\0"), question].concat());
    desk.words.clear();
    assert_eq!(desk.hear(&welcome()), Greeted::More);
    assert!(desk.words.is_empty());
    assert_eq!(desk.hear(&told()), Greeted::Ready);
}

#[test]
fn a_server_that_trusts_us_is_ready_in_every_cut() {
    let bytes = [framed(b'N', b"SNOTICE\0\0"), framed(b'v', b"\0\x03\0\0\0\0\0\0"), welcome()].concat();
    for cut in 0..bytes.len() {
        let mut desk = Desk::new(None);
        assert_eq!((desk.hear(&bytes[..cut]), desk.hear(&bytes[cut..])), (Greeted::More, Greeted::Ready), "cut at {cut}");
        assert!(desk.words.is_empty() && desk.held.is_empty());
        let (key, parameters) = desk.greeting.into_parts();
        assert_eq!(key, Some((42, vec![1, 2, 3, 4])));
        assert_eq!(parameters, [("server_version".to_string(), "15.4".to_string()), ("TimeZone".to_string(), "UTC".to_string())]);
    }
}

#[test]
fn passwords_in_clear_and_md5() {
    let mut desk = Desk::new(Some("secret"));
    assert_eq!(desk.hear(&words(write::authentication_cleartext_password)), Greeted::More);
    assert_eq!(desk.answer(), b"secret\0");
    assert_eq!(desk.hear(&welcome()), Greeted::Ready);
    let mut desk = Desk::new(Some("secret"));
    assert_eq!(desk.hear(&words(|out| write::authentication_md5_password(out, [1, 2, 3, 4]))), Greeted::More);
    assert_eq!(desk.answer(), [md5::response(b"bob", b"secret", [1, 2, 3, 4]).as_bytes(), b"\0"].concat());
    assert_eq!(desk.hear(&welcome()), Greeted::Ready);
}

#[test]
fn a_proof_that_we_have_not_got_fails_with_a_hint() {
    let asks = [
        words(write::authentication_cleartext_password),
        words(|out| write::authentication_md5_password(out, [0; 4])),
        words(|out| write::authentication_sasl(out, &["SCRAM-SHA-256"]).expect("short")),
    ];
    for ask in asks {
        let mut desk = Desk::new(None);
        let (code, message) = failure(desk.hear(&ask));
        assert!(code == "28000" && message.contains("users.toml") && desk.words.is_empty(), "{message}");
    }
    for ask in [framed(b'R', b"\0\0\0\x07"), framed(b'R', b"\0\0\0\x02"), words(|out| write::authentication_sasl(out, &["OTHER"]).expect("short"))] {
        assert_eq!(failure(Desk::new(Some("secret")).hear(&ask)).0, "0A000");
    }
    let (code, _) = failure(Desk::new(Some("zero\0byte")).hear(&words(write::authentication_cleartext_password)));
    assert_eq!(code, "28000");
}

fn keys(iterations: u32) -> SaltedKeys {
    let keys = ClientKeys::from_salted(&salted_password("secret", &SALT, iterations));
    SaltedKeys { password: 0, salt: SALT.to_vec(), iterations, keys }
}

/// Plays SCRAM up to our proof; the server's exchange, which can check it.
fn proven(desk: &mut Desk) -> (ServerExchange, Vec<u8>) {
    let offer = words(|out| write::authentication_sasl(out, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]).expect("short"));
    assert_eq!(desk.hear(&offer), Greeted::More);
    let initial = desk.answer();
    let first = initial.strip_prefix(b"SCRAM-SHA-256\0").expect("the mechanism")[4..].to_vec();
    let verifier = Verifier::from_password("secret", &SALT, 4096);
    let (server, challenge) = ServerExchange::start(&verifier, &first, "server-nonce").expect("a good first message");
    let challenge = words(|out| write::authentication_sasl_continue(out, challenge.as_bytes()).expect("short"));
    let needed = Greeted::NeedKeys { salt: SALT.to_vec(), iterations: 4096 };
    let fits = desk.keys.as_ref().is_some_and(|keys| keys.iterations == 4096);
    assert_eq!(desk.hear(&challenge), if fits { Greeted::More } else { needed });
    if !fits {
        assert!(desk.words.is_empty(), "nothing is said before the keys are there");
        assert!(matches!(desk.greeting.keys_made(Some(&keys(5000)), &mut desk.words), Greeted::NeedKeys { .. }), "for another count");
        assert_eq!(desk.greeting.keys_made(Some(&keys(4096)), &mut desk.words), Greeted::More);
    }
    let answer = desk.answer();
    (server, answer)
}

fn last(text: &str) -> Vec<u8> {
    words(|out| write::authentication_sasl_final(out, text.as_bytes()).expect("short"))
}

#[test]
fn scram_with_cached_keys_and_without() {
    for cached in [None, Some(keys(4096)), Some(keys(1000))] {
        let mut desk = Desk::new(Some("secret"));
        desk.keys = cached;
        let (server, answer) = proven(&mut desk);
        let end = server.finish(&answer).expect("the right proof").server_final;
        assert_eq!(desk.hear(&[last(&end), welcome()].concat()), Greeted::Ready);
        assert!(desk.words.is_empty());
    }
}

#[test]
fn a_server_that_does_not_know_our_password_is_refused() {
    let wrong = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for end in [wrong, "v=", "v=x", "e=invalid-proof", "", "x"] {
        let mut desk = Desk::new(Some("secret"));
        proven(&mut desk);
        let (code, _) = failure(desk.hear(&[last(end), welcome()].concat()));
        assert_eq!(code, "28000", "{end}");
    }
    // Nor may it skip its own proof, at whatever point.
    let offer = || words(|out| write::authentication_sasl(out, &["SCRAM-SHA-256"]).expect("short"));
    let mut desk = Desk::new(Some("secret"));
    assert_eq!(failure(desk.hear(&[offer(), welcome()].concat())).0, "28000");
    let mut desk = Desk::new(Some("secret"));
    proven(&mut desk);
    assert_eq!(failure(desk.hear(&welcome())).0, "28000");
    let mut desk = Desk::new(Some("secret"));
    desk.hear(&offer());
    let first = desk.answer()["SCRAM-SHA-256\0".len() + 4..].to_vec();
    let (_, challenge) = ServerExchange::start(&Verifier::from_password("x", &SALT, 1), &first, "n").expect("a good first message");
    let challenge = words(|out| write::authentication_sasl_continue(out, challenge.as_bytes()).expect("short"));
    assert!(matches!(desk.hear(&challenge), Greeted::NeedKeys { .. }));
    assert_eq!(failure(desk.hear(&welcome())).0, "28000", "while keys are made");
    // Or ask for the password in clear when SCRAM has begun.
    let mut desk = Desk::new(Some("secret"));
    desk.hear(&offer());
    desk.answer();
    assert_eq!(failure(desk.hear(&words(write::authentication_cleartext_password))).0, "08P01");
    assert!(desk.words.is_empty());
}

#[test]
fn challenges_that_are_none_are_refused() {
    for challenge in ["", "r=other,s=AAAA,i=4096", "r=,s=AAAA,i=1", "nonsense"] {
        let mut desk = Desk::new(Some("secret"));
        desk.hear(&words(|out| write::authentication_sasl(out, &["SCRAM-SHA-256"]).expect("short")));
        desk.answer();
        let challenge = words(|out| write::authentication_sasl_continue(out, challenge.as_bytes()).expect("short"));
        assert_eq!(failure(desk.hear(&challenge)).0, "28000");
        assert!(desk.words.is_empty());
    }
}

#[test]
fn messages_out_of_order_are_refused() {
    let ok = || words(write::authentication_ok);
    for bytes in [
        framed(b'Z', b"I"),
        framed(b'K', b"\0\0\0\x01\0\0\0\x02"),
        framed(b'T', b"\0\0"),
        [ok(), ok()].concat(),
        [ok(), framed(b'D', b"\0\0")].concat(),
        last("v=x"),
        words(|out| write::authentication_sasl_continue(out, b"r=x").expect("short")),
        framed(b'R', b""),
        framed(b'R', b"\0\0\0\x05\x01"),
        [words(write::authentication_cleartext_password), words(write::authentication_cleartext_password)].concat(),
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        vec![b'R', 0, 0, 0, 3],
        vec![b'R', 0, 1, 0, 5],
        vec![b'S', 0x3f, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(failure(Desk::new(Some("secret")).hear(&bytes)).0, "08P01", "{}", bytes.escape_ascii());
    }
    let mut desk = Desk::new(Some("secret"));
    assert_eq!(failure(desk.greeting.keys_made(Some(&keys(1)), &mut desk.words)).0, "08P01", "keys that nobody asked for");
}

#[test]
fn what_the_server_says_against_us_is_passed_on() {
    let error = |fields: &[u8]| failure(Desk::new(Some("secret")).hear(&framed(b'E', fields)));
    assert_eq!(error(b"SFATAL\0C53300\0Msorry, too many clients already\0\0"), ("53300".into(), "sorry, too many clients already".into()));
    for empty in [&b"\0"[..], b"", b"SFATAL\0\0"] {
        let (code, message) = error(empty);
        assert_eq!((code.as_str(), message.as_str()), ("XX000", "the server refused the login without saying why"));
    }
    assert_eq!(error(b"Mno end").0, "08P01");
    // Also when we are in already.
    let mut desk = Desk::new(None);
    assert_eq!(desk.hear(&words(write::authentication_ok)), Greeted::More);
    assert_eq!(failure(desk.hear(&framed(b'E', b"SFATAL\0C57P03\0Mstarting up\0\0"))).0, "57P03");
}

#[test]
fn what_a_server_reports_is_bounded() {
    let mut desk = Desk::new(None);
    desk.hear(&words(write::authentication_ok));
    for number in 0..PARAMETERS_MAX + 10 {
        let parameter = words(|out| write::parameter_status(out, format!("p{number}").as_bytes(), b"1").expect("short"));
        assert_eq!(desk.hear(&parameter), Greeted::More);
    }
    assert_eq!(desk.hear(&[framed(b'K', b"bad"), framed(b'Z', b"I")].concat()), Greeted::Ready);
    let (key, parameters) = desk.greeting.into_parts();
    assert_eq!((key, parameters.len()), (None, PARAMETERS_MAX));
}

#[test]
fn a_server_may_speak_an_older_protocol_and_no_other() {
    let answer = |asked: u16, answer: &[u8]| {
        let (spec, mut words) = (spec(None), Vec::new());
        let mut greeting = Greeting::start(&spec, asked, &mut words);
        assert_eq!(words[4..8], [0, 3, 0, asked as u8]);
        greeting.on_bytes(&[framed(b'v', answer), welcome()].concat(), &spec, None, &RANDOM, &mut words).1
    };
    for spoken in 0..=2 {
        assert_eq!(answer(2, &[0, 3, 0, spoken, 0, 0, 0, 0]), Greeted::Ready);
        assert_eq!(answer(2, &[&[0, 3, 0, spoken, 0, 0, 0, 1][..], b"_pq_.x\0"].concat()), Greeted::Ready);
    }
    // More than was asked for, another major version, too short, too long, a name too few, names without end.
    for bytes in [
        &[0, 3, 0, 3, 0, 0, 0, 0][..],
        &[0, 4, 0, 0, 0, 0, 0, 0],
        &[0, 3, 0, 0],
        &[0, 3, 0, 0, 0, 0, 0, 0, 1],
        &[0, 3, 0, 0, 0, 0, 0, 1],
        &[0, 3, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0, 3, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0],
    ] {
        assert_eq!(failure(answer(2, bytes)).0, "08P01", "{}", bytes.escape_ascii());
    }
    assert_eq!(failure(answer(0, &[0, 3, 0, 2, 0, 0, 0, 0])).0, "08P01", "nobody asked for 3.2");
    // Once it has begun to ask for a proof, the version stands.
    let late = [words(write::authentication_ok), framed(b'v', &[0, 3, 0, 0, 0, 0, 0, 0])].concat();
    assert_eq!(failure(Desk::new(None).hear(&late)).0, "08P01");
}

#[test]
fn notices_and_reports_may_stand_anywhere_in_a_login() {
    let noise = [
        framed(b'N', b"SNOTICE\0Mnoise\0\0"),
        framed(b'A', b"\0\0\0\x01a\0b\0"),
        framed(b'S', b"TimeZone\0Mars\0"),
        framed(b'N', b""),
        framed(b'S', b"no end"),
    ]
    .concat();
    let mut desk = Desk::new(None);
    let welcome = welcome();
    let mut rest = welcome.as_slice();
    while let Ok(Some(header)) = frame::header(rest) {
        assert_eq!(desk.hear(&noise), Greeted::More);
        let last = header.kind == b'Z';
        assert_eq!(desk.hear(&rest[..header.total()]), if last { Greeted::Ready } else { Greeted::More });
        rest = &rest[header.total()..];
    }
    let (key, parameters) = desk.greeting.into_parts();
    assert_eq!(key, Some((42, vec![1, 2, 3, 4])));
    // The last report of a name counts, and there is one of each.
    assert_eq!(parameters, [("TimeZone".to_string(), "Mars".to_string()), ("server_version".to_string(), "15.4".to_string())]);
}

#[test]
fn keys_of_any_length_that_the_protocol_has_are_kept_whole() {
    for (length, kept) in [(3, false), (4, true), (32, true), (255, true), (256, true), (257, false)] {
        let key: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let mut desk = Desk::new(None);
        desk.hear(&words(write::authentication_ok));
        desk.hear(&framed(b'K', &[&[0, 0, 0, 9], key.as_slice()].concat()));
        assert_eq!(desk.hear(&framed(b'Z', b"I")), Greeted::Ready);
        assert_eq!(desk.greeting.into_parts().0, kept.then_some((9, key)));
    }
}

#[test]
fn another_password_can_be_tried() {
    let two = || PoolSpec { server_passwords: ["wrong".to_string(), "secret".to_string()].into(), ..spec(None) };
    for (which, expected) in [(0, &b"wrong\0"[..]), (1, b"secret\0")] {
        let mut desk = Desk { spec: two(), ..Desk::new(None) };
        desk.greeting = Greeting::start(&desk.spec, 0, &mut Vec::new()).trying(which);
        assert_eq!((desk.greeting.password_tried(), desk.hear(&words(write::authentication_cleartext_password))), (which, Greeted::More));
        assert_eq!(desk.answer(), expected);
    }
    let mut desk = Desk { spec: two(), ..Desk::new(None) };
    desk.greeting = Greeting::start(&desk.spec, 0, &mut Vec::new()).trying(2);
    assert_eq!(failure(desk.hear(&words(write::authentication_cleartext_password))).0, "28000");
    // Keys of the first password are not those of the second.
    let mut desk = Desk { spec: two(), keys: Some(keys(4096)), ..Desk::new(None) };
    desk.greeting = Greeting::start(&desk.spec, 0, &mut Vec::new()).trying(1);
    desk.hear(&words(|out| write::authentication_sasl(out, &["SCRAM-SHA-256"]).expect("short")));
    let first = desk.answer()["SCRAM-SHA-256\0".len() + 4..].to_vec();
    let verifier = Verifier::from_password("secret", &SALT, 4096);
    let (_, challenge) = ServerExchange::start(&verifier, &first, "server-nonce").expect("a good first message");
    let challenge = words(|out| write::authentication_sasl_continue(out, challenge.as_bytes()).expect("short"));
    assert!(matches!(desk.hear(&challenge), Greeted::NeedKeys { .. }));
    assert_eq!(desk.greeting.keys_made(Some(&SaltedKeys { password: 1, ..keys(4096) }), &mut desk.words), Greeted::More);
}

#[test]
fn sessions_begin_with_the_pools_parameters() {
    let parameters = vec![("statement_timeout", "5".to_string()), ("default_transaction_read_only", "on".to_string())];
    let (spec, mut said) = (PoolSpec { parameters, ..spec(None) }, Vec::new());
    Greeting::start(&spec, 0, &mut said);
    let expected = [("user", "bob"), ("database", "store"), ("statement_timeout", "5"), ("default_transaction_read_only", "on")];
    assert_eq!(said, words(|out| client::startup(out, 0, &expected).expect("short")));
}

#[test]
fn every_password_is_tried_once_until_one_is_right() {
    let passwords = PasswordInUse::default();
    assert_eq!(passwords.which(), 0);
    assert!(passwords.wrong(0, 3) && passwords.which() == 1);
    assert!(passwords.wrong(0, 3) && passwords.which() == 1, "a second connection was on its way with the first one");
    assert!(passwords.wrong(1, 3) && passwords.which() == 2);
    assert!(!passwords.wrong(2, 3) && passwords.which() == 0, "all are refused");
    assert!(!passwords.wrong(0, 3) && passwords.which() == 1, "from then on one at a time");
    passwords.right();
    assert!(passwords.which() == 1 && passwords.wrong(1, 3) && passwords.wrong(2, 3) && !passwords.wrong(0, 3));
    let only = PasswordInUse::default();
    assert!(!only.wrong(0, 1) && only.which() == 0 && !only.wrong(0, 1));
}
