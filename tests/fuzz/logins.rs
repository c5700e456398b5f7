//! Clients that log in, from their first byte: nobody is let in but who says the password's proof byte for byte, whatever else was changed, and it
//! does not matter how the bytes were cut. Every input meets all four ways of asking for a proof.

use std::sync::Arc;

use md5::{Digest, Md5};
use pg_dog::config::snapshot::{AuthType, ClientSecrets};
use pg_dog::session::login::{Identity, Login, Step};
use pg_dog::wire::startup::options;

use crate::Target;
use crate::bytes::{Reader, assert_whole, messages, word};
use crate::dice::Dice;
use crate::raw;
use crate::scram;

pub const TARGET: Target = Target { name: "logins", rounds: 30_000, messages: true, run };

const HOW: [AuthType; 4] = [AuthType::Trust, AuthType::Plain, AuthType::Md5, AuthType::Scram];

/// User, database and further parameters.
type Who = (String, String, Vec<(String, String)>);

/// How a login went.
#[derive(Debug, PartialEq, Eq)]
struct Went {
    words: Vec<u8>,
    consumed: usize,
    end: String,
    /// one who was let in
    who: Option<Who>,
}

fn run(bytes: &[u8], dice: &mut Dice) {
    for how in HOW {
        let whole = go(&pieces(bytes, std::iter::once(bytes.len())), how, true);
        let cuts: Vec<usize> = dice.pieces(bytes.len()).iter().map(|piece| piece.end).collect();
        assert_eq!(go(&pieces(bytes, cuts.iter().copied()), how, true), whole, "{how:?}, cut at {cuts:?}");
        let proven = whole.who.is_some();
        assert_eq!(proven, proves(bytes, how), "{how:?} ended with {}", whole.end);
        if let Some((user, database, _)) = &whole.who {
            assert_eq!((user.as_str(), database.as_str()), ("ann", "shop"));
        }
        // Where there is no such user, the same bytes end in the same way.
        let unknown = go(&pieces(bytes, std::iter::once(bytes.len())), how, false);
        assert!(unknown.who.is_none(), "{how:?}: nobody was let in");
        assert!(proven || unknown.end == whole.end, "{how:?}: {} when there is no such user, else {}", unknown.end, whole.end);
    }
}

/// Cut at these places, and behind requests for encryption: a client waits for the answer to those.
fn pieces(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<&[u8]> {
    let mut cuts: Vec<usize> = cuts.collect();
    let mut at = 0;
    while let Some((_, length)) = request(&bytes[at..]) {
        at += length;
        cuts.push(at);
    }
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut from = 0;
    cuts.into_iter().map(|cut| &bytes[std::mem::replace(&mut from, cut)..cut]).filter(|piece| !piece.is_empty()).collect()
}

/// A request for encryption at the start, by its code and length. (PostgreSQL does not mind bytes behind the code.)
fn request(bytes: &[u8]) -> Option<(u32, usize)> {
    let (length, code) = (word(bytes)?, word(&bytes[4..])?);
    let good = (8..=10_004).contains(&length) && bytes.len() >= length as usize && matches!(code, 80_877_103 | 80_877_104);
    good.then_some((code, length as usize))
}

fn go(pieces: &[&[u8]], how: AuthType, known: bool) -> Went {
    let (mut login, mut held) = (Login::default(), Vec::new());
    let mut went = Went { words: Vec::new(), consumed: 0, end: "More".to_string(), who: None };
    let secret = [9; 32];
    for piece in pieces {
        held.extend_from_slice(piece);
        while !login.is_waiting() {
            let (consumed, mut step) = login.on_bytes(&held, &scram::RANDOM, &secret, &mut went.words);
            assert!(consumed <= held.len(), "more consumed than given");
            held.drain(..consumed);
            went.consumed += consumed;
            if matches!(step, Step::Who) {
                let ours = known && login.user == "ann" && login.database == "shop";
                step = login.identified(how, identity(how, ours, held.len() % 2 == 0), &scram::RANDOM, &mut went.words);
            }
            if matches!(step, Step::NeedVerifier) {
                step = login.verifier_made(Some(scram::verifier()), &scram::RANDOM, &mut went.words);
            }
            match step {
                Step::More if consumed == 0 => break,
                Step::More => continue,
                Step::Done => {
                    went.end = "Done".to_string();
                    went.who = Some((login.user.clone(), login.database.clone(), login.parameters.clone()));
                }
                other => went.end = format!("{other:?}"),
            }
            return said(went);
        }
    }
    said(went)
}

fn identity(how: AuthType, known: bool, from_verifier: bool) -> Identity {
    match how {
        _ if !known => Identity::default(),
        // Otherwise it is made when it is asked for.
        AuthType::Scram if from_verifier => Identity { known, secrets: Arc::default(), verifier: Some(Arc::new(scram::verifier().clone())) },
        _ => Identity { known, secrets: Arc::new(ClientSecrets::password(scram::PASSWORD)), verifier: None },
    }
}

/// What we said is `N`s and whole messages.
fn said(went: Went) -> Went {
    let start = went.words.iter().take_while(|&&byte| byte == b'N').count();
    assert!(start <= 2);
    assert_whole(&went.words[start..], b"Rv");
    let ok = messages(&went.words[start..]).0.iter().filter(|(kind, body)| *kind == b'R' && *body == [0; 4]).count();
    assert_eq!(ok, usize::from(went.who.is_some()), "AuthenticationOk");
    went
}

/// Whether these bytes prove that their sender is ann: a second reading.
fn proves(mut bytes: &[u8], how: AuthType) -> bool {
    let mut asked = Vec::new();
    while let Some((code, length)) = request(bytes).filter(|(code, _)| !asked.contains(code)) {
        asked.push(code);
        bytes = &bytes[length..];
    }
    let Some(startup) = word(bytes).and_then(|length| bytes.get(..length as usize)) else { return false };
    if !is_anns(startup) {
        return false;
    }
    let (said, _) = messages(&bytes[startup.len()..]);
    let proof = |at: usize| said.get(at).filter(|(kind, _)| *kind == b'p').map(|(_, body)| *body).unwrap_or_default();
    match how {
        AuthType::Trust => true,
        AuthType::Plain => proof(0) == [scram::PASSWORD.as_bytes(), b"\0"].concat(),
        AuthType::Md5 => proof(0) == [md5_proof().as_bytes(), b"\0"].concat(),
        AuthType::Scram => scram::as_server().iter().any(|talk| proof(0) == initial(talk) && scram::plain(proof(1)) == talk.client_final.as_bytes()),
    }
}

/// A startup packet of protocol 3 that asks for ann's shop and for nothing that is refused.
fn is_anns(packet: &[u8]) -> bool {
    let version = packet.get(4..6);
    if !(8..=10_004).contains(&packet.len()) || version != Some(&[0, 3]) {
        return false;
    }
    let (mut reader, mut user, mut database, mut wishes) = (Reader(&packet[8..]), &b""[..], &b""[..], 0);
    loop {
        let Some(name) = reader.text() else { return false };
        if name.is_empty() {
            break;
        }
        let Some(value) = reader.text() else { return false };
        match name {
            b"user" => user = value,
            b"database" => database = value,
            b"replication" if !replicates_or_not(value) => return false,
            b"replication" => {}
            b"options" => match options(&String::from_utf8_lossy(value)) {
                Ok(more) => wishes += more.len(),
                Err(_) => return false,
            },
            _ => wishes += 1,
        }
    }
    reader.0.is_empty() && user == b"ann" && database == b"shop" && wishes <= 256
}

/// A value that PostgreSQL takes for `replication`, whatever it means.
fn replicates_or_not(value: &[u8]) -> bool {
    const WORDS: &str = "0 1 t tr tru true f fa fal fals false y ye yes n no on of off";
    let word = String::from_utf8_lossy(value).to_ascii_lowercase();
    value == b"database" || WORDS.split(' ').any(|known| known == word)
}

/// `md5` and the digest of the digest of password and user, and the salt, in hexadecimal digits.
fn md5_proof() -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let inner = hex(&Md5::digest([scram::PASSWORD.as_bytes(), b"ann"].concat()));
    format!("md5{}", hex(&Md5::digest([inner.as_bytes(), &scram::RANDOM[..4]].concat())))
}

