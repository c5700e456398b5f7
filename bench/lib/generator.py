"""bench/load.rs as a process: built once, started per measurement, told when windows begin and end."""

import json
import os
import shutil
import signal
import subprocess

from .host import BenchError

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# seconds until all its connections are logged in
PATIENCE = 120


def build():
    """Path of the load generator; cargo builds it when it is not up to date."""
    command = ["cargo", "build", "--release", "--bench", "load", "--message-format=json", "--manifest-path", os.path.join(HERE, "Cargo.toml")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise BenchError(f"cargo is needed for the load generator (or name it with --load): {error}") from error
    for line in done.stdout.splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("reason") == "compiler-artifact" and said["target"]["name"] == "load" and said.get("executable"):
            return said["executable"]
    raise BenchError(f"the load generator does not build:\n{done.stderr.strip()}")


class Generator:
    """A running load generator. A failed query, a lost connection or a refused login ends the run, unless `tolerant`."""

    def __init__(self, host, system, cpus, mode, clients, tolerant=False, **options):
        self.host, self.system, self.tolerant = host, system, tolerant
        self.what = f"{mode} load of {clients} clients on {getattr(system, 'label', system.name)}"
        program = host.path("load")
        if not os.path.exists(program):
            shutil.copyfile(host.load_program, program)
            os.chmod(program, 0o755)
        command = [program, "--port", str(system.port), "--mode", mode, "--clients", str(clients)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = host.start(f"load-{mode}", command, cpus, stop_signal=signal.SIGKILL, **pipes)
        self.ready = None

    def wait_ready(self):
        """All connections are there (or, when tolerant, settled); what it cost."""
        if self.ready is None:
            self.ready = self.hear("ready")
            self.judge(self.ready)
        return self

    def begin(self):
        self.say("begin")
        self.hear("begun")

    def end(self):
        """What happened since `begin`."""
        self.say("end")
        found = self.hear("window")
        self.judge(found)
        return found

    def close(self):
        self.host.stop(self.process)

    def judge(self, found):
        if found["failed"] and not self.tolerant:
            log = self.host.log_tail(getattr(self.system, "label", "postgres"))
            raise BenchError(f"{self.what}: {found['failed']} failures, the first: {found['error']}\nlog of the system:\n{log}")

    def say(self, word):
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise BenchError(f"{self.what}: the generator has ended: {self.process.stdout.read().strip()}") from error

    def hear(self, event):
        alarm(PATIENCE, self.what)
        try:
            line = self.process.stdout.readline()
        finally:
            signal.alarm(0)
        if not line.startswith("{"):
            raise BenchError(f"{self.what}: {(line + self.process.stdout.read()).strip() or 'the generator ended without a word'}")
        said = json.loads(line)
        if said["event"] != event:
            raise BenchError(f"{self.what}: said {said['event']} instead of {event}")
        return said

    def __enter__(self):
        return self.wait_ready()

    def __exit__(self, *_):
        self.close()


def alarm(seconds, what):
    """An answer that does not come ends the run instead of holding it up."""

    def late(number, frame):
        raise BenchError(f"{what}: no answer within {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
