//! Logins of clients: every method right and wrong, what must look alike, and openings that are none.

use super::*;
use crate::auth::exchange::ClientExchange;
use crate::auth::scram::{ClientKeys, salted_password};
use crate::wire::client::{cancel_request, password, sasl_initial, sasl_response, startup};
use crate::wire::server::{Authentication, parse_authentication};

const RANDOM: [u8; 18] = [7; 18];
const SECRET: [u8; 32] = [9; 32];
const SALT: [u8; 16] = [3; 16];

/// A client's side of a login, byte by byte if asked to.
struct Desk {
    login: Login,
    words: Vec<u8>,
    held: Vec<u8>,
}

impl Desk {
    fn new() -> Desk {
        Desk { login: Login::default(), words: Vec::new(), held: Vec::new() }
    }

    fn say(&mut self, bytes: &[u8]) -> Step {
        self.held.extend_from_slice(bytes);
        let (consumed, step) = self.login.on_bytes(&self.held, &RANDOM, &SECRET, &mut self.words);
        self.held.drain(..consumed);
        step
    }

    /// A client that has said who it is and been asked for a proof.
    fn asked(how: AuthType, identity: Identity) -> Desk {
        let mut desk = Desk::new();
        assert!(matches!(desk.say(&hello("ann")), Step::Who));
        assert!(matches!(desk.login.identified(how, identity, &RANDOM, &mut desk.words), Step::More));
        desk
    }

    /// The data of the one authentication message that was written.
    fn challenge(&mut self) -> (u8, Vec<u8>) {
        let words = std::mem::take(&mut self.words);
        assert_eq!((words[0], words.len()), (b'R', 1 + u32::from_be_bytes([words[1], words[2], words[3], words[4]]) as usize));
        (words[8], words[9..].to_vec())
    }
}

