"""Numbers to words: medians, ratios of the same round, the Markdown page with its verdicts."""

from statistics import median

from .plan import FLAT, IDLE_BYTES, IDLE_CPU, LOGIN, STORM, TARGETS
from .systems import POOL, TITLES, VARIANTS

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


def title(system):
    return TITLES.get(system) or VARIANTS[system]


def label(cell):
    """What tells a cell from its neighbours: its number of clients, or its rate."""
    return cell.get("label") or str(cell["clients"])


def best_peer(cell):
    """The variant of PgBouncer that costs least CPU in this cell."""
    peers = [name for name in cell["systems"] if name.startswith("pgbouncer") and values(cell, name, "cpu")]
    return min(peers, key=lambda name: middle(cell, name, "cpu"), default="pgbouncer")


def ratios(cell, metric, system="pg_dog", base=None):
    """The system's value over PgBouncer's in the same round, one per round."""
    base = base or best_peer(cell)
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


class Row:
    """One judged demand: where, what, one value per round, and whether their median meets it (None: nothing was measured)."""

    def __init__(self, placement, clients, text, protocol, found, met, form="{:.3f}"):
        self.placement, self.clients, self.text, self.protocol, self.found, self.form = placement, clients, text, protocol, found, form
        self.verdict = met(median(found)) if found else None


def judge(run):
    """Every target, for every protocol that was measured."""
    rows = []
    for target in TARGETS:
        fitting = [cell for cell in run["cells"] if cell["placement"] == target.placement and cell["clients"] == target.clients]
        for cell in fitting:
            form = "{:.3f}"
            if target.metric == "added":
                found = [dog - base for dog, base in zip(values(cell, "pg_dog", "p50"), values(cell, "pgbouncer", "p50"))]
                form = "{:+.0f} µs"
            else:
                found = ratios(cell, target.metric)
            rows.append(Row(target.placement, target.clients, target.text(), cell["protocol"], found, target.met, form))
    return rows + judge_crowd(run)


def judge_crowd(run):
    """The demands on the sections of lib/crowd.py that are not a ratio within one cell."""
    rows, crowd = [], run.get("crowd", {})
    connected = [cell for cell in run["cells"] if cell["placement"] == "connected"]
    if len(connected) > 1:
        few, many = connected[0], connected[-1]
        found = [top / bottom for top, bottom in zip(values(many, "pg_dog", "cpu"), values(few, "pg_dog", "cpu"))]
        text = f"CPU per transaction ≤ {FLAT:.2f} × that with {few['clients']} connected"
        rows.append(Row("connected", many["clients"], text, "simple", found, lambda value: value <= FLAT))
    for cell in run["cells"]:
        for peer in ("pgbouncer-plain", "pgbouncer") if cell["placement"] == "reconnect" else ():
            knows = "knowing the password, as pg_dog does" if peer != "pgbouncer" else "given a SCRAM secret"
            text = f"CPU per connect, login, query and goodbye ≤ {LOGIN:.2f} × PgBouncer's {knows}"
            found = ratios(cell, "cpu", base=peer)
            rows.append(Row("reconnect", cell["clients"], text, "simple", found, lambda value: value <= LOGIN))
    if "memory" in crowd:
        clients, measured = crowd["memory"]["clients"], crowd["memory"]["systems"].get("pg_dog", [])
        found = [one["bytes"] for one in measured]
        rows.append(Row("memory", clients, f"≤ {IDLE_BYTES} B per idle client", "–", found, lambda value: value <= IDLE_BYTES, "{:.0f} B"))
        found = [100 * one["idle_cpu"] for one in measured]
        rows.append(Row("memory", clients, f"idle CPU < {100 * IDLE_CPU:g} %", "–", found, lambda value: value < 100 * IDLE_CPU, "{:.2f} %"))
    if {"pg_dog", "pgbouncer"} <= set(crowd.get("storm", {}).get("systems", {})):
        measured = crowd["storm"]["systems"]
        found = [dog["p99"] / peer["p99"] for dog, peer in zip(measured["pg_dog"], measured["pgbouncer"])]
        text = f"p99 of steady clients meanwhile ≤ {STORM:.2f} × PgBouncer's"
        rows.append(Row("storm", crowd["storm"]["clients"], text, "simple", found, lambda value: value <= STORM))
        failed = [float(one["failed"]) for one in measured["pg_dog"]]
        rows.append(Row("storm", crowd["storm"]["clients"], "nobody is turned away", "simple", failed, lambda value: value == 0, "{:.0f}"))
    return rows


