//! SCRAM keys and verifiers, against verifiers that PostgreSQL 15 made (`password_encryption = 'scram-sha-256'`) of plain and awkward passwords.

use super::*;
use crate::wire::mutate::survives;

/// Passwords and what PostgreSQL stored for them.
const KNOWN: [(&str, &str); 12] = [
    (
        "pencil",
        "SCRAM-SHA-256$4096:iqQzsXoFzkPOu5IFL5N2rA==$Mf3tg7ByME9pB5TFF7FQmHLAB46JkCs2nBZ9av7Sohw=:3BMO4I15QgsSVZnDtMnSqQhDCY1gni6CCVy2YxnkLeY=",
    ),
    (
        "p\u{e4}ssw\u{f6}rd",
        "SCRAM-SHA-256$4096:FQul8TJecNWrqgBfngDitg==$Xg8vJlI0okyaAJ5otN2BI9plTGoa+jGQESP2kCsNKgE=:F1ONqUhWwM5RH+UBWEHPxi6yyWps4ghoLxzJ9jAno64=",
    ),
    (
        "I\u{ad}X",
        "SCRAM-SHA-256$4096:X6WYKtXtuBQ2elNS9DJ65w==$jnhQXMCHXDOpWVjHpxZ90Pwiy8Hj/9bAQqMUNC0feaQ=:54fgabtcSCepTVluF3Ud0dSuhV1KxpwnC3qAq0F4U2A=",
    ),
    (
        "\u{2168} \u{a0}x",
        "SCRAM-SHA-256$4096:tahv6UfvDKCDquZkcrHN8g==$a+mQHoJ0hC0wMd2l+ptAlvhlUoT2zRqjR4LHGtFD0wg=:PWmRObtWNjuLTK3pCCSDJbWmpuqfweCGbGD2CPO2sR4=",
    ),
    (
        "\u{1f100}x",
        "SCRAM-SHA-256$4096:RyuRoWFwJ+SjYcMgapnTPQ==$BPRa0lWisZDY5RWjKxTa54ElRs6MpeVITFlgrvlwkAA=:HY18kwMyS2tPuFHBWnx7bFnjHiig5h7fnaE3DYPxIz8=",
    ),
    (
        "x\u{627}1",
        "SCRAM-SHA-256$4096:uFB9yBGlQHj8h4tuAcwFhQ==$LKGno5kXKRMEndADKY92uqOfE/4XOUJZtCE7XTj5mIk=:8oSp4xDOqXijS+w1h9PHDXNYrAQwFTkyOX1447PyY7I=",
    ),
    (
        "\u{ad}\u{200c}",
        "SCRAM-SHA-256$4096:CFob5fbh5SO8sFprzewEIw==$IG/bJ8Lz0qwjynsDVgcDZXZ7l8ki1i0zimuAAn0jmwY=:lUfaYi1TvqPEKx32uZnAgosWl7W5WxZ/ZOX0M64mG6w=",
    ),
    (
        "a\u{7}\u{e9}",
        "SCRAM-SHA-256$4096:e26sZKUy7WMAoqRgIfeyEg==$ekwGWCuCba3y/cftdzT3Py4MPeVr5LVuSy1U3tAl1VA=:RFkkYmfEpa2AafhsUvZPPfwFIfUv3t0Srup6EVPOR6w=",
    ),
    (
        "\u{341}\u{e9}",
        "SCRAM-SHA-256$4096:JNUw/g+fZUshiJQ1YLGrAg==$cUyopHI+RJ+R0hlpR5/gQYd8bdXtk7Pu1a84ITFxygo=:FPJ5vjTPSE8QcG/I21fuOYIdIZU8XiQ4TfcwBlnX9K8=",
    ),
    (
        "tab\there",
        "SCRAM-SHA-256$4096:LcJPtox8wGy7lbhjr862Cw==$ctL3jBFP3NZAITqEUcs+euagLPJfwjo5frkK3lFhOag=:ok3a/xYQ5d8DC57qocun4+i2CiWovSgdOGV6pdWhsK4=",
    ),
    (
        "\u{627}x\u{628}",
        "SCRAM-SHA-256$4096:/iVDO3De7aR7nBx4tL7pDw==$HHQmblAIoldfMjX33FfsqcftzooCaLHYCcUdMfeqhTw=:Hzil9pGozRiuAozjgfKUDhe0UBNAIddyhfaQpf1iPO8=",
    ),
    (
        "\u{200b}\u{aa}",
        "SCRAM-SHA-256$4096:ZcUg/gqzJ3Y6ia5GOrGM0Q==$tM1kuBICuisZapYCRSkqSWCXEiaDgoAutC+YzmbDhEQ=:gFpjXbSLFFvYEcxykxz5TR3gZq6NbEc1WbEe/m2UjuE=",
    ),
];

#[test]
fn verifiers_of_postgresql_are_made_and_read() {
    for (password, stored) in KNOWN {
        let verifier = Verifier::parse(stored).unwrap();
        assert_eq!((verifier.iterations, verifier.salt.len(), &*verifier.to_string()), (4096, SALT, stored));
        assert_eq!(Verifier::from_password(password, &verifier.salt, verifier.iterations), verifier, "{password:?}");
    }
}

#[test]
fn passwords_sent_in_clear_are_checked() {
    let mut verifier: Verifier = KNOWN[2].1.parse().unwrap();
    assert!(verifier.accepts_password("I\u{ad}X") && verifier.accepts_password("IX") && !verifier.accepts_password("ix"));
    verifier.add_password(b"\xff\x00 not text");
    assert!(verifier.accepts_password(b"\xff\x00 not text") && verifier.accepts_password("IX") && !verifier.accepts_password(""));
}

