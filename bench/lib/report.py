"""Numbers to words: medians, ratios of the same round, the Markdown page with its verdicts."""

from statistics import median

from .plan import TARGETS
from .systems import POOL, TITLES

JUDGED_ROUNDS = 5
# share of the CPUs that other work may take before a measurement counts as disturbed
DISTURBED = 0.10


def values(cell, system, metric):
    """One value per round."""
    return [one[metric] for one in cell["systems"].get(system, {}).get("rounds", []) if metric in one]


def middle(cell, system, metric):
    found = values(cell, system, metric)
    return median(found) if found else None


def added(cell, system, metric):
    """Median over the rounds of the latency above that of direct PostgreSQL in the same round, microseconds; None without either."""
    pairs = list(zip(values(cell, system, metric), values(cell, "direct", metric)))
    return median(one - base for one, base in pairs) if pairs and system != "direct" else None


def ratios(cell, metric, system="pg_dog", base="pgbouncer"):
    """The system's value over PgBouncer's in the same round, one per round."""
    if metric == "syscalls":
        top, bottom = (cell["systems"].get(name, {}).get("syscalls") for name in (system, base))
        return [top / bottom] if top and bottom else []
    return [top / bottom for top, bottom in zip(values(cell, system, metric), values(cell, base, metric)) if bottom]


def micros(value):
    if value is None:
        return "–"
    return f"{value / 1000:.2f} ms" if abs(value) >= 10000 else f"{value:.0f} µs"


def number(value, digits=1):
    return "–" if value is None else f"{value:.{digits}f}"


def spread(found):
    """`median (smallest–largest)`."""
    if not found:
        return "–"
    return f"**{median(found):.2f}**" + (f" ({min(found):.2f}–{max(found):.2f})" if len(found) > 1 else "")


def judge(cells):
    """[(target, protocol, one value per round, verdict or None)] for every target and every protocol that was measured."""
    rows = []
    for target in TARGETS:
        fitting = [cell for cell in cells if cell["placement"] == target.placement and cell["clients"] == target.clients]
        for cell in fitting:
            if target.metric == "added":
                found = [dog - base for dog, base in zip(values(cell, "pg_dog", "p50"), values(cell, "pgbouncer", "p50"))]
            else:
                found = ratios(cell, target.metric)
            rows.append((target, cell["protocol"], found, target.met(median(found)) if found else None))
    return rows


def header(run):
    facts = run["facts"]
    lines = [f"# pg_dog, PgBouncer and direct PostgreSQL: {facts['date']}, commit {facts['commit']}", ""]
    load = f"open loop at {run['rate']} transactions/s" if run["rate"] else "closed loop"
    lines += [
        f"`pgbench -S` ({load}), scale {run['scale']}, loopback, no TLS, no passwords, pool of {POOL} servers; "
        "transaction mode, session mode for prepared. "
        f"{run['rounds']} interleaved rounds with the order of systems rotated, {run['seconds']:g} s per cell after {run['warmup']:g} s of warm-up. "
        "Every value is the median of the rounds; every ratio is the median of the rounds' own ratios.",
        "",
    ]
    for name in ("machine", "kernel", "postgres", "pgbouncer", "pg_dog", "settings"):
        if facts.get(name):
            lines.append(f"- {name}: {facts[name]}")
    lines.append("- " + quiet(run)[1])
    lines.append(f"- transactions logged: {100 * run['sampling_rate']:g} %; latency resolution 1 µs")
    if run["rounds"] < JUDGED_ROUNDS:
        lines.append(f"- **fewer than {JUDGED_ROUNDS} rounds: a smoke run, not a measurement**")
    return lines + [""]


def quiet(run):
    """(was the machine ours, a sentence about it)."""
    foreign = [one["foreign"] for cell in run["cells"] for system in cell["systems"].values() for one in system["rounds"]]
    above = sum(one > DISTURBED for one in foreign)
    said = f"CPU taken by other work on the same CPUs: median {100 * median(foreign):.0f} %, worst {100 * max(foreign):.0f} %"
    if above:
        said += f"; above {100 * DISTURBED:.0f} % in {above} of {len(foreign)} measurements"
    if run["repeated"]:
        said += f"; {run['repeated']} rounds of a cell were repeated for that"
    return median(foreign) <= DISTURBED, said


