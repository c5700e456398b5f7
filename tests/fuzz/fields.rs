//! Bodies of messages: whatever a parser makes of one, written again it parses to the same; and the fields of an error are those that a second
//! reading finds.

use pg_dog::wire::client as to_server;
use pg_dog::wire::frame::Header;
use pg_dog::wire::server::{
    Authentication, ErrorFields, MAX_ERROR_FIELD, authentication_cleartext_password, authentication_md5_password, authentication_ok,
    authentication_sasl, authentication_sasl_continue, authentication_sasl_final, backend_key_data, command_complete, error, error_fields, notice,
    parameter_status, parse_authentication, parse_backend_key_data, parse_command_complete, parse_parameter_status, parse_ready, ready,
};

use crate::Target;
use crate::bytes::{Reader, messages};
use crate::dice::Dice;
use crate::raw;

pub const TARGET: Target = Target { name: "fields", rounds: 100_000, messages: true, run };

fn run(bytes: &[u8], _: &mut Dice) {
    // The bytes as one body, and as messages with bodies.
    every(bytes);
    messages(bytes).0.iter().for_each(|(_, body)| every(body));
}

fn every(body: &[u8]) {
    errors(body);
    reports(body);
    authentications(body);
    answers(body);
    names(body);
}

/// The body of the one message that `write` writes.
fn body_of(kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut words = Vec::new();
    write(&mut words);
    let (all, rest) = messages(&words);
    assert!(all.len() == 1 && all[0].0 == kind && rest.is_empty(), "not one message: {}", words.escape_ascii());
    all[0].1.to_vec()
}

/// The last field of a letter, as a second reading finds it; Err: a field does not end.
fn field(body: &[u8], letter: u8) -> Result<Option<&[u8]>, ()> {
    let (mut reader, mut found) = (Reader(body), None);
    while let Some(next) = reader.byte().filter(|&byte| byte != 0) {
        let text = reader.text().ok_or(())?;
        if next == letter {
            found = Some(text);
        }
    }
    Ok(found)
}

