//! Start: checks what the machine grants, reads the configuration, starts data cores, helpers and the control core, and stays until the end.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};

use arc_swap::ArcSwap;
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use crate::admin::counts::CoreTally;
use crate::admin::report::MemoryRow;
use crate::config::Line;
use crate::config::snapshot::Snapshot;
use crate::control::helpers;
use crate::control::inbox::{Heard, Inbox};
use crate::control::line::socket_options;
use crate::control::logs::Logs;
use crate::control::metrics::Ports;
use crate::control::publish::{Files, Publisher, read_files};
use crate::control::query_log;
use crate::control::route::{self, Verdict};
use crate::control::run::{Control, watch_signals};
use crate::control::shards::unknown;
use crate::engine::{CORES_MAX, Core, Parts, Post, mailboxes};
use crate::io::random::random;
use crate::io::ring::{Doorbells, RingDoor, RingSizes, Waker};
use crate::io::socket::{self, Address, SocketOptions};
use crate::io::{Fd, limits};
use crate::mail::{Asked, Asker, Desk, Job, Padded, Poster, Shared, Word};
use crate::session::statements::Library;

/// Descriptors of one executor, and a few cancel requests.
const FILES_PER_CORE: usize = 32;

/// What the command line says, and what tests set besides.
#[derive(Clone)]
pub struct Options {
    pub files: Files,
    pub sizes: RingSizes,
    /// called first thing on every data core's thread
    pub on_data_core: fn(),
    /// set up logging and signals; off when pg_dog runs inside another program
    pub process: bool,
}

impl Options {
    /// A process of its own with these files.
    pub fn new(config: std::path::PathBuf, users: std::path::PathBuf) -> Options {
        Options::of(Files::new(config, users, Line::default()))
    }

    /// A process of its own with this configuration.
    pub fn of(files: Files) -> Options {
        Options { files, sizes: RingSizes::default(), on_data_core: || {}, process: true }
    }
}

/// Why pg_dog did not start; all are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration is not right:\n  {}", .0.join("\n  "))]
    Config(Vec<String>),
    #[error("{0}")]
    Machine(String),
    #[error("{0}")]
    Listen(String),
}

/// How a real data core reaches the others.
struct RealDesk {
    inbox: Arc<Inbox>,
    jobs: mpsc::Sender<(Asker, Job)>,
    query_log: mpsc::SyncSender<Asked>,
}

impl Desk for RealDesk {
    fn word(&self, word: Word) {
        self.inbox.post(Heard::Word(word));
    }

    fn job(&self, asker: Asker, job: Job) {
        if self.jobs.send((asker, job)).is_err() {
            tracing::error!("no helper is left; a login will time out");
        }
    }

    fn asked(&self, asked: Asked) -> bool {
        self.query_log.try_send(asked).is_ok()
    }

    fn random(&self, bytes: &mut [u8]) {
        random(bytes);
    }
}

