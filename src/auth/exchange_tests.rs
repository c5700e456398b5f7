//! The SCRAM conversation: the example of RFC 7677 from both sides, both sides against each other, and everything that must not pass.

use super::*;
use crate::auth::scram::{nonce, salted_password};
use crate::wire::mutate::{Random, survives};

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const WITHOUT_PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn rfc_verifier() -> Verifier {
    Verifier::from_password("pencil", &BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
}

/// A cheap verifier, for tests that are not about the password.
fn verifier() -> Verifier {
    Verifier::from_password("pencil", b"salt", 2)
}

fn rfc_server() -> ServerExchange {
    ServerExchange::start(&rfc_verifier(), CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap().0
}

fn client_challenge() -> Challenge {
    ClientExchange::start_as("user", CLIENT_NONCE).unwrap().0.challenge(SERVER_FIRST.as_bytes()).unwrap()
}

fn client_keys() -> ClientKeys {
    let challenge = client_challenge();
    ClientKeys::from_salted(&salted_password("pencil", &challenge.salt, challenge.iterations))
}

#[test]
fn the_example_of_rfc_7677_as_a_server() {
    let (exchange, server_first) = ServerExchange::start(&rfc_verifier(), CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
    assert_eq!(server_first, SERVER_FIRST);
    let proven = exchange.finish(format!("{WITHOUT_PROOF},p={PROOF}").as_bytes()).unwrap();
    assert_eq!(proven.server_final, SERVER_FINAL);
    assert!(proven.keys == client_keys());
}

#[test]
fn the_example_of_rfc_7677_as_a_client() {
    let (exchange, client_first) = ClientExchange::start_as("user", CLIENT_NONCE).unwrap();
    assert_eq!(client_first, CLIENT_FIRST);
    let challenge = exchange.challenge(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!((challenge.iterations, challenge.salt.len()), (4096, 16));
    let (answered, client_final) = challenge.answer(&client_keys());
    assert_eq!(client_final, format!("{WITHOUT_PROOF},p={PROOF}"));
    assert_eq!(answered.verify(SERVER_FINAL.as_bytes()), Ok(()));
}

/// A whole login between our two roles.
fn login(verifier: &Verifier, password: &str, random: [u8; 18]) -> Result<Result<(), ServerFault>, ClientFault> {
    let (client, client_first) = ClientExchange::start(&nonce(random)).unwrap();
    let (server, server_first) = ServerExchange::start(verifier, client_first.as_bytes(), &nonce(random.map(|byte| !byte)))?;
    let challenge = client.challenge(server_first.as_bytes()).unwrap();
    let keys = ClientKeys::from_salted(&salted_password(password, &challenge.salt, challenge.iterations));
    let (answered, client_final) = challenge.answer(&keys);
    let proven = server.finish(client_final.as_bytes())?;
    assert!(proven.keys == keys);
    Ok(answered.verify(proven.server_final.as_bytes()))
}

#[test]
fn both_roles_agree_and_only_on_the_right_password() {
    let mut verifier = verifier();
    for seed in 0..50 {
        let mut random = Random::new(seed);
        assert_eq!(login(&verifier, "pencil", std::array::from_fn(|_| random.next() as u8)), Ok(Ok(())));
    }
    assert_eq!(login(&verifier, "pencils", [0; 18]), Err(ClientFault::Proof));
    verifier.add_password("second");
    verifier.add_password("third");
    for password in ["pencil", "second", "third"] {
        assert_eq!(login(&verifier, password, [9; 18]), Ok(Ok(())), "{password}");
    }
    assert_eq!(login(&verifier, "fourth", [9; 18]), Err(ClientFault::Proof));
}

#[test]
fn a_user_who_does_not_exist_fails_like_a_wrong_password() {
    assert_eq!(login(&Verifier::mock(&[3; KEY], b"ghost"), "pencil", [0; 18]), Err(ClientFault::Proof));
    // Even somebody who met the challenge would not get in.
    let doomed = Verifier { doomed: true, ..verifier() };
    assert_eq!(login(&doomed, "pencil", [0; 18]), Err(ClientFault::Proof));
}

fn start(client_first: &str) -> Result<String, ClientFault> {
    ServerExchange::start(&verifier(), client_first.as_bytes(), "s").map(|(_, server_first)| server_first)
}

#[test]
fn client_first_messages_are_taken_and_refused_as_postgresql_does() {
    for fine in ["n,,n=,r=abc", "y,,n=,r=abc", "n,,n=u=,r=abc,x=ignored,y=", "n,,n=\u{fc},r=abc"] {
        assert_eq!(start(fine), Ok("r=abcs,s=c2FsdA==,i=2".to_owned()), "{fine}");
    }
    assert_eq!(start("n,a=bob,n=,r=abc"), Err(ClientFault::AuthorizationIdentity));
    assert_eq!(start("n,,m=ext,n=,r=abc"), Err(ClientFault::Extension));
    assert_eq!(start("n,,n=,r=a c"), Err(ClientFault::UnprintableNonce));
    assert_eq!(start("n,,n=,r=\u{fc}"), Err(ClientFault::UnprintableNonce));
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=",
        "n,,n=,",
        "n,,n=,r",
        "n,,r=abc",
        "n,,n=,r=abc,x",
        "n,,n=,r=abc,==",
        "n,x,n=,r=abc",
        "p=tls-server-end-point,,n=,r=a",
        "z,,n=,r=abc",
        "n,,n=,r=a\0",
    ] {
        assert!(matches!(start(bad), Err(ClientFault::Malformed(_))), "{bad}: {:?}", start(bad));
    }
    let long = format!("n,,n=,r={}", "x".repeat(MAX_CLIENT_MESSAGE));
    assert!(start(&long).is_err() && start(&long[..MAX_CLIENT_MESSAGE]).is_ok());
    assert_eq!(ServerExchange::start(&verifier(), b"n,,n=,r=abc", "").unwrap_err(), ClientFault::OurNonce);
    assert_eq!(ServerExchange::start(&verifier(), b"n,,n=,r=abc", "a,b").unwrap_err(), ClientFault::OurNonce);
}

fn finish(client_final: &str) -> Result<Proven, ClientFault> {
    rfc_server().finish(client_final.as_bytes())
}

#[test]
fn client_final_messages_must_repeat_what_was_agreed() {
    let good = format!("{WITHOUT_PROOF},p={PROOF}");
    assert_eq!(finish(&good.replace("biws", "eSws")), Err(ClientFault::Binding));
    assert_eq!(finish(&good.replace("biws", "")), Err(ClientFault::Binding));
    assert_eq!(finish(&good.replace("r=rO", "r=rX")), Err(ClientFault::Nonce));
    assert_eq!(finish(&good.replace("$k0,", "$k,")), Err(ClientFault::Nonce));
    assert_eq!(finish(&good.replace("p=dH", "p=dX")), Err(ClientFault::Proof));
    // An extension is allowed, but it is signed.
    assert_eq!(finish(&good.replace(",p=", ",x=y,p=")), Err(ClientFault::Proof));
    for bad in [
        "",
        "c=biws",
        WITHOUT_PROOF,
        &format!("{WITHOUT_PROOF},p="),
        &format!("{WITHOUT_PROOF},p=AAAA"),
        &format!("{good},x=y"),
        &good[2..],
        "r=a,c=biws",
    ] {
        assert!(matches!(finish(bad), Err(ClientFault::Malformed(_))), "{bad}");
    }
    let thinks_otherwise = ServerExchange::start(&verifier(), b"y,,n=,r=abc", "s").unwrap().0;
    assert_eq!(thinks_otherwise.finish(b"c=biws,r=abcs,p=AAAA"), Err(ClientFault::Binding));
    assert_eq!((ClientFault::Proof.code(), ClientFault::Nonce.code(), ClientFault::Extension.code()), ("28P01", "08P01", "0A000"));
}

fn challenge(server_first: &str) -> Result<Challenge, ServerFault> {
    ClientExchange::start("abc").unwrap().0.challenge(server_first.as_bytes())
}

#[test]
fn challenges_of_hostile_servers_are_refused() {
    assert_eq!(challenge("r=abcd,s=AAAA,i=1").unwrap().salt, [0; 3]);
    assert_eq!(challenge("r=abcd,s=AAAA,i=1000000").unwrap().iterations, MAX_ITERATIONS);
    assert_eq!(challenge("r=abcd,s=AAAA,i=1000001").unwrap_err(), ServerFault::Iterations(1_000_001));
    assert_eq!(challenge("r=abcd,s=AAAA,i=2147483647").unwrap_err(), ServerFault::Iterations(i32::MAX as u32));
    assert_eq!(challenge("r=abcd,s=AAAA,i=99999999999").unwrap_err(), ServerFault::Iterations(u32::MAX));
    for other in ["r=abc,s=AAAA,i=1", "r=abd,s=AAAA,i=1", "r=,s=AAAA,i=1", "r=abc d,s=AAAA,i=1"] {
        assert_eq!(challenge(other).unwrap_err(), ServerFault::Nonce, "{other}");
    }
    for bad in [
        "",
        "r=abcd",
        "r=abcd,s=AAAA",
        "r=abcd,s=A,i=1",
        "r=abcd,s=AAAA,i=0",
        "r=abcd,s=AAAA,i=-1",
        "r=abcd,s=AAAA,i=1,x=y",
        "s=AAAA,r=abcd,i=1",
        "m=x,r=abcd,s=AAAA,i=1",
    ] {
        assert!(matches!(challenge(bad), Err(ServerFault::Malformed(_))), "{bad}");
    }
    let long = format!("r=abc{},s=AAAA,i=1", "d".repeat(MAX_SERVER_MESSAGE));
    assert!(matches!(challenge(&long), Err(ServerFault::Malformed(_))));
    assert!(matches!(ClientExchange::start(""), Err(ServerFault::OurNonce)) && ClientExchange::start("a,b").is_err());
}

#[test]
fn a_server_that_does_not_know_the_password_is_not_believed() {
    let verify = |server_final: &str| client_challenge().answer(&client_keys()).0.verify(server_final.as_bytes());
    assert_eq!(verify(SERVER_FINAL), Ok(()));
    assert_eq!(verify(&SERVER_FINAL.replace("6rr", "7rr")), Err(ServerFault::Signature));
    assert_eq!(verify("e=invalid-proof"), Err(ServerFault::Refused("invalid-proof".to_owned())));
    for bad in ["", "v", "v=", "v=AAAA", "x=y", &format!("{SERVER_FINAL},x=y")] {
        assert!(matches!(verify(bad), Err(ServerFault::Malformed(_))), "{bad}");
    }
}

#[test]
fn damaged_messages_are_survived_and_prove_nothing() {
    let good = format!("{WITHOUT_PROOF},p={PROOF}");
    let (keys, verifier) = (client_keys(), rfc_verifier());
    survives(&[CLIENT_FIRST.as_bytes(), SERVER_FIRST.as_bytes(), good.as_bytes(), SERVER_FINAL.as_bytes()], 4_000, |bytes| {
        let _ = ServerExchange::start(&verifier, bytes, SERVER_NONCE);
        let server = ServerExchange::start(&verifier, CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap().0;
        // A comma at the very end is not signed, and PostgreSQL takes it too.
        let unsigned = bytes.strip_suffix(b",").unwrap_or(bytes);
        assert!(server.finish(bytes).is_err() || unsigned == good.as_bytes());
        if let Ok(challenge) = ClientExchange::start_as("user", CLIENT_NONCE).unwrap().0.challenge(bytes) {
            assert!((1..=MAX_ITERATIONS).contains(&challenge.iterations));
        }
        assert!(client_challenge().answer(&keys).0.verify(bytes).is_err() || bytes.strip_suffix(b",").unwrap_or(bytes) == SERVER_FINAL.as_bytes());
    });
}
