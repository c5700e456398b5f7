//! SCRAM-SHA-256: both roles of `auth::exchange`, step by step, against a second computation. A message of the target begins with the role: `S` and
//! the client's two messages for the server's role, `C` and the server's two for the client's, `V` and a stored verifier; a zero byte in between.
//!
//! No proof is accepted but the very bytes that the password's owner would send. (A comma behind the last attribute does not count: PostgreSQL and
//! libpq let it pass.)

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use pg_dog::auth::exchange::{ClientExchange, ServerExchange};
use pg_dog::auth::scram::{ClientKeys, MAX_ITERATIONS, Verifier, nonce, salted_password};
use sha2::{Digest, Sha256};

use crate::Target;
use crate::dice::Dice;

pub const TARGET: Target = Target { name: "scram", rounds: 800_000, messages: false, run };

pub const PASSWORD: &str = "secret";
pub const SALT: &[u8; 16] = b"sixteen bytes...";
/// Few, so that thousands of logins take no time.
pub const ITERATIONS: u32 = 16;
/// Our random bytes, from which our nonce comes.
pub const RANDOM: [u8; 18] = [7; 18];
/// The other side's nonces in valid conversations.
pub const NONCES: [&str; 3] = ["rOprNGfwEbeRWgbNEkqO", "fyko+d2lbbFgONRv9qkx", "x"];

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Hi of RFC 5802.
fn salted(password: &str, iterations: u32) -> Vec<u8> {
    let mut block = mac(password.as_bytes(), &[SALT.as_slice(), &[0, 0, 0, 1]].concat());
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = mac(password.as_bytes(), &block);
        sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// The four messages of a valid conversation, without framing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    pub client_first: String,
    pub server_first: String,
    pub client_final: String,
    pub server_final: String,
}

/// `flag` is `n` or `y`.
pub fn talk(flag: char, client: &str, server: &str) -> Talk {
    let salted = salted(PASSWORD, ITERATIONS);
    let bare = format!("n=,r={client}");
    let server_first = format!("r={client}{server},s={},i={ITERATIONS}", STANDARD.encode(SALT));
    let without_proof = format!("c={},r={client}{server}", STANDARD.encode(format!("{flag},,")));
    let signed = format!("{bare},{server_first},{without_proof}");
    let key = mac(&salted, b"Client Key");
    let signature = mac(&Sha256::digest(&key), signed.as_bytes());
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
    Talk {
        client_first: format!("{flag},,{bare}"),
        client_final: format!("{without_proof},p={}", STANDARD.encode(proof)),
        server_final: format!("v={}", STANDARD.encode(mac(&mac(&salted, b"Server Key"), signed.as_bytes()))),
        server_first,
    }
}

/// The conversations in which we are the server: the client's messages in them are the only ones that prove anything.
pub fn as_server() -> &'static [Talk] {
    static TALKS: OnceLock<Vec<Talk>> = OnceLock::new();
    let flags = |nonce: &'static &str| ['n', 'y'].map(|flag| talk(flag, nonce, &STANDARD.encode(RANDOM)));
    TALKS.get_or_init(|| NONCES.iter().flat_map(flags).collect())
}

/// The conversations in which we are the client.
pub fn as_client() -> &'static [Talk] {
    static TALKS: OnceLock<Vec<Talk>> = OnceLock::new();
    TALKS.get_or_init(|| NONCES.iter().map(|nonce| talk('n', &STANDARD.encode(RANDOM), nonce)).collect())
}

pub fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| Verifier::from_password(PASSWORD, SALT, ITERATIONS))
}

pub fn keys() -> &'static ClientKeys {
    static KEYS: OnceLock<ClientKeys> = OnceLock::new();
    KEYS.get_or_init(|| ClientKeys::from_salted(&salted_password(PASSWORD, SALT, ITERATIONS)))
}