def targets_section(run):
    rows = judge(run["cells"])
    lines = ["## Targets", ""]
    if not any(found for _, _, found, _ in rows):
        return lines + ["Not judged: needs pg_dog and PgBouncer in the same run.", ""]
    known = [verdict for _, _, _, verdict in rows if verdict is not None]
    doubts = [] if run["rounds"] >= JUDGED_ROUNDS else [f"{run['rounds']} rounds only"]
    doubts += [] if quiet(run)[0] else ["other work disturbed the run"]
    judged = f" (an indication: {', '.join(doubts)})" if doubts else ""
    lines += [f"{sum(known)} of {len(known)} met{judged}.", ""]
    lines += ["| placement | clients | target | protocol | measured (rounds) | |", "|---|--:|---|---|---|---|"]
    for target, protocol, found, verdict in rows:
        form = "{:+.0f} µs" if target.metric == "added" else "{:.3f}"
        shown = "–"
        if found:
            shown = form.format(median(found)) + (f" ({form.format(min(found))} to {form.format(max(found))})" if len(found) > 1 else "")
        word = "not measured" if verdict is None else "pass" if verdict else "**miss**"
        lines.append(f"| {target.placement} | {target.clients} | {target.text()} | {protocol} | {shown} | {word} |")
    return lines + [""]


def ratio_section(run):
    if not {"pg_dog", "pgbouncer"} <= set(run["systems"]):
        return []
    lines = ["## pg_dog over PgBouncer", "", "Median ratio (smallest–largest round); below 1 is better, but for throughput above 1.", ""]
    lines += ["| placement | protocol | clients | throughput | p50 | p99 | p99.9 | CPU per tx | system calls |"]
    lines += ["|---|---|--:|---|---|---|---|---|---|"]
    for cell in run["cells"]:
        shown = " | ".join(spread(ratios(cell, metric)) for metric in ("tps", "p50", "p99", "p999", "cpu", "syscalls"))
        lines.append(f"| {cell['placement']} | {cell['protocol']} | {cell['clients']} | {shown} |")
    return lines + [""]


def value_sections(run):
    lines = ["## Values", "", "Latency: at the client, and above direct PostgreSQL in the same round."]
    lines += ["CPU: all threads of the pooler, microseconds per transaction.", ""]
    for placement in dict.fromkeys(cell["placement"] for cell in run["cells"]):
        cells = [cell for cell in run["cells"] if cell["placement"] == placement]
        lines += [f"### {placement}: {cells[0]['title']}", ""]
        lines.append(
            "| protocol | clients | system | p50 | p99 | p99.9 | added p50 | added p99 | added p99.9 | tx/s | CPU/tx (user) | cores | calls/tx |"
        )
        lines.append("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
        for cell in cells:
            for system in run["systems"]:
                row = [cell["protocol"], str(cell["clients"]), TITLES[system]]
                row += [micros(middle(cell, system, metric)) for metric in ("p50", "p99", "p999")]
                row += [micros(added(cell, system, metric)) for metric in ("p50", "p99", "p999")]
                row.append(f"{middle(cell, system, 'tps'):.0f}")
                cpu = middle(cell, system, "cpu")
                row.append("–" if cpu is None else f"{cpu:.1f} ({number(middle(cell, system, 'cpu_user'))})")
                row += [number(middle(cell, system, "cores"), 2), number(cell["systems"][system].get("syscalls"), 2)]
                lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    return lines + notes(run)


def notes(run):
    """How system calls were counted, and where they could not be."""
    said = {}
    for cell in run["cells"]:
        for system, data in cell["systems"].items():
            if data.get("syscalls_how"):
                said.setdefault(data["syscalls_how"], []).append(f"{TITLES[system]} {cell['placement']}/{cell['protocol']}/{cell['clients']}")
    if set(said) == {"perf"}:
        return ["System calls: counted by perf in a pass of its own.", ""]
    return [f"System calls, {how}: {', '.join(where)}." for how, where in said.items()] + ([""] if said else [])


def markdown(run, picture):
    lines = header(run) + [f"![chart]({picture})", ""] + targets_section(run) + ratio_section(run) + value_sections(run)
    return "\n".join(lines).rstrip() + "\n"
