"""What pgbench cannot measure, by the load generator bench/load.rs: many clients, the open loop, idle crowds, logins, storms.

Each section gives cells like those of pgbench (`run["cells"]`), or a table of its own (`run["crowd"]`). Every section has a share of the
time: when it is used up, the rounds end, and the report says how many there were.
"""

import contextlib
import resource
import time

from . import load, report, systems
from .generator import Generator
from .host import BenchError, busy_seconds, cpu_seconds, kernel_memory, resident, tree_cpu
from .plan import Placement

SECTIONS = ("clients", "open", "connected", "memory", "reconnect", "storm", "cores")
# of the time that the sections have
SHARES = {"clients": 0.36, "open": 0.16, "connected": 0.12, "memory": 0.10, "reconnect": 0.08, "storm": 0.12, "cores": 0.06}
CLIENTS = (1, 8, 32, 128, 1000)
# PostgreSQL itself has no more connections for clients
DIRECT_MAX = 600
CONNECTED = (100, 1000, 10000)
ACTIVE = 32
LOADS = (0.3, 0.6, 0.85)
OPEN_CLIENTS = 128
RECONNECTING = 16
STORM_STEADY = 16
STORM_RATE = 1500
CONNECTING = 2000
# descriptors of a pooler that are not for clients
SPARE_FILES = 500
# so many rounds there are, whatever the clock says
ROUNDS_MIN = 3


