//! What the benchmark stands on: the load generator's client says and understands the right bytes, and reports can be made from every stored result
//! and judge as they should. That the numbers are right can only be seen by measuring.

#[allow(dead_code, reason = "the generator uses all of it")]
#[path = "../bench/load/client.rs"]
mod client;

use std::process::Command;

use client::{Client, Script, Shared, Step};
use pg_dog::auth::exchange::ServerExchange;
use pg_dog::auth::scram::{Verifier, nonce};

fn script(extended: bool, rows: u64) -> Script {
    Script { user: "u".into(), password: "p".into(), database: "d".into(), extended, rows }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// An authentication request.
fn request(code: u32, body: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], body].concat())
}

#[test]
fn an_answer_cut_anywhere_is_understood_once() {
    let answer = [request(0, b""), message(b'S', b"a\0b\0"), message(b'K', &[0; 8]), message(b'Z', b"I")].concat();
    for cut in 1..answer.len() {
        let (mut shared, mut out) = (Shared::new(script(false, 0), 1), Vec::new());
        let mut client = Client::start(&shared.script, &mut out);
        assert_eq!(client.read(&answer[..cut], &mut shared, &mut out), Ok(Step::Wait), "cut at {cut}");
        assert_eq!(client.read(&answer[cut..], &mut shared, &mut out), Ok(Step::Ready), "cut at {cut}");
    }
}

#[test]
fn a_scram_login_derives_keys_once_per_salt() {
    let (mut shared, mut out) = (Shared::new(script(false, 0), 1), Vec::new());
    let verifier = Verifier::from_password("p", b"0123456789abcdef", 10);
    for _ in 0..3 {
        let mut client = Client::start(&shared.script, &mut out);
        assert!(out.ends_with(b"database\0d\0application_name\0load\0\0") && out[..4] == (out.len() as u32).to_be_bytes());
        assert_eq!(client.read(&request(10, b"SCRAM-SHA-256\0\0"), &mut shared, &mut out), Ok(Step::Send));
        let first = &out[5 + "SCRAM-SHA-256\0".len() + 4..];
        let (exchange, challenge) = ServerExchange::start(&verifier, first, &nonce([7; 18])).expect("a good first message");
        assert_eq!(client.read(&request(11, challenge.as_bytes()), &mut shared, &mut out), Ok(Step::Send));
        let proven = exchange.finish(&out[5..]).expect("the right password");
        assert_eq!(client.read(&request(12, proven.server_final.as_bytes()), &mut shared, &mut out), Ok(Step::Wait));
        assert_eq!(client.read(&[request(0, b""), message(b'Z', b"I")].concat(), &mut shared, &mut out), Ok(Step::Ready));
    }
    assert_eq!(shared.derived, 1);
}

#[test]
fn a_server_that_proves_nothing_is_refused() {
    let (mut shared, mut out) = (Shared::new(script(false, 0), 1), Vec::new());
    let mut client = Client::start(&shared.script, &mut out);
    assert_eq!(client.read(&request(10, b"SCRAM-SHA-256\0\0"), &mut shared, &mut out), Ok(Step::Send));
    assert!(client.read(&request(0, b""), &mut shared, &mut out).is_err());
}

