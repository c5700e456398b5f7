//! Our own logins at servers that are not what they say: a server that does not prove itself by SCRAM when it asked for SCRAM is not taken for
//! ready, it never gets the password unless it asked for it in clear first, and never an iteration more than is allowed.

use std::time::Duration;

use pg_dog::auth::scram::MAX_ITERATIONS;
use pg_dog::config::snapshot::{NEVER, PoolSpec, PoolerMode};
use pg_dog::session::greeting::{CancelKey, Greeted, Greeting, SaltedKeys};

use crate::Target;
use crate::bytes::{assert_whole, messages};
use crate::dice::Dice;
use crate::raw;
use crate::scram;

pub const TARGET: Target = Target { name: "greetings", rounds: 80_000, messages: true, run };

fn spec() -> PoolSpec {
    PoolSpec {
        database: "shop".into(),
        user: "ann".into(),
        host: "localhost".into(),
        port: 5432,
        server_database: "store".into(),
        server_user: "bob".into(),
        server_passwords: [scram::PASSWORD.to_string()].into(),
        pool_size: 1,
        min_pool_size: 0,
        idle_timeout: NEVER,
        server_lifetime: NEVER,
        server_lifetime_jitter: Duration::ZERO,
        mode: PoolerMode::Transaction,
        ..PoolSpec::default()
    }
}

/// How a login of ours went.
#[derive(Debug, PartialEq, Eq)]
struct Went {
    words: Vec<u8>,
    consumed: usize,
    end: String,
    ready: bool,
    told: Option<(CancelKey, Vec<(String, String)>)>,
}

fn run(bytes: &[u8], dice: &mut Dice) {
    let whole = go(&[bytes]);
    let pieces = dice.pieces(bytes.len());
    let cut: Vec<&[u8]> = pieces.iter().map(|piece| &bytes[piece.clone()]).collect();
    assert_eq!(go(&cut), whole, "cut at {pieces:?}");
    assert_whole(&whole.words, b"p");
    let (heard, _) = messages(&bytes[..whole.consumed]);
    let asked: Vec<&[u8]> = heard.iter().filter(|(kind, _)| *kind == b'R').map(|(_, body)| *body).collect();
    let first = asked.first().copied().unwrap_or_default();
    let in_clear = whole.words.windows(scram::PASSWORD.len()).any(|part| part == scram::PASSWORD.as_bytes());
    assert_eq!(in_clear, first == [0, 0, 0, 3], "the password goes in clear to who asks for it so, and to nobody else");
    assert_eq!(whole.ready, is_ready(&heard, &asked), "ended with {}", whole.end);
    if let Some((key, parameters)) = &whole.told {
        let last = |kind: u8| heard.iter().rev().find(|(found, _)| *found == kind).map(|(_, body)| *body);
        let good = last(b'K').filter(|body| (8..=260).contains(&body.len()));
        assert_eq!(key.as_ref().map(|(pid, key)| [&pid.to_be_bytes()[..], key].concat()), good.map(<[u8]>::to_vec));
        assert!(parameters.len() <= heard.iter().filter(|(kind, _)| *kind == b'S').count());
    }
}

/// A second reading of a whole login: what is asked for, in order, and what is said after it.
fn is_ready(heard: &[(u8, &[u8])], asked: &[&[u8]]) -> bool {
    let ok: &[u8] = &[0; 4];
    let mechanisms = |body: &[u8]| body.starts_with(&[0, 0, 0, 10]) && body[4..].split(|byte| *byte == 0).any(|name| name == b"SCRAM-SHA-256");
    let proven = match asked {
        [last] => *last == ok,
        [first, last] => (*first == [0, 0, 0, 3] || first.len() == 8 && first.starts_with(&[0, 0, 0, 5])) && *last == ok,
        [first, challenge, proof, last] => {
            let fits = |talk: &scram::Talk| {
                *challenge == [&[0, 0, 0, 11], talk.server_first.as_bytes()].concat()
                    && scram::plain(proof) == [&[0, 0, 0, 12], talk.server_final.as_bytes()].concat()
            };
            mechanisms(first) && scram::as_client().iter().any(fits) && *last == ok
        }
        _ => false,
    };
    let done = heard.iter().position(|(kind, body)| *kind == b'R' && *body == ok).unwrap_or(heard.len());
    let first = heard.iter().position(|(kind, _)| *kind == b'R').unwrap_or(heard.len());
    // Notices, notifications and parameters may come at any time; the key behind the proof; before the first question the version that is spoken,
    // which is the one asked for; nothing else before ReadyForQuery, which ends it.
    let order = heard.iter().enumerate().all(|(at, (kind, body))| match kind {
        b'N' | b'A' | b'S' => true,
        b'v' => at < first && is_version_3_0(body),
        b'R' => at <= done,
        b'K' => at > done,
        b'Z' => at > done && at + 1 == heard.len(),
        _ => false,
    });
    proven && order && heard.last().is_some_and(|(kind, _)| *kind == b'Z')
}

