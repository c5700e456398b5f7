//! Sockets as pg_dog wants them: listeners that cores share by SO_REUSEPORT, outgoing ones with the operator's TCP settings.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{Fd, Unread};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// the socket's file
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address)
    }
}

impl Address {
    /// The file in `directory` by which clients of PostgreSQL reach `port` (its `UNIXSOCK_PATH`, src/include/libpq/pqcomm.h).
    pub fn in_directory(directory: &str, port: u16) -> Address {
        Address::Unix(Path::new(directory).join(format!(".s.PGSQL.{port}")))
    }

    /// As the kernel takes it. Fails when a path is too long.
    pub fn to_kernel(&self) -> io::Result<socket2::SockAddr> {
        match self {
            Address::Tcp(address) => Ok(socket2::SockAddr::from(*address)),
            Address::Unix(path) => socket2::SockAddr::unix(path),
        }
    }
}

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

/// Gives an open TCP socket the operator's settings.
pub fn tune(fd: Fd, options: &SocketOptions) -> io::Result<()> {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    apply(&SockRef::from(&borrowed), options)
}

/// A listener for ordinary tasks of the executor that this is called on.
pub fn on_this_executor(listener: std::net::TcpListener) -> glommio::net::TcpListener {
    // SAFETY: the descriptor listens, and is nobody else's from here on.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(listener)) }
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

/// A listening Unix socket at `path`, for whom `mode` lets in. One that a dead process left there is replaced; one that somebody listens on is
/// EADDRINUSE. All cores accept from the one descriptor, since a path can be bound only once.
pub fn unix_listener(path: &Path, mode: u32) -> io::Result<Fd> {
    let address = socket2::SockAddr::unix(path)?;
    let fresh = || Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None);
    if path.exists() {
        let probe = fresh()?;
        // Somebody whose queue is full listens as well.
        probe.set_nonblocking(true)?;
        match probe.connect(&address) {
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
        std::fs::remove_file(path)?;
    }
    let socket = fresh()?;
    socket.bind(&address)?;
    // Before anybody can connect: nobody can until it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into_raw_fd())
}

/// Which file a socket's path led to: device and number.
pub type File = (u64, u64);

/// The file that `path` leads to now.
pub fn file_of(path: &Path) -> io::Result<File> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Removes a socket's file, unless another process has put its own in its place meanwhile.
pub fn remove(path: &Path, file: File) {
    if file_of(path).is_ok_and(|now| now == file) {
        // If somebody takes it away before us, that is what we wanted.
        let _ = std::fs::remove_file(path);
    }
}

/// Another descriptor of the same socket.
pub fn duplicate(fd: Fd) -> io::Result<Fd> {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned()?.into_raw_fd())
}

/// Closes a descriptor that no ring has been given.
pub fn close(fd: Fd) {
    // SAFETY: the caller owns it and does not use it again.
    drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) });
}

/// An unconnected socket for `to`.
pub fn outgoing(to: &Address, options: &SocketOptions) -> io::Result<Fd> {
    let to = match to {
        Address::Unix(_) => return Ok(Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?.into_raw_fd()),
        Address::Tcp(to) => to,
    };
    let socket = Socket::new(Domain::for_address(*to), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    apply(&socket, options)?;
    Ok(socket.into_raw_fd())
}

/// Whether the other end of a Unix socket is a process of root, or of the account that this one runs as.
pub fn peer_is_us(fd: Fd) -> bool {
    let mut who = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let to: *mut libc::ucred = &mut who;
    // SAFETY: `who` has room for what SO_PEERCRED gives, and `length` says how much.
    let known = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, to.cast(), &mut length) } == 0;
    // SAFETY: takes no memory of ours.
    known && who.pid != 0 && (who.uid == 0 || who.uid == unsafe { libc::geteuid() })
}

/// Ends directions at once; the peer sees the end, pending operations of that direction complete.
pub fn shutdown(fd: Fd, how: std::net::Shutdown) {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    // An error means that the peer is gone already, which is what we want.
    let _ = SockRef::from(&borrowed).shutdown(how);
}

/// What the other side has said or done that nobody has read yet; the bytes stay where they are.
pub fn unread(fd: Fd) -> Unread {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    let mut first = [std::mem::MaybeUninit::uninit()];
    match SockRef::from(&borrowed).recv_with_flags(&mut first, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
        Ok(0) => Unread::End,
        // SAFETY: one byte has been received into it.
        Ok(_) => Unread::Byte(unsafe { first[0].assume_init() }),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Unread::Nothing,
        Err(_) => Unread::End,
    }
}

/// Address of the other end, for what people read.
pub fn peer(fd: Fd) -> Option<SocketAddr> {
    // SAFETY: only borrowed for this call; the caller owns the descriptor and has not closed it.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    SockRef::from(&borrowed).peer_addr().ok()?.as_socket()
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
