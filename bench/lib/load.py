"""One cell: pgbench against one system, and what it cost, measured over a window inside the run.

The window opens after all clients are connected and a warm-up, and closes before pgbench stops, so that logins, the first
transactions and the goodbye are not in the numbers. Latency comes from pgbench's log of single transactions, CPU time from the
process's own clock read at both ends of the window, transactions from the log lines that end inside it.
"""

import glob
import math
import os
import re
import shutil
import signal
import subprocess
import time

from .host import BenchError, busy_seconds, tree_cpu
from .systems import check_alive

FAILED = re.compile(r"number of failed transactions: (\d+)")
PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")
MIN_SAMPLES = 200
# seconds until all clients are connected and the first lines of the log are on disk
CONNECT_PATIENCE = 40
# seconds of load after the window
AFTER = 0.05


class Cell:
    """What is asked of every system: placement (an object of `plan`), protocol, number of clients."""

    def __init__(self, placement, protocol, clients):
        self.placement, self.protocol, self.clients = placement, protocol, clients
        self.mode = "session" if protocol == "prepared" else "transaction"

    def key(self):
        return f"{self.placement.name}/{self.protocol}/{self.clients}"


def percentile(ordered, share):
    """Nearest rank: the smallest value that at least `share` of all values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Run:
    """A pgbench process and its log files."""

    def __init__(self, host, postgres, system, cell, seconds, options):
        self.host, self.system, self.cell, self.options = host, system, cell, options
        self.what = f"{system.name} at {cell.key()}"
        self.prefix = host.path("tx")
        self.jobs = min(cell.clients, len(cell.placement.load_cpus))
        # pgbench counts -T from before it connects, so give it more than it needs: `finish` ends it.
        self.limit = math.ceil(options.warmup + seconds) + CONNECT_PATIENCE + 20
        command = [postgres.tool("pgbench"), "-n", "-S", "-M", cell.protocol, "-c", str(cell.clients), "-j", str(self.jobs)]
        command += ["-T", str(self.limit), "-l", f"--log-prefix={self.prefix}"]
        if options.sampling_rate < 1:
            command.append(f"--sampling-rate={options.sampling_rate}")
        if options.rate:
            command.append(f"--rate={options.rate}")
        self.remove_logs()
        command += postgres.target(system.port)
        self.process = host.start("pgbench", command, cell.placement.load_cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def logs(self):
        return glob.glob(f"{self.prefix}.*")

    def remove_logs(self):
        for path in self.logs():
            os.unlink(path)

    def wait_started(self, patience=CONNECT_PATIENCE):
        """Wait for the first flushed lines of a log: every client is connected then (pgbench starts them together)."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if any(os.path.getsize(path) for path in self.logs()):
                return
            if self.process.poll() is not None:
                self.finish(ended=True)
                raise BenchError(f"pgbench against {self.what} ended before it logged a transaction")
            check_alive(self.host, self.system)
            time.sleep(0.01)
        raise BenchError(f"{self.what}: no transaction within {patience} s; log of the system:\n{self.system_log()}")

    def system_log(self):
        return self.host.log_tail(getattr(self.system, "label", "postgres"))

    def finish(self, ended=False):
        """End the load in the way of its own timer (SIGALRM: running transactions end, the summary is printed).

        Any failed transaction, any error text, a bad exit code or a dead system fails the whole run.
        """
        if not ended and self.process.poll() is None:
            self.process.send_signal(signal.SIGALRM)
        try:
            output, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            raise BenchError(f"pgbench against {self.what} hangs; log of the system:\n{self.system_log()}") from None
        finally:
            self.host.stop(self.process)
        failed, processed = FAILED.search(output), PROCESSED.search(output)
        bad = self.process.returncode != 0 or "error:" in output or not processed or int(processed[1]) == 0
        if bad or (failed and int(failed[1]) > 0):
            said = f"{output.strip()}\nlog of the system:\n{self.system_log()}"
            raise BenchError(f"pgbench against {self.what} failed ({self.process.returncode}):\n{said}")
        check_alive(self.host, self.system)

    def window(self, start, end):
        """Latencies (microseconds, sorted) of the transactions that ended in the window of wall-clock seconds."""
        chosen, last = [], 0.0
        for path in self.logs():
            with open(path, "rb") as log:
                data = log.read()
            stride = len(data.partition(b"\n")[0].split())
            fields = data.split()
            if stride < 6 or len(fields) % stride:
                raise BenchError(f"{self.what}: unexpected format of pgbench's log")
            for latency, second, micros in zip(fields[2::stride], fields[4::stride], fields[5::stride]):
                ended = int(second) + int(micros) / 1e6
                last = max(last, ended)
                if start <= ended < end:
                    if not latency.isdigit():
                        raise BenchError(f"{self.what}: a transaction in pgbench's log is '{latency.decode()}'")
                    chosen.append(int(latency))
        self.remove_logs()
        if last < end:
            raise WindowMissed(f"{self.what}: pgbench ended {end - last:.2f} s before the window did")
        chosen.sort()
        return chosen