/// NegotiateProtocolVersion of 3.0, with as many names of options as it says.
fn is_version_3_0(body: &[u8]) -> bool {
    let Some((&[0, 3, 0, 0, a, b, c, d], names)) = body.split_first_chunk::<8>() else { return false };
    let ends = names.iter().filter(|byte| **byte == 0).count() as u64;
    names.last().is_none_or(|byte| *byte == 0) && ends == u64::from(u32::from_be_bytes([a, b, c, d]))
}

fn go(pieces: &[&[u8]]) -> Went {
    let (spec, mut startup) = (spec(), Vec::new());
    let mut greeting = Greeting::start(&spec, 0, &mut startup);
    assert_eq!(startup, raw::startup(&[("user", "bob"), ("database", "store")]));
    let keys = SaltedKeys { password: 0, salt: scram::SALT.to_vec(), iterations: scram::ITERATIONS, keys: scram::keys().clone() };
    let mut went = Went { words: Vec::new(), consumed: 0, end: "More".to_string(), ready: false, told: None };
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            // Keys for another salt lie in the cache: ours are asked for.
            let (consumed, mut greeted) = greeting.on_bytes(&held, &spec, None, &scram::RANDOM, &mut went.words);
            assert!(consumed <= held.len(), "more consumed than given");
            held.drain(..consumed);
            went.consumed += consumed;
            if let Greeted::NeedKeys { salt, iterations } = &greeted {
                assert!((1..=MAX_ITERATIONS).contains(iterations), "{iterations} iterations");
                if *salt != scram::SALT || *iterations != scram::ITERATIONS {
                    went.end = "keys that nobody makes here".to_string();
                    return went;
                }
                greeted = greeting.keys_made(Some(&keys), &mut went.words);
            }
            match greeted {
                Greeted::More if consumed == 0 => break,
                Greeted::More => {}
                Greeted::Ready => {
                    (went.end, went.ready) = ("Ready".to_string(), true);
                    went.told = Some(greeting.into_parts());
                    return went;
                }
                Greeted::NeedKeys { .. } => panic!("keys are asked for again"),
                Greeted::Failed { code, message } => {
                    assert!(code.len() == 5 && !message.contains(scram::PASSWORD), "{code} {message}");
                    went.end = format!("{code} {message}");
                    return went;
                }
            }
        }
    }
    went
}

/// Servers that trust us, ask for the password in each way, refuse us, and lie.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let asks = |body: &[u8]| raw::frame(b'R', body);
    let welcome = [
        raw::frame(b'S', b"server_version\x0015.4\0"),
        raw::frame(b'S', b"TimeZone\0UTC\0"),
        raw::frame(b'K', b"\0\0\0\x2a\x01\x02\x03\x04"),
        raw::frame(b'Z', b"I"),
    ]
    .concat();
    let ok = [asks(&[0; 4]), welcome.clone()].concat();
    let sasl = asks(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let challenge = |text: &str| asks(&[b"\0\0\0\x0b", text.as_bytes()].concat());
    let last = |text: &str| asks(&[b"\0\0\0\x0c", text.as_bytes()].concat());
    let talk = |at: usize| &scram::as_client()[at];
    let scram = |at: usize| [sasl.clone(), challenge(&talk(at).server_first), last(&talk(at).server_final), ok.clone()].concat();
    let hostile = |iterations: &str| {
        let first = talk(0).server_first.replace(&format!("i={}", scram::ITERATIONS), &format!("i={iterations}"));
        [sasl.clone(), challenge(&first), ok.clone()].concat()
    };
    let notice = raw::frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
    vec![
        ("trust", [notice.clone(), ok.clone()].concat()),
        ("password", [asks(b"\0\0\0\x03"), ok.clone()].concat()),
        ("md5", [asks(b"\0\0\0\x05salt"), ok.clone()].concat()),
        ("scram-0", scram(0)),
        ("scram-1", scram(1)),
        ("scram-2", [raw::frame(b'v', b"\0\x03\0\0\0\0\0\0"), notice, scram(2)].concat()),
        ("refused", raw::frame(b'E', b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"bob\"\0\0")),
        ("too-many-connections", raw::frame(b'E', b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0")),
        ("hostile-ok-after-challenge", [sasl.clone(), challenge(&talk(0).server_first), ok.clone()].concat()),
        ("hostile-ok-after-sasl", [sasl.clone(), ok.clone()].concat()),
        ("hostile-wrong-signature", [sasl.clone(), challenge(&talk(0).server_first), last(&talk(1).server_final), ok.clone()].concat()),
        ("hostile-downgrade", [sasl.clone(), asks(b"\0\0\0\x03"), ok.clone()].concat()),
        ("hostile-iterations", hostile("2147483647")),
        ("hostile-million", hostile("1000001")),
        ("hostile-other-salt", hostile("17")),
        ("hostile-gssapi", [asks(b"\0\0\0\x07"), ok].concat()),
        ("hostile-http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ]
}