/// Runs pg_dog until it is told to end; returns when it has drained.
pub fn start(options: Options) -> Result<(), StartError> {
    limits::membarrier();
    let mut seed = [0; 16];
    random(&mut seed);
    let loaded = read_files(&options.files, &[], seed, 1).map_err(StartError::Config)?;
    let logs = options.process.then(|| Logs::set_up(&loaded.snapshot.general));
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let snapshot = loaded.snapshot;
    let cores = snapshot.general.workers;
    let clients_max = check_machine(&snapshot)?;
    let address = listen_address(&snapshot)?;
    let options_tcp = socket_options(&snapshot.tcp);
    let mut listeners = listeners(&snapshot, &address, &options_tcp)?;
    let unix_socket = unix_listener(&snapshot, &mut listeners)?;
    let ports = Ports::bind(&snapshot.general.watch).map_err(StartError::Listen)?;
    let publisher = Publisher::default();
    let (control_cpu, pin, spin_us) = (snapshot.cores.control, snapshot.cores.pin.clone(), snapshot.cores.spin_us);
    let published = publisher.build(snapshot, None);
    let clusters = unknown(&published, &HashMap::new());
    let mut secret = [0; 32];
    random(&mut secret);
    let shared = Arc::new(Shared {
        published: ArcSwap::from_pointee(published),
        version: AtomicU64::new(1),
        clients: (0..cores).map(|_| Padded::default()).collect(),
        tallies: (0..cores).map(|_| CoreTally::default()).collect(),
        clients_max,
        library: library(),
        clusters: ArcSwap::from_pointee(clusters),
        next_client: AtomicU64::new(1),
        secret,
    });
    let bells = Doorbells::new(cores);
    let (posts, outside) = mailboxes(cores);
    let outside: Arc<dyn Poster> = Arc::new(outside);
    let inbox = Arc::new(Inbox::default());
    let jobs = helpers::start(&outside, &bells).map_err(|error| StartError::Machine(format!("helper threads cannot start: {error}")))?;
    let unwritten = Arc::new(AtomicU64::new(0));
    let query_log = query_log::start(shared.clone(), unwritten.clone())
        .map_err(|error| StartError::Machine(format!("the thread of the query log cannot start: {error}")))?;
    let (ready, readies) = mpsc::sync_channel(cores);
    for (id, (post, listeners)) in posts.into_iter().zip(listeners).enumerate() {
        let seat = Seat { id, post, listeners, shared: shared.clone(), bells: bells.clone(), tcp: options_tcp.clone(), spin_us };
        let desk = RealDesk { inbox: inbox.clone(), jobs: jobs.clone(), query_log: query_log.clone() };
        let placement = pin.get(id).map_or(Placement::Unbound, |&cpu| Placement::Fixed(cpu));
        spawn_data_core(seat, desk, placement, options.clone(), ready.clone(), inbox.clone())?;
    }
    for _ in 0..cores {
        match readies.recv() {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(StartError::Machine(why)),
            Err(_) => return Err(StartError::Machine("a data core ended while it started; the log says why".into())),
        }
    }
    if options.process {
        watch_signals(inbox.clone()).map_err(|error| StartError::Machine(format!("signals cannot be watched: {error}")))?;
    }
    tracing::info!(%address, cores, "pg_dog {} is ready", env!("CARGO_PKG_VERSION"));
    let control = Control::new(options.files, publisher, shared, outside, inbox)
        .with_fixed_memory(receive_buffers(&options.sizes, cores))
        .with_watchers(ports, unwritten, logs);
    let end = run_control(control, bells, control_cpu);
    if let Some((path, file)) = unix_socket {
        socket::remove(&path, file);
    }
    end
}

/// Asks the shards of a database where the statements of a text would go; or why that cannot be said.
pub fn route(files: &Files, (database, user): (String, Option<String>), sql: String) -> Result<Verdict, StartError> {
    limits::membarrier();
    let mut seed = [0; 16];
    random(&mut seed);
    let snapshot = read_files(files, &[], seed, 1).map_err(StartError::Config)?.snapshot;
    limits::io_uring().map_err(StartError::Machine)?;
    let published = Arc::new(Publisher::default().build(snapshot, None));
    let asking = executor("route", Placement::Unbound).spawn(move || route::ask(published, database, user));
    let asking = asking.map_err(|error| StartError::Machine(format!("no executor can be started: {error}")))?;
    let known = asking.join().map_err(|error| StartError::Machine(format!("asking the shards ended early: {error}")))?;
    route::judge(known.map_err(StartError::Machine)?, sql).map_err(StartError::Machine)
}

/// The texts that clients will prepare.
fn library() -> Arc<Library> {
    let mut seed = [0; 8];
    random(&mut seed);
    Arc::new(Library::seeded(u64::from_ne_bytes(seed)))
}

/// What a data core is given besides its desk.
struct Seat {
    id: usize,
    post: Post,
    listeners: Vec<Fd>,
    shared: Arc<Shared>,
    bells: Arc<Doorbells>,
    tcp: SocketOptions,
    spin_us: u64,
}

fn executor(name: &str, placement: Placement) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(placement).name(name).io_memory(64 << 10).blocking_thread_pool_placement(PoolPlacement::Unbound(1))
}

fn spawn_data_core(
    seat: Seat,
    desk: RealDesk,
    placement: Placement,
    options: Options,
    ready: mpsc::SyncSender<Result<(), String>>,
    inbox: Arc<Inbox>,
) -> Result<(), StartError> {
    let id = seat.id;
    let spawned = executor(&format!("data-{id}"), placement).spawn(move || async move {
        (options.on_data_core)();
        let door = match RingDoor::new(id, seat.bells, &options.sizes, seat.tcp, seat.spin_us) {
            Ok(door) => door,
            Err(error) => {
                // Nobody listens any more if another core failed first.
                let _ = ready.send(Err(crate::io::ring::explain(&error)));
                return;
            }
        };
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let mut core = Core::new(Parts { id, door, desk, post: seat.post, shared: seat.shared, listeners: seat.listeners });
            let _ = ready.send(Ok(()));
            core.run()
        }));
        let why = match run {
            Ok(error) => format!("its ring is broken: {error}"),
            Err(_) => "it panicked".to_string(),
        };
        inbox.post(Heard::Word(Word::Failed { core: id, why }));
    });
    spawned.map(drop).map_err(|error| StartError::Machine(format!("data core {id} cannot start: {error}")))
}