def header(run):
    facts = run["facts"]
    lines = [f"# pg_dog, PgBouncer and direct PostgreSQL: {facts['date']}, commit {facts['commit']}", ""]
    load = f"open loop at {run['rate']} transactions/s" if run["rate"] else "closed loop"
    lines += [
        f"`pgbench -S` ({load}), scale {run['scale']}, loopback, no TLS, no passwords, pool of {POOL} servers; "
        "transaction mode, session mode for prepared. "
        + ("The sections from `clients` on are measured by bench/load with the same query; those about logins use SCRAM. " if "crowd" in run else "")
        + f"{run['rounds']} interleaved rounds with the order of systems rotated, {run['seconds']:g} s per cell after {run['warmup']:g} s of warm-up. "
        "Every value is the median of the rounds; every ratio is the median of the rounds' own ratios.",
        "",
    ]
    for name in ("machine", "kernel", "postgres", "pgbouncer", "pg_dog", "settings"):
        if facts.get(name):
            lines.append(f"- {name}: {facts[name]}")
    lines.append("- " + quiet(run)[1])
    lines.append(f"- transactions logged: {100 * run['sampling_rate']:g} %; latency resolution 1 µs")
    for failure in run.get("failures", []):
        lines.append(f"- **failed, not measured: {failure.splitlines()[0]}**")
    if run.get("minutes"):
        lines.append(f"- the run took {run['minutes']:.0f} minutes; sections whose time was up have fewer rounds: {rounds_of(run)}")
    if run["rounds"] < JUDGED_ROUNDS:
        lines.append(f"- **fewer than {JUDGED_ROUNDS} rounds: a smoke run, not a measurement**")
    return lines + [""]


def rounds_of(run):
    """How many rounds there were, per placement or section."""
    found = {cell["placement"]: len(next(iter(cell["systems"].values()))["rounds"]) for cell in run["cells"]}
    for name in ("memory", "storm"):
        for rows in run.get("crowd", {}).get(name, {}).get("systems", {}).values():
            found[name] = len(rows)
    return ", ".join(f"{name} {count}" for name, count in found.items())


def quiet(run):
    """(was the machine ours, a sentence about it)."""
    foreign = [one["foreign"] for cell in run["cells"] for system in cell["systems"].values() for one in system["rounds"]]
    foreign += [one["foreign"] for rows in run.get("crowd", {}).get("storm", {}).get("systems", {}).values() for one in rows]
    if not foreign:
        return True, "CPU taken by other work was not measured"
    above = sum(one > DISTURBED for one in foreign)
    said = f"CPU taken by other work on the same CPUs: median {100 * median(foreign):.0f} %, worst {100 * max(foreign):.0f} %"
    if above:
        said += f"; above {100 * DISTURBED:.0f} % in {above} of {len(foreign)} measurements"
    if run["repeated"]:
        said += f"; {run['repeated']} rounds of a cell were repeated for that"
    return median(foreign) <= DISTURBED, said


def targets_section(run):
    rows = judge(run)
    lines = ["## Targets", ""]
    if not any(row.found for row in rows):
        return lines + ["Not judged: needs pg_dog and PgBouncer in the same run.", ""]
    known = [row.verdict for row in rows if row.verdict is not None]
    doubts = [] if run["rounds"] >= JUDGED_ROUNDS else [f"{run['rounds']} rounds only"]
    doubts += [] if quiet(run)[0] else ["other work disturbed the run"]
    judged = f" (an indication: {', '.join(doubts)})" if doubts else ""
    lines += [f"{sum(known)} of {len(known)} met{judged}.", ""]
    lines += ["| placement | clients | target | protocol | measured (rounds) | |", "|---|--:|---|---|---|---|"]
    for row in rows:
        shown = "–"
        if row.found:
            shown = row.form.format(median(row.found))
            if len(row.found) > 1:
                shown += f" ({row.form.format(min(row.found))} to {row.form.format(max(row.found))})"
        word = "not measured" if row.verdict is None else "pass" if row.verdict else "**miss**"
        lines.append(f"| {row.placement} | {row.clients} | {row.text} | {row.protocol} | {shown} | {word} |")
    return lines + [""]


def ratio_section(run):
    if not {"pg_dog", "pgbouncer"} <= set(run["systems"]):
        return []
    lines = ["## pg_dog over PgBouncer", "", "Median ratio (smallest–largest round); below 1 is better, but for throughput above 1.", ""]
    lines += ["| placement | protocol | clients | throughput | p50 | p99 | p99.9 | CPU per tx | system calls |"]
    lines += ["|---|---|--:|---|---|---|---|---|---|"]
    for cell in run["cells"]:
        if not any(name.startswith("pgbouncer") for name in cell["systems"]):
            continue
        shown = " | ".join(spread(ratios(cell, metric)) for metric in ("tps", "p50", "p99", "p999", "cpu", "syscalls"))
        lines.append(f"| {cell['placement']} | {cell['protocol']} | {label(cell)} | {shown} |")
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
            for system in cell["systems"]:
                row = [cell["protocol"], label(cell), title(system)]
                row += [micros(middle(cell, system, metric)) for metric in ("p50", "p99", "p999")]
                row += [micros(added(cell, system, metric)) for metric in ("p50", "p99", "p999")]
                row.append(f"{middle(cell, system, 'tps'):.0f}")
                cpu = middle(cell, system, "cpu")
                row.append("–" if cpu is None else f"{cpu:.1f} ({number(middle(cell, system, 'cpu_user'))})")
                row += [number(middle(cell, system, "cores"), 2), number(cell["systems"][system].get("syscalls"), 2)]
                lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    return lines + notes(run)


