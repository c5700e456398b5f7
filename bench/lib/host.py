"""What the benchmark needs of the machine: processes that surely end, CPU clocks, affinity, and a few facts.

Every process is stopped by the id that we started it with, never by name. A child also gets a signal when this script dies
without a chance to clean up, so that no PostgreSQL is left behind.
"""

import ctypes
import os
import platform
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The run cannot give honest numbers; the text says which system, which cell and why."""


def choose_user(name):
    """The account that runs the servers: ours, or, for root, an unprivileged one (PostgreSQL and PgBouncer refuse root)."""
    if os.geteuid() != 0:
        return None
    for candidate in [name] if name else ["postgres", "nobody"]:
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return entry
    raise BenchError("run as root, but there is no unprivileged user to run the servers as: name one with --user")


def raise_limits():
    """Open files for 10,000 clients and locked memory for io_uring, as far as we may; children inherit them."""
    for what, wanted in ((resource.RLIMIT_NOFILE, 65536), (resource.RLIMIT_MEMLOCK, 1 << 30)):
        soft, hard = resource.getrlimit(what)
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            continue
        if hard != resource.RLIM_INFINITY and hard < wanted:
            try:
                resource.setrlimit(what, (wanted, wanted))
            except (ValueError, OSError):
                resource.setrlimit(what, (hard, hard))
        else:
            resource.setrlimit(what, (wanted, hard))


def process_tree(pid):
    """`pid` and all its descendants that are alive."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as children:
                    todo.extend(int(child) for child in children.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def cpu_seconds(pid):
    """CPU time of a process with all its threads, living and ended, to the nanosecond (the process's CPU clock)."""
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def user_system_ticks(pid):
    """(user, system) ticks; the kernel samples them, so they only tell how the exact total above divides."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return int(fields[11]), int(fields[12])
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0


def tree_cpu(pid):
    """(CPU seconds, user ticks, system ticks) of a process and its descendants."""
    total, user, system = 0.0, 0, 0
    for one in process_tree(pid):
        total += cpu_seconds(one)
        ticks = user_system_ticks(one)
        user, system = user + ticks[0], system + ticks[1]
    return total, user, system


def resident(pid):
    """Bytes of a process tree that are in memory and its own (shared pages of programs are counted once per process; there is one)."""
    total = 0
    for one in process_tree(pid):
        try:
            with open(f"/proc/{one}/status") as status:
                total += sum(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def kernel_memory():
    """Bytes of the kernel that sockets live in: its slabs and TCP's buffers, of the whole machine."""
    with open("/proc/meminfo") as info:
        slab = next(int(line.split()[1]) << 10 for line in info if line.startswith("Slab:"))
    pages = 0
    with open("/proc/net/sockstat") as stat:
        for line in stat:
            if line.startswith("TCP:"):
                pages = int(line.split()[-1])
    return slab + pages * os.sysconf("SC_PAGE_SIZE")


def busy_seconds(cpus):
    """Seconds that these CPUs were not idle since boot, with time stolen by a hypervisor: to see what others took."""
    total = 0
    with open("/proc/stat") as stat:
        for line in stat:
            name, _, rest = line.partition(" ")
            if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cpus:
                ticks = [int(field) for field in rest.split()[:8]]
                total += sum(ticks) - ticks[3] - ticks[4]
    return total / TICKS


def pin_tree(pid, cpus):
    """Move every thread of a process tree to `cpus`; later children inherit it."""
    for one in process_tree(pid):
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                os.sched_setaffinity(int(task), cpus)
        except (FileNotFoundError, ProcessLookupError):
            pass


def version_of(*command):
    """First line that `command` prints, or a word that says that it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else "unknown"


def cpu_model():
    """Name of the CPU as the kernel has it."""
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.machine()


class Host:
    """Starts processes as the right user on the right CPUs, in one working directory, and stops them all at the end."""

    def __init__(self, user, workdir):
        self.user = choose_user(user)
        self.libc = ctypes.CDLL(None, use_errno=True)
        raise_limits()
        if workdir is None and os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 2 << 30:
            workdir = "/dev/shm"
        self.workdir = tempfile.mkdtemp(prefix="pg_dog-bench-", dir=workdir)
        self.own(self.workdir)
        self.running = []
        # set by whoever needs the load generator
        self.load_program = None

    def own(self, path):
        """Hand a path that we made to the servers' user."""
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def path(self, *parts):
        return os.path.join(self.workdir, *parts)

    def write(self, name, text):
        """Write a file in the working directory that the servers may read; its path."""
        path = self.path(name)
        with open(path, "w") as out:
            out.write(text)
        self.own(path)
        return path

    def identity(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def environment(self):
        keep = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**keep, "HOME": self.workdir, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "PGPASSWORD": "bench", "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"}

    def start(self, name, command, cpus=None, stop_signal=signal.SIGTERM, **options):
        """Start a process that `stop` or `close` ends; its output goes to `<name>.log` unless `options` say otherwise."""

        def before_exec():
            self.libc.prctl(PR_SET_PDEATHSIG, int(stop_signal))

        log = open(self.path(f"{name}.log"), "ab")
        settings = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT, "cwd": self.workdir, **options}
        if cpus:
            command = ["taskset", "-c", ",".join(map(str, sorted(cpus))), *command]
        try:
            process = subprocess.Popen(
                command, env=self.environment(), start_new_session=True, preexec_fn=before_exec, **self.identity(), **settings
            )
        except OSError as error:
            raise BenchError(f"cannot start {name}: {error}") from error
        finally:
            log.close()
        process.label, process.stop_signal = name, stop_signal
        self.running.append(process)
        return process

    def run(self, name, command, timeout=120, cpus=None):
        """Run a process to its end and give back its standard output; a failure is an error with what it printed."""
        process = self.start(name, command, cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} did not end within {timeout} s") from None
        finally:
            self.stop(process)
        if process.returncode != 0:
            raise BenchError(f"{name} ended with {process.returncode}:\n{output.strip()}")
        return output

    def log_tail(self, name, lines=15):
        """The last lines of a process's log, for error messages."""
        try:
            with open(self.path(f"{name}.log"), errors="replace") as log:
                return "".join(log.readlines()[-lines:]).strip() or "(empty log)"
        except FileNotFoundError:
            return "(no log)"

    def stop(self, process):
        """Ask, wait, then kill; harmless for a process that has ended."""
        for number, patience in ((process.stop_signal, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if process.poll() is not None:
                break
            process.send_signal(number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                print(f"{process.label} (process {process.pid}) did not end by {signal.Signals(number).name}", file=sys.stderr)
        if process in self.running:
            self.running.remove(process)

    def close(self, keep=False):
        """Stop everything, youngest first, and remove the working directory."""
        for process in reversed(self.running[:]):
            self.stop(process)
        if keep:
            print(f"kept {self.workdir}", file=sys.stderr)
        else:
            shutil.rmtree(self.workdir, ignore_errors=True)
