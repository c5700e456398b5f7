"""The systems under comparison: PostgreSQL itself, PgBouncer, pg_dog. All on 127.0.0.1, without TLS; without passwords unless logins are measured.

Each pooler gets the same pool (20 servers), the same mode and the same CPUs; what differs is written here and nowhere else.
"""

import glob
import os
import re
import shutil
import signal
import socket
import time
import urllib.request

from .host import BenchError, pin_tree, version_of

POOL = 20
USER = DATABASE = "bench"
PASSWORD = "bench"
TITLES = {"direct": "direct", "pgbouncer": "PgBouncer", "pg_dog": "pg_dog"}
# More of the same: PgBouncer that knows passwords instead of SCRAM secrets, pg_dog with one data core.
VARIANTS = {"pgbouncer-plain": "PgBouncer, plain passwords", "pg_dog-1": "pg_dog, one core"}

POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 900,
    "shared_buffers": "256MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "2GB",
    "jit": "off",
    "max_parallel_workers": 0,
    "log_checkpoints": "off",
}


def newest_postgres():
    """Directory of programs of the newest PostgreSQL that Debian's packages have installed."""
    found = []
    for path in glob.glob("/usr/lib/postgresql/*/bin"):
        version = os.path.basename(os.path.dirname(path))
        if version.isdigit() and all(os.access(os.path.join(path, tool), os.X_OK) for tool in ("postgres", "initdb", "pgbench", "psql")):
            found.append((int(version), path))
    if not found:
        raise BenchError("no PostgreSQL under /usr/lib/postgresql: apt-get install postgresql")
    return max(found)[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Postgres:
    """The server behind everything, and the system `direct`."""

    name = "direct"

    def __init__(self, host, scale):
        self.host, self.scale, self.bin = host, scale, newest_postgres()
        self.port = free_port()
        self.process = None

    def tool(self, name):
        return os.path.join(self.bin, name)

    def start(self, cpus):
        data = self.host.path("data")
        self.host.run("initdb", [self.tool("initdb"), "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        # The load generator connects from more than one loopback address, because one has too few ports.
        with open(os.path.join(data, "pg_hba.conf"), "a") as rules:
            rules.write("host all all 127.0.0.0/8 trust\n")
        command = [self.tool("postgres"), "-D", data, "-p", str(self.port)]
        for key, value in POSTGRES_SETTINGS.items():
            command += ["-c", f"{key}={value}"]
        # SIGINT is PostgreSQL's fast shutdown; it does not wait for clients.
        self.process = self.host.start("postgres", command, stop_signal=signal.SIGINT)
        wait_ready(self.host, self, self, database="postgres")
        self.sql("CREATE DATABASE bench", database="postgres")
        self.host.run("pgbench-init", [self.tool("pgbench"), "-i", "-q", "-s", str(self.scale), *self.target()])
        # A sequential scan would not stay in shared_buffers (it uses a small ring), so ask for it, when the extension is there.
        self.sql(
            "DO $$ BEGIN CREATE EXTENSION pg_prewarm; PERFORM pg_prewarm('pgbench_accounts'), pg_prewarm('pgbench_accounts_pkey');"
            " EXCEPTION WHEN OTHERS THEN PERFORM count(*) FROM pgbench_accounts; END $$"
        )
        self.sql("CHECKPOINT")
        self.pin(cpus)

    def pin(self, cpus):
        pin_tree(self.process.pid, cpus)

    def target(self, port=None, database=DATABASE):
        return ["-h", "127.0.0.1", "-p", str(port or self.port), "-U", USER, database]

    def sql(self, text, port=None, database=DATABASE):
        return self.host.run("psql", [self.tool("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, *self.target(port, database)], timeout=60)

    def version(self):
        return version_of(self.tool("postgres"), "--version")


class Pooler:
    """One pooler process in one placement: `start` makes it ready, `stop` ends it."""

    def __init__(self, host, postgres, placement, mode, options, auth="trust", secret=PASSWORD, workers=None, mark=""):
        """`auth` is trust or scram, `secret` what PgBouncer's auth_file says of the user, `mark` tells instances of one kind apart."""
        self.host, self.postgres, self.placement, self.mode, self.options = host, postgres, placement, mode, options
        self.auth, self.secret, self.workers = auth, secret, workers or placement.workers
        self.port = free_port()
        self.process = None
        # of pg_dog's metrics page, where a section wants to look at it
        self.metrics_port = None
        self.label = f"{self.name}-{placement.name}-{mode}{mark}"

    def start(self):
        self.process = self.host.start(self.label, self.command(), self.placement.pooler_cpus)
        wait_ready(self.host, self.postgres, self)

    def stop(self):
        if self.process:
            self.host.stop(self.process)

    def write(self, name, text):
        return self.host.write(f"{self.label}-{name}", text)


class PgBouncer(Pooler):
    """Debian's package: one process, one thread, epoll by libevent."""

    name = "pgbouncer"

    @staticmethod
    def program():
        found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
        if not found:
            raise BenchError("no pgbouncer: apt-get install pgbouncer")
        return found

    @classmethod
    def version(cls, options):
        return version_of(cls.program(), "--version")

    def command(self):
        users = self.write("users.txt", f'"{USER}" "{self.secret}"\n')
        auth_type = {"trust": "trust", "scram": "scram-sha-256"}[self.auth]
        config = self.write(
            "pgbouncer.ini",
            f"""[databases]
{DATABASE} = host=127.0.0.1 port={self.postgres.port} dbname={DATABASE}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = {auth_type}
auth_file = {users}
pool_mode = {self.mode}
default_pool_size = {POOL}
max_client_conn = 30000
listen_backlog = 4096
server_tls_sslmode = disable
client_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
log_stats = 0
""",
        )
        return [self.program(), "-q", config]


class PgDog(Pooler):
    """Ours: `workers` data cores."""

    name = "pg_dog"

    @classmethod
    def version(cls, options):
        return version_of(options.pg_dog, "--version")

    @staticmethod
    def program(host, options):
        """A copy that the servers' user may execute, and that a build in the middle of the run does not change."""
        program = host.path("pg_dog")
        if not os.path.exists(program):
            try:
                shutil.copyfile(options.pg_dog, program)
            except OSError as error:
                raise BenchError(f"cannot read pg_dog's program: {error}; build it (cargo build --release) or name it with --pg-dog") from error
            os.chmod(program, 0o755)
        return program

    @classmethod
    def scram_secret(cls, host, options):
        """The SCRAM secret of the benchmark's password, as PostgreSQL would store it."""
        return host.run("hash", [cls.program(host, options), "hash", PASSWORD]).strip()

    def command(self):
        program = self.program(self.host, self.options)
        cores = list(self.placement.cores) + list(self.options.pg_dog_cores)
        config = self.write(
            "pgdog.toml",
            f"""[general]
host = "127.0.0.1"
port = {self.port}
workers = {self.workers}
default_pool_size = {POOL}
pooler_mode = "{self.mode}"
auth_type = "{self.auth}"
log_level = "warn"
"""
            + (f'openmetrics_host = "127.0.0.1"\nopenmetrics_port = {self.metrics_port}\n' if self.metrics_port else "")
            + ("\n[cores]\n" + "".join(f"{line}\n" for line in cores) if cores else "")
            + f"""
[[databases]]
name = "{DATABASE}"
host = "127.0.0.1"
port = {self.postgres.port}
database_name = "{DATABASE}"
""",
        )
        users = self.write("users.toml", f'[[users]]\nname = "{USER}"\ndatabase = "{DATABASE}"\npassword = "{PASSWORD}"\npool_size = {POOL}\n')
        return [program, "-c", config, "-u", users]


    def longest_turn(self):
        """Seconds of the longest turn of any core's loop since the start; None when its metrics do not say."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
                text = page.read().decode()
        except (OSError, ValueError):
            return None
        found = re.findall(r"^core_longest_turn_seconds(?:\{.*\})? (\S+)$", text, re.M)
        return max(map(float, found), default=None)


POOLERS = {"pgbouncer": PgBouncer, "pg_dog": PgDog}


def wait_ready(host, postgres, system, database=DATABASE, patience=20):
    """Return when the system answers a query; an error with its log when it ends or stays silent."""
    label = "postgres" if system is postgres else system.label
    last, deadline = "", time.monotonic() + patience
    while time.monotonic() < deadline:
        check_alive(host, system, label)
        try:
            if postgres.sql("SELECT 41 + 1", system.port, database).strip() == "42":
                return
        except BenchError as error:
            last = str(error)
        time.sleep(0.1)
    raise BenchError(f"{label} does not answer after {patience} s: {last}\nits log:\n{host.log_tail(label)}")


def check_alive(host, system, label=None):
    """An error when the system's process has ended."""
    code = system.process.poll()
    if code is not None:
        label = label or getattr(system, "label", "postgres")
        raise BenchError(f"{label} has ended with {code}; its log:\n{host.log_tail(label)}")