class WindowMissed(Exception):
    """The machine was so busy that the window lay outside the load: worth one more try, never a number."""


def measure(host, postgres, system, cell, options):
    """Run one cell on one system; a dictionary of numbers. One repetition when the window was missed."""
    try:
        return measure_once(host, postgres, system, cell, options)
    except WindowMissed:
        try:
            return measure_once(host, postgres, system, cell, options)
        except WindowMissed as error:
            raise BenchError(str(error)) from error


def measure_once(host, postgres, system, cell, options):
    run = Run(host, postgres, system, cell, options.seconds, options)
    run.wait_started()
    time.sleep(options.warmup)
    first = snapshot(postgres, system, run, cell)
    time.sleep(options.seconds)
    second = snapshot(postgres, system, run, cell)
    time.sleep(AFTER)
    run.finish()
    ordered = run.window(first["at"], second["at"])
    if len(ordered) < MIN_SAMPLES:
        raise BenchError(f"{run.what}: only {len(ordered)} transactions in the window: longer cells (--seconds) or a higher --sampling-rate")
    span = second["at"] - first["at"]
    transactions = len(ordered) / options.sampling_rate
    result = {
        "tps": transactions / span,
        "p50": percentile(ordered, 0.50),
        "p99": percentile(ordered, 0.99),
        "p999": percentile(ordered, 0.999),
        "max": ordered[-1],
        "mean": sum(ordered) / len(ordered),
        "samples": len(ordered),
        "foreign": max(0.0, (second["busy"] - first["busy"]) - (second["ours"] - first["ours"])) / (span * len(cell.placement.all_cpus())),
    }
    if system is not postgres:
        total, user, kernel = (b - a for a, b in zip(first["pooler"], second["pooler"]))
        result["cpu"] = total * 1e6 / transactions
        result["cpu_user"] = result["cpu"] * user / (user + kernel) if user + kernel else 0.0
        result["cores"] = total / span
    return result


def snapshot(postgres, system, run, cell):
    """Clocks at one end of the window: the pooler's first, next to the time."""
    taken = {"pooler": tree_cpu(system.process.pid) if system is not postgres else (0.0, 0, 0), "at": time.time()}
    ours = taken["pooler"][0] + tree_cpu(run.process.pid)[0] + tree_cpu(postgres.process.pid)[0]
    return {**taken, "ours": ours, "busy": busy_seconds(cell.placement.all_cpus())}


def syscalls(host, postgres, system, cell, options, seconds=1.0):
    """(system calls per transaction, how counted) in a short pass of its own, because counting costs time; (None, why) without a counter."""
    run = Run(host, postgres, system, cell, seconds + 1, options)
    run.wait_started()
    time.sleep(options.warmup)
    try:
        pid = system.process.pid
        start, end, count, how = count_perf(pid, seconds) or count_strace(host, pid, seconds) or (0, 0, None, "no counter")
    finally:
        time.sleep(AFTER)
        run.finish()
    if count is None:
        run.remove_logs()
        return None, "neither perf nor strace could attach"
    try:
        ordered = run.window(start, end)
    except WindowMissed as error:
        return None, str(error)
    if not ordered:
        return None, "no transactions in the window"
    transactions = len(ordered) / options.sampling_rate / (end - start) * (seconds if how == "perf" else end - start)
    return count / transactions, how


def count_perf(pid, seconds):
    """Count with the kernel's tracepoint: next to no disturbance. Needs perf and the right to use it."""
    if not shutil.which("perf"):
        return None
    start = time.time()
    command = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", str(pid), "--", "sleep", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    end = time.time()
    for line in done.stderr.splitlines():
        fields = line.split(",")
        if done.returncode == 0 and len(fields) > 2 and fields[2].startswith("raw_syscalls") and fields[0].isdigit():
            return start, end, int(fields[0]), "perf"
    return None


def count_strace(host, pid, seconds):
    """Count with strace: slows the process down so much that batches differ; better than nothing, and named in the table."""
    if not shutil.which("strace"):
        return None
    path = host.path("strace.out")
    tracer = subprocess.Popen(["strace", "-c", "-f", "-qq", "-o", path, "-p", str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    start = time.time()
    time.sleep(seconds)
    end = time.time()
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    try:
        with open(path) as table:
            rows = [line.split() for line in table]
        os.unlink(path)
        total = next(row for row in rows if row and row[-1] == "total")
        # strace counted from its attach on, a little longer than the window.
        return start - 0.2, end, int(total[3] if len(total) > 4 else total[2]), "strace"
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def progress(turn, label, name, one):
    """One line per measurement, as it comes."""
    cpu = f"  cpu/tx {one['cpu']:6.2f} us" if "cpu" in one else ""
    shown = f"p50 {one['p50']:6.0f}  p99 {one['p99']:6.0f}  p99.9 {one['p999']:6.0f} us  {one['tps']:8.0f} tx/s{cpu}"
    print(f"{turn} {label:26} {name:16} {shown}  (others {100 * one['foreign']:.0f} %)", flush=True)