def crowd_sections(run):
    """Tables of what is not a cell: memory, the storm."""
    crowd, lines = run.get("crowd", {}), []
    if "memory" in crowd:
        lines += [f"## {crowd['memory']['clients']} idle clients", ""]
        lines += ["Resident memory of the pooler with them less that without, over their number. The kernel's (slabs and TCP buffers of the whole"]
        lines += ["machine) belongs to both ends of each connection, ours and the load generator's, and is the same for every pooler.", ""]
        lines += ["| system | bytes per client | kernel, both ends | resident in all | idle CPU |", "|---|---|---|--:|---|"]
        for name, rows in crowd["memory"]["systems"].items():
            shown = [few([one[key] for one in rows], form) for key, form in (("bytes", "{:.0f} B"), ("kernel", "{:.0f} B"))]
            idle = few([100 * one["idle_cpu"] for one in rows], "{:.2f} %")
            lines.append(f"| {title(name)} | {shown[0]} | {shown[1]} | {median(one['resident'] for one in rows) / 2**20:.1f} MiB | {idle} |")
        lines.append("")
    if "storm" in crowd:
        storm = crowd["storm"]
        lines += [f"## {storm['clients']} logins at once", ""]
        lines += [f"SCRAM logins as fast as they are answered, beside {storm['steady']} steady clients with {storm['rate']} queries/s (open loop)."]
        lines += ["CPU per login is the pooler's, less what the steady clients cost.", ""]
        lines += ["| system | all are in after | failed | login p50 | login p99 | CPU per login | steady p99 before | p99 meanwhile | p99.9 | max |"]
        lines += ["|---|---|--:|--:|--:|---|--:|---|--:|--:|"]
        for name, rows in storm["systems"].items():
            row = [title(name), few([one["seconds"] for one in rows], "{:.2f} s"), f"{max(one['failed'] for one in rows)}"]
            row += [micros(median(one[key] for one in rows)) for key in ("login_p50", "login_p99")]
            row += [few([one["cpu"] for one in rows], "{:.0f} µs"), micros(median(one["quiet_p99"] for one in rows))]
            row += [few([one["p99"] for one in rows], "{:.0f} µs")]
            row += [micros(median(one[key] for one in rows)) for key in ("p999", "max")]
            lines.append("| " + " | ".join(row) + " |")
        turns = [one["turn"] for one in storm["systems"].get("pg_dog", []) if one.get("turn") is not None]
        if turns:
            lines += ["", f"The longest turn of one of pg_dog's loops since its start: {few([1000 * one for one in turns], '{:.1f} ms')}."]
        lines.append("")
    if "knees" in crowd:
        lines += ["Closed-loop throughput that the rates of the open loop were taken from: "]
        lines[-1] += ", ".join(f"{title(name)} {value:.0f}/s" for name, value in crowd["knees"].items()) + "."
        lines.append("")
    late = [cell for cell in run["cells"] if cell.get("rate")]
    for cell in late:
        for name in cell["systems"]:
            lost = [one["waiting"] for one in cell["systems"][name]["rounds"]]
            if lost and median(lost) > cell["rate"] / 100:
                lines += [f"**{title(name)} did not keep up with {label(cell)}**: {median(lost):.0f} queries waited at the end of a window.", ""]
    return lines


def few(found, form):
    """`median (smallest–largest)` in a form."""
    return form.format(median(found)) + (f" ({form.format(min(found))}–{form.format(max(found))})" if len(found) > 1 else "")


def notes(run):
    """How system calls were counted, and where they could not be."""
    said = {}
    for cell in run["cells"]:
        for system, data in cell["systems"].items():
            if data.get("syscalls_how"):
                said.setdefault(data["syscalls_how"], []).append(f"{title(system)} {cell['placement']}/{cell['protocol']}/{cell['clients']}")
    if set(said) == {"perf"}:
        return ["System calls: counted by perf in a pass of its own.", ""]
    return [f"System calls, {how}: {', '.join(where)}." for how, where in said.items()] + ([""] if said else [])


def measured(run):
    """The run without cells that a failure left unfinished: every system of a cell has its rounds or the cell does not count."""
    whole = [cell for cell in run["cells"] if all(system["rounds"] for system in cell["systems"].values())]
    crowd = {name: part for name, part in run.get("crowd", {}).items() if not isinstance(part, dict) or all(part.get("systems", {"": 1}).values())}
    return {**run, "cells": whole, **({"crowd": crowd} if "crowd" in run else {})}


def markdown(run, picture):
    run = measured(run)
    lines = header(run) + [f"![chart]({picture})", ""] + targets_section(run) + ratio_section(run) + crowd_sections(run) + value_sections(run)
    return "\n".join(lines).rstrip() + "\n"
