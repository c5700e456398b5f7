//! Where tests put things: a folder of their own for each server, a port that nobody else takes, and an end for every child process.
//!
//! PostgreSQL refuses to run as root, so a test that runs as root starts it as an ordinary user, in a folder which that user can reach.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports for tests: below the range that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

/// Counts folders and ports of this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Who runs PostgreSQL when we are root: (user id, group id). None: whoever we are.
pub fn unprivileged() -> Option<(u32, u32)> {
    let ours = fs::metadata("/proc/self").expect("/proc is mounted").uid();
    if ours != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("there is a user `postgres` or `nobody`"))
}

/// A command that runs as the unprivileged user.
pub fn unprivileged_command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

/// The folder that all folders of tests lie in. Everybody may enter it, only we may add to it.
pub fn base() -> PathBuf {
    let ours = fs::metadata("/proc/self").expect("/proc is mounted").uid();
    let path = std::env::temp_dir().join(format!("pg_dog-tests-{ours}"));
    fs::create_dir_all(&path).expect("the temporary folder can be written");
    let owner = fs::symlink_metadata(&path).expect("the folder was just made").uid();
    assert_eq!(owner, ours, "{} belongs to somebody else: remove it or set TMPDIR", path.display());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own folder");
    path
}

/// A folder of our own, removed on drop unless the test failed.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new, empty folder; `for_postgres` gives it to the unprivileged user.
    pub fn new(kind: &str, for_postgres: bool) -> Folder {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = base().join(format!("{kind}-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // of an earlier process with our number
        fs::create_dir(&path).expect("our own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("our own folder");
        if let (true, Some((user, group))) = (for_postgres, unprivileged()) {
            chown(&path, Some(user), Some(group)).expect("root may give folders away");
        }
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A loopback port that is ours until dropped, also against other test processes.
///
/// The claim is a name in the kernel's table of abstract sockets, so it goes when its process goes. A bind alone would not do: two pg_dogs may
/// listen on one port.
pub struct Port {
    pub number: u16,
    _claim: UnixListener,
}

impl Port {
    pub fn claim() -> Port {
        let start = std::process::id().wrapping_mul(37).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let size = u32::from(PORTS.end - PORTS.start);
        for i in 0..size {
            let number = PORTS.start + (start.wrapping_add(i) % size) as u16;
            let name = SocketAddr::from_abstract_name(format!("pg_dog-test-port-{number}")).expect("the name is short");
            let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Port { number, _claim: claim };
            }
        }
        panic!("no port between {} and {} is free", PORTS.start, PORTS.end);
    }
}

/// A child process with a watchdog: a shell that ends it when we are gone, because then its input ends.
pub struct Kept {
    pub child: Child,
    watchdog: Child,
    leash: Option<ChildStdin>,
}

impl Kept {
    /// Starts `command` apart from our terminal; `signal` (QUIT, KILL, ...) is how the watchdog ends it.
    pub fn start(mut command: Command, signal: &str) -> Kept {
        let child = command.process_group(0).stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut shell = Command::new("sh");
        shell.args(["-c", "read -r word; [ \"$word\" = over ] || kill -\"$1\" \"$2\"", "watchdog", signal, &child.id().to_string()]);
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut watchdog = shell.spawn().expect("there is a shell");
        let leash = watchdog.stdin.take();
        Kept { child, watchdog, leash }
    }

    /// Sends a signal by name (TERM, HUP, ...), if the process has not ended.
    pub fn signal(&mut self, name: &str) {
        if self.exited().is_none() {
            let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
            assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {}", self.child.id());
        }
    }

    /// How the process ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Waits for the end; kills after `bound` and says None.
    pub fn end(&mut self, bound: std::time::Duration) -> Option<ExitStatus> {
        let mut status = None;
        super::poll(bound, || {
            status = self.exited();
            status.is_some()
        });
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        status
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Our child stays a zombie with its number until we wait for it, so the watchdog cannot hit anybody else before it is called off.
        if let Some(mut leash) = self.leash.take() {
            let _ = std::io::Write::write_all(&mut leash, b"over\n");
        }
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
