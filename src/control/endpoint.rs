//! The HTTP that metrics and health are asked over: GET (and HEAD), one request after the other, answered by whoever the listener is given to.
//! Bounds: `CONNECTIONS_MAX` connections, `HEADER_MAX` bytes of a request, `IDLE` for it to come, `WRITE` for its answer to go. Nobody is asked for a
//! password, and nothing can be changed here.

use std::cell::Cell;
use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::Timer;

/// Connections at once, of one listener; more are closed as they come.
pub const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request; it has no body.
pub const HEADER_MAX: usize = 8 * 1024;
/// How long a connection may be without a request, or a request take to come.
const IDLE: Duration = Duration::from_secs(30);
/// How long an answer may take to go.
const WRITE: Duration = Duration::from_secs(30);
/// How long nothing is accepted after that has failed: out of descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// without what follows a `?`
    pub path: String,
    /// the Accept header
    pub accept: String,
    /// the header of the answer alone
    head: bool,
    /// more may follow on the connection
    stays: bool,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Answer {
    /// A short one.
    pub fn text(status: u16, body: &str) -> Answer {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.to_string() }
    }

    fn header(&self, stays: bool) -> String {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let (status, kind, length) = (self.status, self.kind, self.body.len());
        let allow = if status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let end = if stays { "keep-alive" } else { "close" };
        let content = format!("Content-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n");
        format!("HTTP/1.1 {status} {reason}\r\n{content}{allow}Connection: {end}\r\n\r\n")
    }
}

/// What the bytes of a connection are so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    More,
    /// a request, and how many bytes it has
    Request(Request, usize),
    /// nothing that is answered with more than this status
    Refused(u16),
}

/// Reads the first request in `bytes`.
pub fn read(bytes: &[u8]) -> Read {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() >= HEADER_MAX { Read::Refused(431) } else { Read::More };
    };
    let Some(text) = bytes.get(..end).filter(|header| header.len() <= HEADER_MAX).and_then(|header| std::str::from_utf8(header).ok()) else {
        return Read::Refused(400);
    };
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { return Read::Refused(400) };
    let stays = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Read::Refused(400),
    };
    if !target.starts_with('/') {
        return Read::Refused(400);
    }
    let path = target.split('?').next().unwrap_or_default().to_string();
    let mut request = Request { path, accept: String::new(), head: method == "HEAD", stays };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Read::Refused(400) };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "accept" if request.accept.is_empty() => request.accept = value.to_string(),
            "accept" => request.accept = format!("{}, {value}", request.accept),
            "connection" if value.eq_ignore_ascii_case("close") => request.stays = false,
            // A body would be taken for the next request.
            "transfer-encoding" => return Read::Refused(400),
            "content-length" if value != "0" => return Read::Refused(400),
            _ => {}
        }
    }
    if !matches!(method, "GET" | "HEAD") {
        return Read::Refused(405);
    }
    Read::Request(request, end + 4)
}

/// A port that is bound, before anything runs. Err says which key named it, and why it cannot be had.
pub fn bind(host: &str, port: u16, key: &str) -> Result<std::net::TcpListener, String> {
    let fail = |why: String| format!("[general] {key}: cannot listen on {host}:{port}: {why}");
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| fail(error.to_string()))?;
    let address: SocketAddr = addresses.next().ok_or_else(|| fail("the name has no address".to_string()))?;
    std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => fail("it is taken: another program listens there; choose another port, or stop that program".to_string()),
        _ => fail(error.to_string()),
    })
}

/// Who answers.
pub type Answering = Rc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Answer>>>>;

/// Takes connections for ever.
pub async fn serve(listener: TcpListener, answering: Answering) {
    let open = Rc::new(Cell::new(0usize));
    loop {
        let stream = match listener.accept().await {
            Ok(stream) if open.get() < CONNECTIONS_MAX => stream,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!("cannot accept a connection for metrics or health: {error}");
                Timer::new(ACCEPT_PAUSE).await;
                continue;
            }
        };
        open.set(open.get() + 1);
        let (open, answering) = (open.clone(), answering.clone());
        glommio::spawn_local(async move {
            converse(stream, &answering).await;
            open.set(open.get() - 1);
        })
        .detach();
    }
}

/// One connection, to its end.
async fn converse(mut stream: TcpStream, answering: &Answering) {
    let mut bytes = Vec::new();
    loop {
        let Some(found) = within(IDLE, next(&mut stream, &mut bytes)).await.flatten() else { return };
        let (answer, head, stays) = match found {
            Ok(request) => {
                let (head, stays) = (request.head, request.stays);
                (answering(request).await, head, stays)
            }
            Err(status) => (Answer::text(status, "this endpoint takes GET requests without a body\n"), false, false),
        };
        let written = async {
            stream.write_all(answer.header(stays).as_bytes()).await.ok()?;
            if !head {
                stream.write_all(answer.body.as_bytes()).await.ok()?;
            }
            stream.flush().await.ok()
        };
        if within(WRITE, written).await.flatten().is_none() || !stays {
            return;
        }
    }
}

/// The next request, or the status that ends the connection; None when the other side has ended it.
async fn next(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Result<Request, u16>> {
    let mut piece = [0; 1024];
    loop {
        match read(bytes) {
            Read::Request(request, length) => {
                bytes.drain(..length);
                return Some(Ok(request));
            }
            Read::Refused(status) => return Some(Err(status)),
            Read::More => {}
        }
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => bytes.extend_from_slice(&piece[..length]),
            _ => return None,
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::new(limit).await;
        None
    };
    async { Some(work.await) }.or(late).await
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