/// The number of iterations that a challenge asks for, if it is told by digits behind the last `,i=`.
pub fn iterations_asked(challenge: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(challenge).ok()?;
    let (_, digits) = text.strip_suffix(',').unwrap_or(text).rsplit_once(",i=")?;
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A last message without the comma that nobody minds.
pub fn plain(message: &[u8]) -> &[u8] {
    message.strip_suffix(b",").unwrap_or(message)
}

fn run(bytes: &[u8], _: &mut Dice) {
    let Some((role, rest)) = bytes.split_first() else { return };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (first, last) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match role {
        b'S' => server_role(first, last),
        b'C' => client_role(first, last),
        _ => stored(rest),
    }
}

fn server_role(first: &[u8], last: &[u8]) {
    let known = as_server().iter().find(|talk| talk.client_first.as_bytes() == first);
    let started = ServerExchange::start(verifier(), first, &nonce(RANDOM));
    let doomed = ServerExchange::start(&Verifier::mock(&[1; 32], b"nobody"), first, &nonce(RANDOM));
    assert_eq!(started.is_ok(), doomed.is_ok(), "a user who does not exist shows");
    let Ok((exchange, server_first)) = started else {
        assert!(known.is_none(), "a valid first message was refused");
        return;
    };
    assert!(known.is_none_or(|talk| talk.server_first == server_first), "{server_first}");
    let proven = exchange.finish(last);
    let valid = known.filter(|talk| talk.client_final.as_bytes() == plain(last));
    assert_eq!(proven.as_ref().ok().map(|proven| &proven.server_final), valid.map(|talk| &talk.server_final), "{}", last.escape_ascii());
    if let Ok(proven) = proven {
        assert!(proven.keys == *keys());
    }
    assert!(doomed.is_ok_and(|(exchange, _)| exchange.finish(last).is_err()), "a user who does not exist was let in");
}

fn client_role(first: &[u8], last: &[u8]) {
    let known = as_client().iter().find(|talk| talk.server_first.as_bytes() == first);
    let (exchange, client_first) = ClientExchange::start(&nonce(RANDOM)).expect("our nonce is good");
    assert_eq!(client_first, as_client()[0].client_first);
    let Ok(challenge) = exchange.challenge(first) else {
        assert!(known.is_none(), "a valid challenge was refused");
        return;
    };
    assert!((1..=MAX_ITERATIONS).contains(&challenge.iterations), "{} iterations are too many", challenge.iterations);
    assert_eq!(Some(u128::from(challenge.iterations)), iterations_asked(first), "{}", first.escape_ascii());
    if challenge.salt != SALT || challenge.iterations != ITERATIONS {
        return;
    }
    let (answered, client_final) = challenge.answer(keys());
    assert!(known.is_none_or(|talk| talk.client_final == client_final), "{client_final}");
    let valid = known.is_some_and(|talk| talk.server_final.as_bytes() == plain(last));
    // A challenge that means the same in other bytes has a signature of its own, which nobody here can make.
    assert_eq!(answered.verify(last).is_ok(), valid, "{} after {}", last.escape_ascii(), first.escape_ascii());
}

fn stored(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(verifier) = Verifier::parse(text) {
        assert!((1..=MAX_ITERATIONS).contains(&verifier.iterations));
        assert!(Verifier::parse(&verifier.to_string()).is_ok_and(|again| again == verifier), "{text}");
    }
}

/// Valid conversations in both roles, stored verifiers, and challenges that ask for too much.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let pair = |role: char, first: &str, last: &str| format!("{role}{first}\0{last}").into_bytes();
    let (server, client) = (as_server(), as_client());
    let hostile = |iterations: &str| {
        let first = client[0].server_first.replace(&format!("i={ITERATIONS}"), &format!("i={iterations}"));
        pair('C', &first, &client[0].server_final)
    };
    let mut all = vec![
        ("verifier", format!("V{}", verifier()).into_bytes()),
        ("hostile-iterations-2147483647", hostile("2147483647")),
        ("hostile-iterations-zero", hostile("0")),
        ("hostile-iterations-over-u32", hostile("4294967312")),
        ("hostile-authorization-identity", pair('S', "n,a=ann,n=,r=abc", "c=biws,r=abc,p=AAAA")),
        ("hostile-channel-binding", pair('S', "p=tls-server-end-point,,n=,r=abc", "c=biws,r=abc,p=AAAA")),
    ];
    let names = [("server-0", 0), ("server-1", 1), ("server-2", 2), ("server-3", 3), ("server-4", 4)];
    all.extend(names.map(|(name, at)| (name, pair('S', &server[at].client_first, &server[at].client_final))));
    let names = [("client-0", 0), ("client-1", 1), ("client-2", 2)];
    all.extend(names.map(|(name, at)| (name, pair('C', &client[at].server_first, &client[at].server_final))));
    all
}