/// The body of SASLInitialResponse.
fn initial(talk: &scram::Talk) -> Vec<u8> {
    let data = talk.client_first.as_bytes();
    [b"SCRAM-SHA-256\0", (data.len() as u32).to_be_bytes().as_slice(), data].concat()
}

/// Whole logins, with and without requests for encryption, and bytes that are none.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let startup = raw::startup(&[("user", "ann"), ("database", "shop"), ("application_name", "psql"), ("options", "-c geqo=off")]);
    let proof = |body: &[u8]| raw::frame(b'p', body);
    let scram = |at: usize| {
        let talk = &scram::as_server()[at];
        [startup.clone(), proof(&initial(talk)), proof(talk.client_final.as_bytes())].concat()
    };
    let wrong = {
        let talk = &scram::as_server()[0];
        [startup.clone(), proof(&initial(talk)), proof(talk.client_final.replace("p=", "p=A").as_bytes())].concat()
    };
    let other = raw::startup(&[("user", "eve"), ("database", "shop")]);
    vec![
        ("plain", [startup.clone(), proof(b"secret\0")].concat()),
        ("plain-wrong", [startup.clone(), proof(b"Secret\0")].concat()),
        ("plain-unknown-user", [other, proof(b"secret\0")].concat()),
        ("md5", [startup.clone(), proof(&[md5_proof().as_bytes(), b"\0"].concat())].concat()),
        ("scram-0", scram(0)),
        ("scram-1", scram(1)),
        ("scram-2", scram(2)),
        ("scram-wrong", wrong),
        ("scram-after-requests", [raw::gss_request(), raw::ssl_request(), scram(3)].concat()),
        (
            "scram-of-protocol-3.2",
            [raw::startup_version(0x0003_0002, &[("user", "ann"), ("database", "shop"), ("_pq_.x", "1")]), scram(4)[startup.len()..].to_vec()]
                .concat(),
        ),
        ("hostile-query-for-password", [startup.clone(), raw::query("SELECT 1")].concat()),
        ("replication", [raw::startup(&[("user", "ann"), ("database", "shop"), ("replication", "database")]), proof(b"secret\0")].concat()),
        ("hostile-replication", raw::startup(&[("user", "ann"), ("database", "shop"), ("replication", "perhaps")])),
        ("hostile-many-parameters", raw::startup(&vec![("a", "b"); 300])),
        ("cancel", raw::cancel_request(&(1, vec![1, 2, 3, 4]))),
    ]
}