#[test]
fn what_is_no_verifier_is_refused() {
    let good = KNOWN[0].1;
    assert!(Verifier::is_stored(good));
    let (head, keys) = good.rsplit_once('$').unwrap();
    let (stored, server) = keys.split_once(':').unwrap();
    let bad = [
        String::new(),
        "pencil".into(),
        "SCRAM-SHA-256".into(),
        "SCRAM-SHA-256$".into(),
        good.replace("SHA-256", "SHA-1"),
        good.replace("4096", ""),
        good.replace("4096", "+4096"),
        good.replace("4096", "4096 "),
        format!("SCRAM-SHA-256$4096:${keys}"),
        format!("SCRAM-SHA-256$4096:!!${keys}"),
        head.to_owned(),
        format!("{head}${stored}"),
        format!("{head}${stored}:"),
        format!("{head}${stored}:{}", &server[4..]),
        format!("{head}$AAAA{stored}:{server}"),
        format!("{good} "),
    ];
    for text in &bad {
        assert_eq!(Verifier::parse(text), Err(VerifierError::Form), "{text}");
    }
    for iterations in ["0", "1000001", "99999999999999999999"] {
        assert_eq!(Verifier::parse(&good.replace("4096", iterations)), Err(VerifierError::Iterations));
    }
    assert_eq!(Verifier::parse(&good.replace("4096", "1000000")).unwrap().iterations, MAX_ITERATIONS);
}

#[test]
fn nobody_meets_the_challenge_of_a_user_who_does_not_exist() {
    let mock = Verifier::mock(&[1; KEY], b"ghost");
    assert_eq!((mock.iterations, mock.salt.len()), (DEFAULT_ITERATIONS, SALT));
    assert_eq!(mock, Verifier::mock(&[1; KEY], b"ghost"));
    assert_eq!(mock.salt, salt_of(&[1; KEY], b"ghost"));
    assert_ne!(mock.salt, Verifier::mock(&[1; KEY], b"Ghost").salt);
    assert_ne!(mock.salt, Verifier::mock(&[2; KEY], b"ghost").salt);
    let known = Verifier { doomed: true, ..Verifier::from_password("p", b"salt", 2) };
    assert!(!known.accepts_password("p") && Verifier { doomed: false, ..known }.accepts_password("p"));
}

#[test]
fn nothing_secret_is_shown() {
    let verifier = Verifier::new(1, *b"s", Keys { stored: [0xab; KEY], server: [0xab; KEY] });
    let shown = format!("{verifier:?} {:?}", ClientKeys { client: [0xab; KEY], server: [0xab; KEY] });
    assert!(!shown.contains("171") && !shown.contains("ab") && shown.contains("Keys(..)"), "{shown}");
}

#[test]
fn numbers_are_digits_and_do_not_wrap() {
    assert_eq!((number(b"4096"), number(b"007"), number(b"4294967296"), number(&[b'9'; 500])), (Some(4096), Some(7), Some(u32::MAX), Some(u32::MAX)));
    for text in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"0x1"] {
        assert_eq!(number(text), None);
    }
}

#[test]
fn nonces_have_the_length_of_postgresqls() {
    assert_eq!((nonce([0xff; 18]), nonce([0; 18]).len()), ("/".repeat(24), 24));
}

#[test]
fn damaged_verifiers_are_survived() {
    survives(&[KNOWN[0].1.as_bytes()], 20_000, |bytes| {
        if let Ok(verifier) = Verifier::parse(&String::from_utf8_lossy(bytes)) {
            assert!((1..=MAX_ITERATIONS).contains(&verifier.iterations) && !verifier.salt.is_empty());
            assert_eq!(Verifier::parse(&verifier.to_string()), Ok(verifier));
        }
    });
}

#[test]
fn all_secrets_of_a_user_stand_under_one_salt() {
    let (first, stored) = KNOWN[0];
    let secrets = |passwords: &[&str], hash: Option<&str>| ClientSecrets {
        passwords: passwords.iter().map(|password| password.to_string()).collect(),
        hash: hash.map(|text| crate::config::hash::parsed(text).expect("a hash")),
    };
    assert!(Verifier::of_secrets(&secrets(&[], None), b"salt").is_none());
    let md5 = "md50123456789abcdef0123456789abcdef";
    assert!(Verifier::of_secrets(&secrets(&[], Some(md5)), b"salt").is_none());
    let ours = Verifier::of_secrets(&secrets(&["one", "two"], Some(md5)), b"salt").expect("passwords");
    assert_eq!((ours.salt.as_slice(), ours.iterations, ours.others.len()), (b"salt".as_slice(), DEFAULT_ITERATIONS, 1));
    assert!(ours.accepts_password("one") && ours.accepts_password("two") && !ours.accepts_password(first));
    let theirs = Verifier::of_secrets(&secrets(&["one", "two"], Some(stored)), b"salt").expect("a hash");
    assert_eq!((theirs.salt.clone(), theirs.others.len()), (Verifier::parse(stored).expect("known").salt, 2));
    assert!(["one", "two", first].iter().all(|password| theirs.accepts_password(password)) && !theirs.accepts_password("three"));
}

#[test]
fn what_the_files_take_for_a_verifier_is_one() {
    for (_, text) in KNOWN {
        assert!(crate::config::hash::parsed(text).is_some());
        survives(&[text.as_bytes()], 3_000, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let ours = matches!(crate::config::hash::parsed(&text), Some(Hash::Scram(_)));
            assert!(!ours || Verifier::parse(&text).is_ok(), "{text}");
        });
    }
    assert_eq!(crate::config::hash::MAX_ITERATIONS, MAX_ITERATIONS);
}
