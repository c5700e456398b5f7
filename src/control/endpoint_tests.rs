//! Tests of what is read as a request and what is not; that it is answered is tested against a running pg_dog.

use super::*;

fn request(text: &str) -> Read {
    read(text.as_bytes())
}

#[test]
fn a_request_is_read_in_pieces() {
    let text = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\naccept: */*\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    let first = text.find("GET / ").expect("there are two");
    for cut in 0..first {
        assert_eq!(read(&text.as_bytes()[..cut]), Read::More, "{cut}");
    }
    let accept = "application/openmetrics-text, */*".to_string();
    let expected = Request { path: "/metrics".into(), accept, head: false, stays: true };
    assert_eq!(request(text), Read::Request(expected, first));
    let rest = Request { path: "/".into(), ..Request::default() };
    assert_eq!(request(&text[first..]), Read::Request(rest, text.len() - first));
}

#[test]
fn whoever_wants_to_end_ends() {
    let Read::Request(found, _) = request("HEAD /ready HTTP/1.1\r\nConnection: Close\r\n\r\n") else { panic!("a request") };
    assert!(found.head && !found.stays);
}

#[test]
fn what_is_no_request_is_refused() {
    for (text, status) in [
        ("POST / HTTP/1.1\r\n\r\n", 405),
        ("GET / HTTP/2\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        ("GET http://x/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("\r\n\r\n", 400),
    ] {
        assert_eq!(request(text), Read::Refused(status), "{text:?}");
    }
    assert_eq!(read(b"GET /\xff HTTP/1.1\r\n\r\n"), Read::Refused(400));
    assert_eq!(read(&[b'x'; HEADER_MAX - 1]), Read::More);
    assert_eq!(read(&[b'x'; HEADER_MAX]), Read::Refused(431));
    assert_eq!(read(&[[b'x'; HEADER_MAX].as_slice(), b"x\r\n\r\n"].concat()), Read::Refused(400));
}

#[test]
fn a_taken_port_names_its_key() {
    let first = bind("127.0.0.1", 0, "openmetrics_port").expect("the kernel has a free port");
    let port = first.local_addr().expect("it is bound").port();
    let said = bind("127.0.0.1", port, "openmetrics_port").expect_err("it is taken");
    assert!(said.contains("openmetrics_port") && said.contains("it is taken") && said.contains(&port.to_string()), "{said}");
}
