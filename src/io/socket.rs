//! Sockets as pg_dog wants them: listeners that cores share by SO_REUSEPORT, outgoing ones with the operator's TCP settings.

use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::Fd;

/// `[tcp]` of the configuration, as the kernel takes it.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    pub keepalive: bool,
    pub keepalive_time: Option<Duration>,
    pub keepalive_interval: Option<Duration>,
    pub keepalive_retries: Option<u32>,
    pub user_timeout: Option<Duration>,
    pub congestion_control: Option<String>,
}

/// Connections the kernel keeps for us before we accept them.
const BACKLOG: i32 = 4096;

fn apply(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    if options.keepalive {
        let mut keepalive = TcpKeepalive::new();
        if let Some(time) = options.keepalive_time {
            keepalive = keepalive.with_time(time);
        }
        if let Some(interval) = options.keepalive_interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(retries) = options.keepalive_retries {
            keepalive = keepalive.with_retries(retries);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if let Some(timeout) = options.user_timeout {
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    if let Some(name) = &options.congestion_control {
        socket.set_tcp_congestion(name.as_bytes())?;
    }
    Ok(())
}

/// A listening socket of one core. Accepted sockets inherit its TCP settings. SO_REUSEPORT only counts among sockets of this user, so that a
/// second pg_dog would share our port unnoticed: the first listener of a process is therefore tried without it (see `probe`).
pub fn listener(at: &SocketAddr, options: &SocketOptions) -> io::Result<Fd> {
    let socket = Socket::new(Domain::for_address(*at), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    apply(&socket, options)?;
    socket.bind(&(*at).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into_raw_fd())
}

/// Fails with EADDRINUSE if somebody, we ourselves included, listens at `at`. It does not listen itself, not for a moment: a client that came right
/// then would be thrown out.
pub fn probe(at: &SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(*at), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&(*at).into())
}

/// An unconnected socket for `to`.
pub fn outgoing(to: &SocketAddr, options: &SocketOptions) -> io::Result<Fd> {
    let socket = Socket::new(Domain::for_address(*to), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    apply(&socket, options)?;
    Ok(socket.into_raw_fd())
}

/// Ends directions at once; the peer sees the end, pending operations of that direction complete.
pub fn shutdown(fd: Fd, how: std::net::Shutdown) {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    // An error means that the peer is gone already, which is what we want.
    let _ = SockRef::from(&borrowed).shutdown(how);
}

/// Address of the other end, for what people read.
pub fn peer(fd: Fd) -> Option<SocketAddr> {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    SockRef::from(&borrowed).peer_addr().ok()?.as_socket()
}