fn words(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn hello(user: &str) -> Vec<u8> {
    words(|out| startup(out, 0, &[("user", user), ("database", "shop"), ("application_name", "test")]).expect("short"))
}

fn proof(text: &str) -> Vec<u8> {
    words(|out| password(out, text.as_bytes()).expect("short"))
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    [(body.len() as u32 + 8).to_be_bytes().as_slice(), &code.to_be_bytes(), body].concat()
}

const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

fn known() -> Identity {
    Identity { known: true, secrets: Arc::new(ClientSecrets::password("secret")), verifier: None }
}

/// A user without a password of any kind.
fn bare() -> Identity {
    Identity { known: true, ..Identity::default() }
}

fn refusal(step: Step) -> (&'static str, String) {
    match step {
        Step::Refused { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_startup_packet_tells_who_and_what() {
    let bytes = words(|out| {
        let options = "-c search_path=a,b --geqo=off";
        let all = [("user", "ann"), ("database", "shop"), ("replication", "off"), ("options", options), ("TimeZone", "UTC")];
        startup(out, 0, &all).expect("short");
    });
    for cut in 0..=bytes.len() {
        let mut desk = Desk::new();
        if cut < bytes.len() {
            assert!(matches!(desk.say(&bytes[..cut]), Step::More), "cut at {cut}");
        }
        let rest = if cut < bytes.len() { &bytes[cut..] } else { &bytes[..] };
        assert!(matches!(desk.say(rest), Step::Who), "cut at {cut}");
        assert_eq!((desk.login.user.as_str(), desk.login.database.as_str()), ("ann", "shop"));
        let parameters: Vec<(&str, &str)> = desk.login.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(parameters, [("search_path", "a,b"), ("geqo", "off"), ("TimeZone", "UTC")]);
        assert!(desk.login.is_waiting() && desk.words.is_empty());
    }
}

#[test]
fn a_startup_packet_tells_what_is_to_be_replicated() {
    let told = |parameters: &[(&str, &str)]| {
        let bytes = words(|out| startup(out, 0, &[&[("user", "ann")], parameters].concat()).expect("short"));
        let mut desk = Desk::new();
        assert!(matches!(desk.say(&bytes), Step::Who));
        assert!(desk.login.parameters.is_empty(), "it is no parameter of a session");
        desk.login.replication
    };
    assert_eq!(told(&[]), None);
    assert_eq!(told(&[("replication", "0")]), None);
    assert_eq!(told(&[("replication", "database")]), Some(Replication::Logical));
    assert_eq!(told(&[("replication", "on")]), Some(Replication::Physical));
    assert_eq!(told(&[("replication", "on"), ("replication", "database")]), Some(Replication::Logical), "the last one counts");
}

#[test]
fn what_cannot_be_served_is_refused() {
    let refused = |parameters: &[(&str, &str)]| {
        let bytes = words(|out| startup(out, 0, &[&[("user", "ann")], parameters].concat()).expect("short"));
        refusal(Desk::new().say(&bytes)).0
    };
    assert_eq!(refused(&[("replication", "perhaps")]), "22023");
    assert_eq!(refused(&[("replication", "")]), "22023");
    assert_eq!(refused(&[("options", "-x")]), "42601");
    let many: Vec<String> = (0..=PARAMETERS_MAX).map(|number| format!("p{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(refused(&many), "54000");
    assert_eq!(refusal(Desk::new().say(&packet(2 << 16, b"user\0a\0\0"))).0, "0A000");
    assert_eq!(refusal(Desk::new().say(&packet(3 << 16, b"\0"))).0, "28000");
    assert_eq!(refusal(Desk::new().say(&packet(3 << 16, b"user\0a"))).0, "08P01");
}

#[test]
fn garbage_is_closed_without_a_word() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\0\x01", b"\0\0\0\x07", b"\0\0\0\0", b"\xff\xff\xff\xff", b"Q\0\0\0\x04"] {
        let mut desk = Desk::new();
        assert!(matches!(desk.say(garbage), Step::Close), "{}", garbage.escape_ascii());
        assert!(desk.words.is_empty());
    }
}

#[test]
fn encryption_is_declined_once_each() {
    let mut desk = Desk::new();
    for code in [GSS, SSL] {
        let bytes = packet(code, b"");
        assert!(matches!(desk.say(&bytes[..5]), Step::More));
        assert!(matches!(desk.say(&bytes[5..]), Step::More));
    }
    assert_eq!(desk.words, b"NN");
    assert!(matches!(desk.say(&hello("ann")), Step::Who));
    for (code, number) in [(SSL, "1234.5679"), (GSS, "1234.5680")] {
        let mut desk = Desk::new();
        desk.say(&packet(code, b""));
        let (sqlstate, message) = refusal(desk.say(&packet(code, b"")));
        assert!(sqlstate == "0A000" && message.contains(number), "{message}");
    }
    // Bytes that came along with the request were not sent in answer to ours.
    for code in [SSL, GSS] {
        let mut desk = Desk::new();
        assert!(matches!(desk.say(&[packet(code, b""), hello("ann")].concat()), Step::Close));
        assert!(desk.words.is_empty());
    }
}

#[test]
fn cancel_requests_are_passed_on() {
    for length in [4, 32, 256] {
        let key = vec![5; length];
        let mut desk = Desk::new();
        match desk.say(&words(|out| cancel_request(out, -7, &key).expect("short"))) {
            Step::Cancel(pid, secret) => assert_eq!((pid, secret), (-7, key)),
            other => panic!("{other:?}"),
        }
    }
    let mut desk = Desk::new();
    desk.say(&packet(SSL, b""));
    assert!(matches!(desk.say(&words(|out| cancel_request(out, 1, &[1; 4]).expect("short"))), Step::Cancel(1, _)));
}

#[test]
fn newer_protocols_are_negotiated_down() {
    for (minor, body, unknown, spoken) in [
        (3, &b"user\0a\0\0"[..], &b"\0\0\0\0"[..], 2),
        (9999, b"user\0a\0_pq_.x\0on\0\0", b"\0\0\0\x01_pq_.x\0", 2),
        (2, b"user\0a\0_pq_.x\0on\0\0", b"\0\0\0\x01_pq_.x\0", 2),
        (1, b"user\0a\0_pq_.x\0on\0\0", b"\0\0\0\x01_pq_.x\0", 1),
        (0, b"user\0a\0_pq_.y\0on\0_pq_.z\0\0\0", b"\0\0\0\x02_pq_.y\0_pq_.z\0", 0),
    ] {
        let mut desk = Desk::new();
        assert!(matches!(desk.say(&packet(3 << 16 | minor, body)), Step::Who));
        let expected = [&[b'v'][..], &(8 + unknown.len() as u32).to_be_bytes(), &[0, 3, 0, spoken], unknown].concat();
        assert_eq!(desk.words, expected);
        assert_eq!((desk.login.minor, desk.login.key_length()), (u16::from(spoken), if spoken == 2 { 32 } else { 4 }));
        assert!(desk.login.parameters.is_empty(), "an option of the protocol is no parameter of the session");
    }
    for minor in 0..=2 {
        let mut desk = Desk::new();
        assert!(matches!(desk.say(&packet(3 << 16 | minor, b"user\0a\0\0")), Step::Who));
        assert_eq!((desk.words.len(), desk.login.minor), (0, minor as u16), "3.{minor} is taken as it is");
    }
}

#[test]
fn trust_needs_a_known_user() {
    for known in [true, false] {
        let mut desk = Desk::new();
        desk.say(&hello("ann"));
        let step = desk.login.identified(AuthType::Trust, Identity { known, ..Identity::default() }, &RANDOM, &mut desk.words);
        assert_eq!((matches!(step, Step::Done), desk.words.as_slice()), (known, if known { &b"R\0\0\0\x08\0\0\0\0"[..] } else { b"" }));
    }
}

#[test]
fn passwords_in_clear_and_md5() {
    for how in [AuthType::Plain, AuthType::Md5] {
        let answer = |desk: &mut Desk, text: &str| {
            let (kind, salt) = desk.challenge();
            match how {
                AuthType::Md5 => {
                    assert_eq!(kind, 5);
                    proof(&md5::response(b"ann", text.as_bytes(), salt.try_into().expect("four bytes")))
                }
                _ => {
                    assert_eq!((kind, salt.len()), (3, 0));
                    proof(text)
                }
            }
        };
        let mut desk = Desk::asked(how, known());
        let right = answer(&mut desk, "secret");
        for &byte in &right[..right.len() - 1] {
            assert!(matches!(desk.say(&[byte]), Step::More));
        }
        assert!(matches!(desk.say(&[0]), Step::Done));
        assert_eq!(desk.challenge(), (0, vec![]));
        // Wrong, unknown, and known without a password: all alike, but for the user's own name.
        let mut all = Vec::new();
        for (identity, text) in [(known(), "Secret"), (known(), "secretx"), (Identity::default(), "secret"), (bare(), "secret")] {
            let mut desk = Desk::asked(how, identity);
            let wrong = answer(&mut desk, text);
            all.push(refusal(desk.say(&wrong)));
            assert!(desk.words.is_empty() && desk.login.is_waiting());
        }
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    }
}

#[test]
fn malformed_proofs_are_refused() {
    let framed = |kind: u8, body: &[u8]| [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat();
    for how in [AuthType::Plain, AuthType::Md5] {
        for (body, code) in [(&b""[..], "08P01"), (b"secret", "08P01"), (b"secret\0\0", "08P01"), (b"\0", "28P01")] {
            assert_eq!(refusal(Desk::asked(how, known()).say(&framed(b'p', body))).0, code, "{}", body.escape_ascii());
        }
    }
    for how in [AuthType::Plain, AuthType::Md5, AuthType::Scram] {
        for kind in [b'Q', b'X', 0, b'R'] {
            assert_eq!(refusal(Desk::asked(how, known()).say(&[kind])).0, "08P01");
        }
        for length in [0u32, 3, 70_000, 0xffff_ffff] {
            let header = [&b"p"[..], &length.to_be_bytes()].concat();
            assert!(matches!(Desk::asked(how, known()).say(&header), Step::Close), "{length}");
        }
    }
    for body in [&b""[..], b"SCRAM-SHA-256", b"SCRAM-SHA-256\0\0\0\0\x05n", b"SCRAM-SHA-256-PLUS\0\0\0\0\x01n", b"SCRAM-SHA-256\0\xff\xff\xff\xff"] {
        let mut desk = Desk::asked(AuthType::Scram, Identity::default());
        assert_eq!(refusal(desk.say(&framed(b'p', body))).0, "08P01", "{}", body.escape_ascii());
    }
}

/// Plays the client's part of SCRAM with a password; the step at its end, the challenge, and how often a verifier was asked for.
fn scram(identity: Identity, made: Option<Verifier>, text: &str) -> (Step, String, usize) {
    let mut desk = Desk::asked(AuthType::Scram, identity);
    assert_eq!(desk.challenge(), (10, b"SCRAM-SHA-256\0\0".to_vec()));
    let (client, first) = ClientExchange::start("client-nonce").expect("printable");
    let mut asked = 0;
    match desk.say(&words(|out| sasl_initial(out, "SCRAM-SHA-256", first.as_bytes()).expect("short"))) {
        Step::More => {}
        Step::NeedVerifier => {
            asked += 1;
            assert!(desk.login.is_waiting());
            let step = desk.login.verifier_made(made.as_ref(), &RANDOM, &mut desk.words);
            if made.is_none() {
                return (step, String::new(), asked);
            }
            assert!(matches!(step, Step::More));
        }
        other => return (other, String::new(), asked),
    }
    let (kind, data) = desk.challenge();
    assert_eq!(kind, 11);
    let challenge = client.challenge(&data).expect("a challenge");
    let keys = ClientKeys::from_salted(&salted_password(text, &challenge.salt, challenge.iterations));
    let (answered, last) = challenge.answer(&keys);
    let step = desk.say(&words(|out| sasl_response(out, last.as_bytes()).expect("short")));
    if matches!(step, Step::Done) {
        let cut = 1 + u32::from_be_bytes([desk.words[1], desk.words[2], desk.words[3], desk.words[4]]) as usize;
        match parse_authentication(&desk.words[5..cut]) {
            Ok(Authentication::SaslFinal(data)) => assert_eq!(answered.verify(data), Ok(())),
            other => panic!("{other:?}"),
        }
        assert_eq!(&desk.words[cut..], b"R\0\0\0\x08\0\0\0\0");
    } else {
        assert!(desk.words.is_empty());
    }
    (step, String::from_utf8(data).expect("text"), asked)
}

#[test]
fn scram_with_and_without_a_verifier_at_hand() {
    let verifier = || Verifier::from_password("secret", &SALT, 4096);
    let at_hand = || Identity { known: true, secrets: Arc::default(), verifier: Some(Arc::new(verifier())) };
    let (step, _, asked) = scram(at_hand(), None, "secret");
    assert!(matches!(step, Step::Done) && asked == 0);
    let (step, _, asked) = scram(known(), Some(verifier()), "secret");
    assert!(matches!(step, Step::Done) && asked == 1);
    assert!(matches!(scram(known(), None, "secret").0, Step::Close), "no verifier came");
    // A wrong password and an unknown user: the same messages, the same error.
    let (wrong, challenge, _) = scram(at_hand(), None, "Secret");
    let (unknown, mock, asked) = scram(Identity::default(), None, "secret");
    assert_eq!((refusal(wrong), asked), (refusal(unknown), 0));
    assert_eq!((challenge.len(), challenge.rsplit(',').next()), (mock.len(), mock.rsplit(',').next()));
    assert_eq!(scram(Identity::default(), None, "x").1, mock, "an unknown user has the same salt every time");
}

#[test]
fn nothing_is_proven_out_of_turn() {
    let mut desk = Desk::new();
    assert!(matches!(desk.login.verifier_made(Some(&Verifier::from_password("x", &SALT, 1)), &RANDOM, &mut desk.words), Step::Close));
    let mut desk = Desk::new();
    desk.say(&hello("ann"));
    assert!(matches!(desk.say(&proof("secret")), Step::Close), "before it was asked");
    let mut desk = Desk::asked(AuthType::Plain, known());
    assert!(matches!(desk.say(&proof("wrong")), Step::Refused { .. }));
    assert!(matches!(desk.say(&proof("secret")), Step::Close), "one try");
    assert_eq!(desk.challenge().0, 3);
}

/// A user with two passwords and a hash of a third one.
fn rotating(hash: Option<Hash>) -> Identity {
    let passwords = vec!["old".to_string(), "new".to_string()];
    Identity { known: true, secrets: Arc::new(ClientSecrets { passwords, hash }), verifier: None }
}

#[test]
fn any_of_several_secrets_will_do() {
    let md5_hash = || Some(Hash::Md5(md5::stored(b"ann", b"hashed")));
    for how in [AuthType::Plain, AuthType::Md5] {
        for (text, right) in [("old", true), ("new", true), ("hashed", true), ("oldnew", false), ("other", false)] {
            let mut desk = Desk::asked(how, rotating(md5_hash()));
            let (_, salt) = desk.challenge();
            let answer = match how {
                AuthType::Md5 => md5::response(b"ann", text.as_bytes(), salt.try_into().expect("four bytes")),
                _ => text.to_string(),
            };
            assert_eq!(matches!(desk.say(&proof(&answer)), Step::Done), right, "{how:?} {text}");
        }
    }
    // The hash itself is no password, and under md5 it is one of another user.
    let stored = md5::stored(b"ann", b"hashed");
    assert!(matches!(Desk::asked(AuthType::Plain, rotating(md5_hash())).say(&proof(&stored)), Step::Refused { .. }));
    let scram_hash = Verifier::from_password("hashed", &SALT, 7);
    let identity = || rotating(Some(Hash::Scram(scram_hash.to_string())));
    let made = || Verifier::of_secrets(&identity().secrets, b"other salt");
    for (text, right) in [("old", true), ("new", true), ("hashed", true), ("other", false)] {
        let (step, challenge, asked) = scram(identity(), made(), text);
        assert_eq!((matches!(step, Step::Done), asked), (right, 1), "{text}");
        assert!(challenge.ends_with(",i=7"), "the hash's own salt and count: {challenge}");
    }
}

#[test]
fn a_password_in_clear_meets_a_scram_hash_with_keys_that_others_make() {
    let stored = Verifier::from_password("hashed", &SALT, 7);
    let asked = || Desk::asked(AuthType::Plain, rotating(Some(Hash::Scram(stored.to_string()))));
    assert!(matches!(asked().say(&proof("new")), Step::Done), "a password needs no keys");
    for (text, right) in [("hashed", true), ("Hashed", false)] {
        let mut desk = asked();
        desk.challenge();
        let Step::NeedCheck(check) = desk.say(&proof(text)) else { panic!("{text} is looked at by nobody") };
        assert!(desk.login.is_waiting() && !format!("{check:?} {:?}", desk.login).contains(text));
        assert_eq!((check.password.as_slice(), check.salt.as_slice(), check.iterations), (text.as_bytes(), SALT.as_slice(), 7));
        check.keys.set(Keys::from_salted(&salted_password(&check.password, &check.salt, check.iterations))).expect("once");
        let step = desk.login.verifier_made(None, &RANDOM, &mut desk.words);
        assert_eq!((matches!(step, Step::Done), desk.words.is_empty()), (right, !right), "{text}");
    }
    // Keys that never came let nobody in, and say what any wrong password says.
    let mut desk = asked();
    assert!(matches!(desk.say(&proof("hashed")), Step::NeedCheck(_)));
    let none = desk.login.verifier_made(None, &RANDOM, &mut desk.words);
    assert_eq!(refusal(none), refusal(Desk::asked(AuthType::Plain, bare()).say(&proof("hashed"))));
}