fn run_control(control: Control, bells: Arc<Doorbells>, cpu: Option<usize>) -> Result<(), StartError> {
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    let spawned = executor("control", placement).spawn(move || async move {
        match Waker::new(bells) {
            Ok(waker) => control.run(waker).await,
            Err(error) => Err(crate::io::ring::explain(&error)),
        }
    });
    let handle = spawned.map_err(|error| StartError::Machine(format!("the control core cannot start: {error}")))?;
    match handle.join() {
        Ok(end) => end.map_err(StartError::Machine),
        Err(error) => Err(StartError::Machine(format!("the control core ended: {error}"))),
    }
}

/// What the rings receive into. The kernel uses them in turn, so that all count as used.
fn receive_buffers(sizes: &RingSizes, cores: usize) -> Vec<MemoryRow> {
    let row = |name, (count, size): (u16, u32)| {
        let used = u64::from(count) * cores as u64;
        MemoryRow { name, size: u64::from(size), used, free: 0, bytes: used * u64::from(size) }
    };
    vec![row("client_receive_buffer", sizes.client_buffers), row("server_receive_buffer", sizes.server_buffers)]
}

/// What must hold before anything starts; returns how many clients there are descriptors for.
fn check_machine(snapshot: &Snapshot) -> Result<usize, StartError> {
    let cores = snapshot.general.workers;
    if cores > CORES_MAX {
        return Err(StartError::Config(vec![format!("[general] workers = {cores}: at most {CORES_MAX} data cores are possible")]));
    }
    limits::io_uring().map_err(StartError::Machine)?;
    let files = limits::open_files().map_err(StartError::Machine)? as usize;
    limits::locked_memory(cores as u64 + 1).map_err(StartError::Machine)?;
    // Servers, cancel requests and what a core opens for itself must find descriptors whatever clients do.
    let servers: usize = snapshot.pools.iter().map(|pool| pool.pool_size).sum();
    let own = FILES_PER_CORE * (cores + 1) + servers.min(files / 2);
    Ok(files.saturating_sub(own).max(files / 4))
}

fn listen_address(snapshot: &Snapshot) -> Result<SocketAddr, StartError> {
    let general = &snapshot.general;
    let found = (general.host.as_str(), general.port).to_socket_addrs().map(|mut addresses| addresses.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(StartError::Listen(format!("[general] host = \"{}\" has no address", general.host))),
        Err(error) => Err(StartError::Listen(format!("[general] host = \"{}\" cannot be resolved: {error}", general.host))),
    }
}

/// One listening socket per core (or for the first few, if so configured). All are bound before any core runs, so that no connection is lost to a
/// core that is not there yet.
fn listeners(snapshot: &Snapshot, address: &SocketAddr, options: &SocketOptions) -> Result<Vec<Vec<Fd>>, StartError> {
    let taken = |error: &io::Error| {
        let what = if error.kind() == io::ErrorKind::AddrInUse {
            "it is taken: another pg_dog or another program listens there; choose another [general] port, or stop that program".to_string()
        } else {
            error.to_string()
        };
        StartError::Listen(format!("cannot listen on {address}: {what}"))
    };
    socket::probe(address).map_err(|error| taken(&error))?;
    let wanted = if snapshot.cores.listeners == 0 { snapshot.general.workers } else { snapshot.cores.listeners };
    (0..snapshot.general.workers)
        .map(|core| (core < wanted).then(|| socket::listener(address, options).map_err(|error| taken(&error))).into_iter().collect())
        .collect()
}

/// Adds the Unix socket to the listeners of every core that has one; returns its path, and which file that is.
fn unix_listener(snapshot: &Snapshot, listeners: &mut [Vec<Fd>]) -> Result<Option<(PathBuf, socket::File)>, StartError> {
    let general = &snapshot.general;
    let Some(directory) = &general.unix_socket_dir else { return Ok(None) };
    let Address::Unix(path) = Address::in_directory(directory, general.port) else { return Ok(None) };
    let failed = |error: io::Error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => "it is taken: another program listens there".to_string(),
            _ => error.to_string(),
        };
        StartError::Listen(format!("[general] unix_socket_dir: cannot listen on {}: {what}", path.display()))
    };
    let socket = socket::unix_listener(&path, general.unix_socket_mode).map_err(failed)?;
    // A descriptor for each core, so that each can close its own.
    for own in listeners.iter_mut().filter(|own| !own.is_empty()) {
        own.push(socket::duplicate(socket).map_err(failed)?);
    }
    socket::close(socket);
    let file = socket::file_of(&path).map_err(failed)?;
    Ok(Some((path, file)))
}