#[test]
fn errors_and_nonsense_are_errors() {
    for (bytes, says) in [(message(b'E', b"SFATAL\0C53300\0Mno more\0\0"), "53300 no more"), (b"Z\0\0\0\x03".to_vec(), "3 bytes")] {
        let (mut shared, mut out) = (Shared::new(script(false, 0), 1), Vec::new());
        let error = Client::start(&shared.script, &mut out).read(&bytes, &mut shared, &mut out).expect_err("an error");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn requests_are_whole_messages() {
    for (extended, rows, kinds) in [(false, 0, "Q"), (false, 1000, "Q"), (true, 0, "PBDES"), (true, 1000, "PBDES")] {
        let (mut shared, mut out) = (Shared::new(script(extended, rows), 1), Vec::new());
        Client::ask(&mut shared, &mut out);
        let (mut at, mut found) = (0, String::new());
        while at < out.len() {
            found.push(char::from(out[at]));
            at += 1 + u32::from_be_bytes(out[at + 1..at + 5].try_into().expect("four bytes")) as usize;
        }
        assert_eq!((found.as_str(), at), (kinds, out.len()), "{extended} {rows}");
    }
}

/// Runs Python with the benchmark's parts at hand.
fn python(text: &str) -> String {
    let bench = format!("{}/bench", env!("CARGO_MANIFEST_DIR"));
    let run = Command::new("python3").args(["-B", "-c", text]).current_dir(bench).output().expect("there is a Python");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).trim().to_string()
}

#[test]
fn every_stored_result_can_be_reported_again() {
    let text = "
import glob, json
from xml.dom import minidom
from lib import chart, report
paths = glob.glob('results/2*.json')
for path in paths:
    run = json.load(open(path))
    minidom.parseString(chart.svg(run))
    text = report.markdown(run, 'x.svg')
    assert '## Targets' in text and '## Values' in text, path
print(len(paths))";
    assert!(python(text).parse::<usize>().is_ok_and(|count| count >= 2));
}

#[test]
fn the_judge_knows_good_from_bad_and_leaves_out_what_failed() {
    let text = r"
from lib import chart, report
def one(tps, p99, cpu): return {'tps': tps, 'p50': p99 / 2, 'p99': p99, 'p999': p99 * 2, 'cpu': cpu, 'foreign': 0.0, 'waiting': 0}
def cell(placement, clients, **systems):
    rounds = {name.replace('_plain', '-plain'): {'rounds': found} for name, found in systems.items()}
    return {'placement': placement, 'title': 't', 'protocol': 'simple', 'clients': clients, 'repeated': 0, 'systems': rounds}
peer = [one(100, 1000, 10)] * 5
run = {'rounds': 5, 'seconds': 1, 'warmup': 1, 'rate': None, 'sampling_rate': 1, 'scale': 1, 'repeated': 0, 'failures': ['section open: gone\nlog'],
    'systems': ['pgbouncer', 'pg_dog'], 'facts': {'date': 'd', 'commit': 'c', 'machine': 'm', 'kernel': 'k'},
    'cells': [
        cell('clients', 1000, pgbouncer=peer, pg_dog=[one(120, 790, 8.9)] * 5),
        cell('connected', 100, pgbouncer=peer, pg_dog=[one(100, 1, 10)] * 5),
        cell('connected', 10000, pgbouncer=peer, pg_dog=[one(100, 1, 11.1)] * 5),
        cell('reconnect', 16, pgbouncer_plain=[one(1, 1, 1000)] * 5, pgbouncer=peer, pg_dog=peer),
        cell('open', 128, pgbouncer=[], pg_dog=[]),
    ],
    'crowd': {
        'memory': {'clients': 10000, 'systems': {'pg_dog': [{'bytes': 1000, 'kernel': 1, 'idle_cpu': 0.01, 'resident': 1}]}},
        'storm': {'clients': 10000, 'steady': 1, 'rate': 1, 'systems': {name: [dict(seconds=1, failed=failed, error=None, login_p50=1, login_p99=1,
            cpu=1, quiet_p99=1, p50=1, p99=p99, p999=1, max=1, foreign=0.0)] for name, p99, failed in (('pgbouncer', 10, 9), ('pg_dog', 9, 1))}},
    }}
text = report.markdown(run, 'x.svg')
assert 'section open: gone**' in text and 'open' not in [one['placement'] for one in report.measured(run)['cells']]
chart.svg(run)
print(' '.join({True: 'pass', False: 'miss'}[row.verdict] for row in report.judge(report.measured(run))))";
    // Throughput, p99, CPU of 1,000 clients (1.20, 0.79, 0.89); flatness 1.11; logins against passwords and against secrets; bytes, idle CPU; storm.
    assert_eq!(python(text), "pass pass miss miss pass miss pass miss pass miss");
}