fn errors(body: &[u8]) {
    let parsed = error_fields(body);
    assert_eq!(parsed.is_err(), field(body, 0).is_err());
    let Ok(parsed) = parsed else { return };
    let read = |letter: u8| field(body, letter).ok().flatten();
    let severity = read(b'V').filter(|text| !text.is_empty()).or(read(b'S')).unwrap_or_default();
    assert_eq!(parsed.severity, severity);
    assert_eq!((parsed.code, parsed.message), (read(b'C').unwrap_or_default(), read(b'M').unwrap_or_default()));
    assert_eq!((parsed.detail, parsed.hint), (read(b'D'), read(b'H')));
    let state = parsed.sqlstate();
    assert!(state.len() == 5 && state.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{state}");
    assert_eq!(parsed.is_fatal(), severity == b"FATAL" || severity == b"PANIC");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (severity, code, message) = (text(parsed.severity), text(parsed.code), text(parsed.message));
    let (detail, hint) = (parsed.detail.map(text), parsed.hint.map(text));
    let fields = ErrorFields { severity: &severity, code: &code, message: &message, detail: detail.as_deref(), hint: hint.as_deref() };
    for (kind, write) in [(b'E', error as fn(&mut Vec<u8>, &ErrorFields<'_>)), (b'N', notice)] {
        let again = body_of(kind, |out| write(out, &fields));
        let Ok(again) = error_fields(&again) else { panic!("we wrote an error that we cannot read") };
        let same = |again: &[u8], text: &str| again == text.as_bytes() || text.len() > MAX_ERROR_FIELD && text.as_bytes().starts_with(again);
        assert!(same(again.severity, &severity) && same(again.code, &code) && same(again.message, &message), "{again:?}");
        assert!(again.detail.is_some() == detail.is_some() && same(again.detail.unwrap_or_default(), &detail.clone().unwrap_or_default()));
        assert!(again.hint.is_some() == hint.is_some() && same(again.hint.unwrap_or_default(), &hint.clone().unwrap_or_default()));
    }
}

fn reports(body: &[u8]) {
    if let Some((name, value)) = parse_parameter_status(body) {
        assert_eq!(body_of(b'S', |out| parameter_status(out, name.as_bytes(), value.as_bytes()).expect("it came in one message")), body);
    }
    let mut reader = Reader(body);
    let (pid, key) = (reader.word(), reader.0);
    let good = pid.is_some() && (4..=256).contains(&key.len());
    assert_eq!(parse_backend_key_data(body), pid.filter(|_| good).map(|pid| (pid as i32, key)));
    if let Some((pid, key)) = parse_backend_key_data(body) {
        assert_eq!(body_of(b'K', |out| backend_key_data(out, pid, key).expect("within bounds")), body);
        let mut words = Vec::new();
        to_server::cancel_request(&mut words, pid, key).expect("within bounds");
        assert_eq!(words, raw::cancel_request(&(pid as u32, key.to_vec())));
    }
    if let Some(tag) = parse_command_complete(body) {
        assert_eq!([tag, b"\0"].concat(), body);
        if let Ok(tag) = std::str::from_utf8(tag) {
            assert_eq!(body_of(b'C', |out| command_complete(out, tag).expect("it came in one message")), body);
        }
    }
    assert_eq!(parse_ready(body).is_some(), matches!(body, b"I" | b"T" | b"E"));
    if let Some(status) = parse_ready(body) {
        assert_eq!(body_of(b'Z', |out| ready(out, status)), body);
    }
}

fn authentications(body: &[u8]) {
    let Ok(parsed) = parse_authentication(body) else { return };
    let again = body_of(b'R', |out| match parsed {
        Authentication::Ok => authentication_ok(out),
        Authentication::CleartextPassword => authentication_cleartext_password(out),
        Authentication::Md5Password { salt } => authentication_md5_password(out, salt),
        Authentication::Sasl(names) => {
            let names: Vec<String> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            authentication_sasl(out, &names).expect("they came in one message");
        }
        Authentication::SaslContinue(data) => authentication_sasl_continue(out, data).expect("it came in one message"),
        Authentication::SaslFinal(data) => authentication_sasl_final(out, data).expect("it came in one message"),
        Authentication::Unsupported(_) => out.extend_from_slice(&raw::frame(b'R', body)),
    });
    // Names of mechanisms that are no text are written as the nearest text.
    let lossy = matches!(parsed, Authentication::Sasl(names) if names.iter().any(|name| std::str::from_utf8(name).is_err()));
    assert!(lossy || again == body, "{parsed:?}");
}

fn answers(body: &[u8]) {
    if let Ok(password) = to_server::password_message(body) {
        assert!(!password.is_empty());
        let again = body_of(b'p', |out| to_server::password(out, password).expect("it came in one message"));
        assert_eq!(again, body);
    }
    if let Ok((mechanism, data)) = to_server::sasl_initial_response(body)
        && let (Ok(mechanism), Some(data)) = (std::str::from_utf8(mechanism), data)
    {
        assert_eq!(body_of(b'p', |out| to_server::sasl_initial(out, mechanism, data).expect("it came in one message")), body);
    }
    if let Some(text) = to_server::query_text(body) {
        assert_eq!(body_of(b'Q', |out| to_server::query(out, text).expect("it came in one message")), body);
    }
}

/// The name that a message of the extended protocol is about, whole and from a prefix.
fn names(body: &[u8]) {
    use to_server::Peek;
    for kind in *b"PBDECQ" {
        let whole = to_server::statement_of(Header { kind, body: body.len() }, body);
        let mut reader = Reader(body);
        let expected = match kind {
            b'P' => reader.text().map(|name| (false, name)),
            b'B' => reader.text().and_then(|_| reader.text()).map(|name| (false, name)),
            b'E' => reader.text().map(|name| (true, name)),
            b'D' | b'C' => match reader.byte() {
                Some(b'S') => reader.text().map(|name| (false, name)),
                Some(b'P') => reader.text().map(|name| (true, name)),
                _ => None,
            },
            _ => None,
        };
        match (whole, expected) {
            (Peek::Statement(found), Some((false, name))) | (Peek::Portal(found), Some((true, name))) => assert_eq!(found, name),
            (Peek::Malformed, None) => {}
            (Peek::TooLong, _) => assert!(body.len() > to_server::MAX_NAME),
            (found, expected) => panic!("{}: {found:?}, not {expected:?}", char::from(kind)),
        }
        for length in [0, 1, 2, 5, body.len() / 2].into_iter().filter(|&length| length < body.len()) {
            let part = to_server::statement_of(Header { kind, body: body.len() }, &body[..length]);
            assert!(part == Peek::NeedMore || part == whole, "{} from {length} bytes: {part:?}, not {whole:?}", char::from(kind));
        }
    }
}

/// What servers say, and what hostile ones might.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let full: &[u8] = b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (a)=(1) already exists.\0Htry\0\
        P7\0p3\0qSELECT\0Wwhere\0spublic\0tt\0cc\0dint\0nkey\0Ff.c\0L12\0Rr\0\0";
    let error = |body: &[u8]| raw::frame(b'E', body);
    let reports = [
        raw::frame(b'S', b"server_version\x0015.4\0"),
        raw::frame(b'S', b"application_name\0\0"),
        raw::frame(b'K', b"\0\0\0\x2a\x01\x02\x03\x04"),
        raw::frame(b'K', &[7; 260]),
        raw::frame(b'C', b"INSERT 0 1\0"),
        raw::frame(b'Z', b"I"),
        raw::frame(b'Z', b"E"),
        raw::frame(b'Z', b"X"),
    ];
    let proofs = [
        raw::frame(b'R', b"\0\0\0\0"),
        raw::frame(b'R', b"\0\0\0\x03"),
        raw::frame(b'R', b"\0\0\0\x05salt"),
        raw::frame(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
        raw::frame(b'R', b"\0\0\0\x0br=abc,s=c2FsdA==,i=4096"),
        raw::frame(b'R', b"\0\0\0\x0cv=AAAA"),
        raw::frame(b'R', b"\0\0\0\x07"),
    ];
    let names = [
        raw::parse("statement", "SELECT 1", &[23, 25]),
        raw::bind("portal", "statement", &[Some("x"), None]),
        raw::describe(b'S', "statement"),
        raw::close(b'P', "portal"),
        raw::execute("portal", 5),
        raw::frame(b'D', b"X\0"),
    ];
    let answers =
        [raw::frame(b'p', b"secret\0"), raw::frame(b'p', b"\0"), raw::frame(b'p', b"SCRAM-SHA-256\0\0\0\0\x05n,,n="), raw::query("SELECT 1")];
    vec![
        ("error-full", error(full)),
        ("error-fatal", error(b"SFATAL\0VFATAL\0C57P01\0Mterminating\0\0")),
        ("error-translated", error("SFEHLER\0VERROR\0C42601\0MSyntaxfehler bei »x«\0\0".as_bytes())),
        ("hostile-error-without-code", error(b"SERROR\0Mno code\0\0")),
        ("hostile-error-twice", error(b"SERROR\0SFATAL\0C1\0C22012\0Ma\0Mb\0VFATAL\0V\0\0")),
        ("hostile-error-endless", error(b"SERROR\0C22012\0Mno end")),
        ("hostile-error-empty", error(b"")),
        ("hostile-error-no-text", error(b"SERROR\0C\xff\xfe\xfd12\0M\x80\x81\0D\0H\0\0")),
        ("reports", reports.concat()),
        ("authentications", proofs.concat()),
        ("names", names.concat()),
        ("answers", answers.concat()),
    ]
}