class Bench:
    """All sections over one PostgreSQL; `run` collects what they found."""

    def __init__(self, host, postgres, options, run, deadline):
        self.host, self.postgres, self.options, self.run, self.deadline = host, postgres, options, run, deadline
        cpus, loads = options.cpus[-2:], options.load_cpus or options.cpus[-2:]
        self.cpus = set(loads)
        self.placement = Placement("clients", f"{len(cpus)} CPUs, pg_dog with {len(cpus)} workers, load by bench/load", cpus, loads, len(cpus))
        self.rows = 100_000 * options.scale
        self.crowd = min(options.crowd, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES)
        if self.crowd < options.crowd:
            print(f"bench/compare: descriptors for {self.crowd} clients only (ulimit -Hn)", flush=True)
        self.names = [name for name in options.systems if name in systems.POOLERS]
        self.secret = systems.PgDog.scram_secret(host, options)
        run.setdefault("crowd", {})
        postgres.pin(self.placement.load_cpus)

    def measure(self):
        """The wanted sections in order, each within its share of what time is left."""
        wanted = [name for name in SECTIONS if name in self.options.sections]
        for index, name in enumerate(wanted):
            share = SHARES[name] / sum(SHARES[later] for later in wanted[index:])
            self.until = time.monotonic() + max(0.0, self.deadline - time.monotonic()) * share
            try:
                getattr(self, f"section_{name}")()
            except BenchError as error:
                # The other sections still say something; the report names this one, and the run ends as failed.
                print(f"bench/compare: section {name}: {error}", flush=True)
                self.run["failures"].append(f"section {name}: {error}")

    # ---- tools ----

    @contextlib.contextmanager
    def pooler(self, name, mark="", metrics=False, **settings):
        """A started pooler; `name` is one of POOLERS or VARIANTS."""
        if name == "pgbouncer-plain":
            settings["secret"] = systems.PASSWORD
        elif name == "pg_dog-1":
            settings["workers"] = 1
        elif settings.get("auth") == "scram" and name == "pgbouncer":
            settings.setdefault("secret", self.secret)
        kind = systems.POOLERS[name.partition("-")[0]]
        made = kind(self.host, self.postgres, self.placement, "transaction", self.options, mark=f"-{name}{mark}", **settings)
        made.metrics_port = systems.free_port() if metrics else None
        try:
            made.start()
            yield made
        finally:
            made.stop()

    def poolers(self, stack, names, **settings):
        return {name: self.postgres if name == "direct" else stack.enter_context(self.pooler(name, **settings)) for name in names}

    def generator(self, system, mode, clients, **more):
        return Generator(self.host, system, self.cpus, mode, clients, rows=self.rows, **more)

    def rounds(self):
        """Numbers of rounds, as many as wanted or as time allows."""
        for turn in range(self.options.rounds):
            if turn >= ROUNDS_MIN and time.monotonic() > self.until:
                print(f"  time is up: {turn} of {self.options.rounds} rounds", flush=True)
                return
            yield turn

    def cell(self, placement, title, protocol, clients, names, **more):
        made = {"placement": placement, "title": title, "protocol": protocol, "clients": clients, "repeated": 0}
        made.update(more, systems={name: {"rounds": []} for name in names})
        self.run["cells"].append(made)
        return made

    def interleave(self, cells, ready, once):
        """Rounds over cells and systems, the order of systems rotated; a disturbed round of a cell is repeated while time and options allow."""
        for turn in self.rounds():
            for index, cell in enumerate(cells):
                names = list(cell["systems"])
                shift = (turn + index) % len(names)
                for attempt in range(self.options.retries + 1):
                    measured = {name: once(cell, name, ready) for name in names[shift:] + names[:shift]}
                    worst = max(one["foreign"] for one in measured.values())
                    if worst <= report.DISTURBED or time.monotonic() > self.until:
                        break
                cell["repeated"] += attempt
                for name, one in measured.items():
                    cell["systems"][name]["rounds"].append(one)
                    label = f"{cell['placement']}/{cell['protocol']}/{cell.get('label', cell['clients'])}"
                    load.progress(f"{turn + 1}/{self.options.rounds}", label, name, one)

    def window(self, generator, system, seconds=None, key="latency"):
        """One window of a load that runs: its numbers in the form of load.measure."""
        seconds = seconds or self.options.seconds
        generator.begin()
        first = self.clocks(system, generator)
        time.sleep(seconds)
        second = self.clocks(system, generator)
        found = generator.end()
        span = second["at"] - first["at"]
        transactions = found["transactions"]
        if transactions == 0:
            raise BenchError(f"{generator.what}: not one transaction in {span:.1f} s")
        result = {name: found[key][name] for name in ("p50", "p99", "p999", "max", "mean")}
        result.update(tps=found["tps"], samples=transactions, waiting=found["waiting"], planned=found["planned"], derived=found["derived"])
        others = (second["busy"] - first["busy"]) - (second["ours"] - first["ours"])
        result["foreign"] = max(0.0, others) / (span * len(self.placement.all_cpus()))
        if system is not self.postgres:
            total, user, kernel = (b - a for a, b in zip(first["pooler"], second["pooler"]))
            # The window of the generator is longer than that of the clocks by the way of two words through a pipe.
            done = transactions * span / found["seconds"]
            result["cpu"] = total * 1e6 / done
            result["cpu_user"] = result["cpu"] * user / (user + kernel) if user + kernel else 0.0
            result["cores"] = total / span
        return result

    def clocks(self, system, generator):
        taken = {"pooler": tree_cpu(system.process.pid) if system is not self.postgres else (0.0, 0, 0), "at": time.monotonic()}
        ours = taken["pooler"][0] + cpu_seconds(generator.process.pid) + tree_cpu(self.postgres.process.pid)[0]
        return {**taken, "ours": ours, "busy": busy_seconds(self.placement.all_cpus())}

    def loaded(self, system, mode, clients, **more):
        """A load of its own for one window."""
        with self.generator(system, mode, clients, **more) as generator:
            time.sleep(self.options.warmup)
            return self.window(generator, system)

    # ---- sections ----

    def section_clients(self):
        """Closed loop, from one client to a thousand on a pool of 20."""
        names = [name for name in self.options.systems]
        protocols = [name for name in ("simple", "extended") if name in self.options.protocols]
        cells = []
        for protocol in protocols:
            for clients in self.options.clients or CLIENTS:
                fitting = [name for name in names if name != "direct" or clients <= DIRECT_MAX]
                cells.append(self.cell("clients", self.placement.title, protocol, clients, fitting))
        with contextlib.ExitStack() as stack:
            ready = self.poolers(stack, names)
            self.interleave(cells, ready, lambda cell, name, ready: self.loaded(ready[name], "closed", cell["clients"], protocol=cell["protocol"]))

    def section_open(self):
        """Fixed rates, latency from the planned start. The rates are shares of what the slowest pooler reaches in a closed loop here and now."""
        with contextlib.ExitStack() as stack:
            ready = self.poolers(stack, self.options.systems)
            knees = {name: max(self.loaded(ready[name], "closed", OPEN_CLIENTS)["tps"] for _ in range(2)) for name in self.names}
            knee = min(knees.values())
            self.run["crowd"]["knees"] = knees
            title = f"open loop over {OPEN_CLIENTS} connections, {', '.join(f'{share:.0%}' for share in LOADS)} of {knee:.0f}/s"
            cells = []
            for share in LOADS:
                rate = round(knee * share, -2) or knee * share
                cells.append(self.cell("open", title, "simple", OPEN_CLIENTS, self.options.systems, rate=rate, label=f"{rate:.0f}/s"))
            self.interleave(cells, ready, lambda cell, name, ready: self.loaded(ready[name], "open", OPEN_CLIENTS, rate=cell["rate"]))

    def section_connected(self):
        """The same few active clients while 100, 1,000 and 10,000 are connected: what a client costs the others. All crowds stand at the same
        time, each at a pooler of its own, so that rounds interleave."""
        counts = [min(count, self.crowd) for count in CONNECTED]
        title = f"{ACTIVE} active of so many connected clients"
        cells = [self.cell("connected", title, "simple", count, self.names) for count in dict.fromkeys(counts)]
        with contextlib.ExitStack() as stack:
            ready = {}
            for cell in cells:
                for name in self.names:
                    system = stack.enter_context(self.pooler(name, f"-{cell['clients']}"))
                    stack.enter_context(self.generator(system, "idle", cell["clients"] - ACTIVE, connecting=256))
                    ready[cell["clients"], name] = system
            self.interleave(cells, ready, lambda cell, name, ready: self.loaded(ready[cell["clients"], name], "closed", ACTIVE))

    def section_memory(self):
        """Memory and idle CPU with a crowd that is connected and silent."""
        rows = {name: [] for name in self.names}
        self.run["crowd"]["memory"] = {"clients": self.crowd, "systems": rows}
        for turn in self.rounds():
            for name in rotated(self.names, turn):
                with self.pooler(name, auth="scram") as system:
                    # Pools, buffers and the allocator's first pages are there before anything is counted.
                    self.loaded(system, "closed", 200)
                    time.sleep(0.3)
                    before, kernel = resident(system.process.pid), kernel_memory()
                    with self.generator(system, "idle", self.crowd, connecting=256):
                        time.sleep(1.0)
                        after, slabs = resident(system.process.pid), kernel_memory()
                        used, start = cpu_seconds(system.process.pid), time.monotonic()
                        time.sleep(2 * self.options.seconds)
                        idle = (cpu_seconds(system.process.pid) - used) / (time.monotonic() - start)
                row = {"bytes": (after - before) / self.crowd, "kernel": (slabs - kernel) / self.crowd, "idle_cpu": idle, "resident": after}
                rows[name].append(row)
                shown = f"{row['bytes']:6.0f} B per idle client (kernel, both ends: {row['kernel']:.0f} B), idle CPU {100 * idle:.2f} %"
                print(f"{turn + 1}/{self.options.rounds} {'memory/' + str(self.crowd):26} {name:16} {shown}", flush=True)

    def section_reconnect(self):
        """Connect, SCRAM login, one query, disconnect. PgBouncer with passwords and with SCRAM secrets in its auth_file."""
        names = [name for name in ("pgbouncer-plain", *self.names) if name.partition("-")[0] in self.names]
        cell = self.cell("reconnect", "connect, log in by SCRAM, one query, leave", "simple", RECONNECTING, names)
        with contextlib.ExitStack() as stack:
            ready = self.poolers(stack, names, auth="scram")
            self.interleave([cell], ready, lambda cell, name, ready: self.loaded(ready[name], "reconnect", RECONNECTING))

    def section_storm(self):
        """Everybody logs in at once, with few steady clients (open loop) measured before and meanwhile."""
        rows = {name: [] for name in self.names}
        self.run["crowd"]["storm"] = {"clients": self.crowd, "steady": STORM_STEADY, "rate": STORM_RATE, "systems": rows}
        for turn in self.rounds():
            for name in rotated(self.names, turn):
                with self.pooler(name, auth="scram", metrics=True) as system:
                    row = self.storm(system)
                    row["turn"] = system.longest_turn() if name == "pg_dog" else None
                rows[name].append(row)
                shown = f"{row['seconds']:6.2f} s, {row['failed']} failed, login p99 {row['login_p99'] / 1000:.0f} ms, CPU {row['cpu']:.0f} us/login"
                shown += f"; steady p99 {row['quiet_p99']:.0f} -> {row['p99']:.0f} us"
                shown += f", longest turn {1000 * row['turn']:.1f} ms" if row["turn"] is not None else ""
                print(f"{turn + 1}/{self.options.rounds} {'storm/' + str(self.crowd):26} {name:16} {shown}", flush=True)

    def storm(self, system):
        with self.generator(system, "open", STORM_STEADY, rate=STORM_RATE) as steady:
            time.sleep(self.options.warmup)
            quiet = self.window(steady, system)
            steady.begin()
            used, start = cpu_seconds(system.process.pid), time.monotonic()
            crowd = self.generator(system, "storm", self.crowd, tolerant=True, connecting=min(CONNECTING, self.crowd))
            with crowd:
                span = time.monotonic() - start
                total = cpu_seconds(system.process.pid) - used
                beside = steady.end()
                ready = crowd.ready
        if crowd.ready["login"]["count"] == 0:
            raise BenchError(f"{crowd.what}: nobody got in: {ready['error']}")
        return {
            "seconds": ready["seconds"],
            "failed": ready["failed"],
            "error": ready["error"],
            "login_p50": ready["login"]["p50"],
            "login_p99": ready["login"]["p99"],
            # less what the steady clients cost in the same time
            "cpu": (total - quiet["cores"] * span) * 1e6 / ready["login"]["count"],
            "quiet_p99": quiet["p99"],
            **{key: beside["latency"][key] for key in ("p50", "p99", "p999", "max")},
            "foreign": quiet["foreign"],
        }

    def section_cores(self):
        """Two data cores against one."""
        if "pg_dog" not in self.names or len(self.placement.pooler_cpus) < 2:
            return
        names = ["pg_dog-1", "pg_dog"]
        cells = [self.cell("cores", "one data core against two on the same CPUs", "simple", clients, names) for clients in (128, 1000)]
        with contextlib.ExitStack() as stack:
            ready = self.poolers(stack, names)
            self.interleave(cells, ready, lambda cell, name, ready: self.loaded(ready[name], "closed", cell["clients"]))


def rotated(names, turn):
    shift = turn % len(names)
    return names[shift:] + names[:shift]
