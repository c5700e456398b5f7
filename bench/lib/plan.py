"""What is measured and what is demanded: placements, cells, targets."""

from .load import Cell


class Placement:
    """Which CPUs the pooler and the load (pgbench and PostgreSQL) run on, and how many data cores pg_dog gets."""

    def __init__(self, name, title, pooler_cpus, load_cpus, workers, cores=()):
        self.name, self.title, self.pooler_cpus, self.load_cpus = name, title, set(pooler_cpus), set(load_cpus)
        self.workers, self.cores = workers, cores

    def all_cpus(self):
        return self.pooler_cpus | self.load_cpus


def placements(options):
    """The placements that were asked for, with their cells; the sets of CPUs come from the options."""
    cpus, load = options.cpus, options.load_cpus or options.cpus
    shared = "with PostgreSQL and pgbench on the same CPUs" if set(load) == set(cpus) else "PostgreSQL and pgbench on other CPUs"
    plan = []
    if options.one_cpu:
        one = Placement("one-cpu", "one CPU for everything, pg_dog with 1 worker", cpus[-1:], cpus[-1:], 1)
        plan.append((one, {"simple": [1, 16], "extended": [1, 16], "prepared": [1, 16]}))
    if options.two_cores:
        two = Placement("two-cores", f"two data cores, {shared}, pg_dog with 2 workers", cpus[-2:], load[-2:] if not options.load_cpus else load, 2)
        plan.append((two, {"simple": [8, 32, 128, 500], "extended": [8, 32, 128, 500], "prepared": [8]}))
    if options.skew:
        cores = ("listeners = 1", "spread = false")
        skew = Placement(
            "skew", f"all clients on one of two data cores, {shared}", cpus[-2:], load[-2:] if not options.load_cpus else load, 2, cores
        )
        plan.append((skew, {"simple": [32, 128], "extended": [32, 128]}))
    for placement, by_protocol in plan:
        cells = [Cell(placement, protocol, clients) for protocol, counts in by_protocol.items() for clients in counts]
        cells = [cell for cell in cells if cell.protocol in options.protocols and (not options.clients or cell.clients in options.clients)]
        if options.quick and not options.clients:
            cells = cells[:1] + [cell for cell in cells[1:] if cell.protocol == "prepared"][:1]
        if cells:
            yield placement, cells


METRICS = {
    "p50": "p50",
    "p99": "p99",
    "p999": "p99.9",
    "tps": "throughput",
    "cpu": "CPU per transaction",
    "syscalls": "system calls per transaction",
}


class Target:
    """One demand: the median ratio to PgBouncer's value of the same round, below or above a bound."""

    def __init__(self, placement, clients, metric, bound, at_least=False):
        self.placement, self.clients, self.metric, self.bound, self.at_least = placement, clients, metric, bound, at_least

    def text(self):
        if self.metric == "added":
            return "added p50 ≤ PgBouncer's"
        return f"{METRICS[self.metric]} {'≥' if self.at_least else '≤'} {self.bound:.2f} × PgBouncer's"

    def met(self, value):
        """`value` is the median ratio; for `added` the median difference of p50 in microseconds, whose bound is 0."""
        return value >= self.bound if self.at_least else value <= self.bound


# pgbench's log counts whole microseconds, so a difference of half a microsecond cannot be told from none.
TARGETS = [
    Target("one-cpu", 1, "cpu", 0.95),
    Target("one-cpu", 16, "cpu", 0.90),
    Target("one-cpu", 1, "added", 0.0),
    Target("one-cpu", 16, "added", 0.0),
    Target("two-cores", 8, "cpu", 1.00),
    Target("two-cores", 32, "cpu", 0.92),
    Target("two-cores", 128, "cpu", 0.88),
    Target("two-cores", 500, "cpu", 0.85),
    Target("two-cores", 128, "tps", 1.15, at_least=True),
    Target("two-cores", 128, "p99", 0.95),
    Target("two-cores", 128, "p999", 0.95),
    Target("two-cores", 500, "p99", 0.80),
    Target("two-cores", 500, "p999", 0.80),
    Target("skew", 32, "tps", 1.00, at_least=True),
    Target("skew", 128, "tps", 1.00, at_least=True),
    Target("clients", 1000, "tps", 1.15, at_least=True),
    Target("clients", 1000, "p99", 0.80),
    Target("clients", 1000, "cpu", 0.88),
]

# Of the sections without a peer in the same cell (lib/crowd.py): bytes, share of a CPU, ratio of the largest crowd to the smallest.
IDLE_BYTES = 1024
IDLE_CPU = 0.005
FLAT = 1.10
# CPU of a login with everything around it, against each of PgBouncer's two ways to know a password.
LOGIN = 0.30
STORM = 1.00
