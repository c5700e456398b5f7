"""A small SVG writer: one row of panels per placement and protocol, one panel per metric, one group of marks per number of clients.

Latencies have a logarithmic axis and dots; throughput and CPU start at zero and are bars. The thin line is the smallest to the
largest round.
"""

import math
from html import escape
from statistics import median

from .report import label, measured, title, values
from .systems import POOL, TITLES, VARIANTS

COLOURS = {"direct": "#8c8c8c", "pgbouncer": "#d55e00", "pg_dog": "#0072b2", "pgbouncer-plain": "#e69f00", "pg_dog-1": "#56b4e9"}
PANELS = [
    ("p50", "p50 latency", True),
    ("p99", "p99 latency", True),
    ("p999", "p99.9 latency", True),
    ("tps", "throughput, transactions/s", False),
    ("cpu", "pooler CPU, µs per transaction", False),
]
WIDTH, HEIGHT = 236, 128
GAP_X, GAP_Y = 58, 74
LEFT, TOP = 66, 118


def label_micros(value):
    if value >= 1e6:
        return f"{value / 1e6:g} s"
    return f"{value / 1000:g} ms" if value >= 1000 else f"{value:g} µs"


def label_count(value):
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def nice_step(top):
    """A step of 1, 2 or 5 times a power of ten that gives 3 to 5 lines."""
    raw = top / 4
    power = 10 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw)


class Axis:
    """Maps a value to a height in the panel, and knows its lines."""

    def __init__(self, found, logarithmic):
        self.logarithmic = logarithmic
        if logarithmic:
            self.low, self.high = min(found) / 1.35, max(found) * 1.35
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            narrow = self.high / self.low < 300
            self.lines = [factor * 10**decade for decade in decades for factor in ((1, 2, 5) if narrow else (1,))]
            self.lines = [line for line in self.lines if self.low <= line <= self.high]
        else:
            step = nice_step(max(found) * 1.05)
            self.low, self.high = 0.0, step * math.ceil(max(found) * 1.05 / step)
            self.lines = [step * count for count in range(int(round(self.high / step)) + 1)]

    def y(self, value):
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return HEIGHT * (1 - share)


def text(x, y, words, size=11, anchor="start", colour="#222", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#ddd", width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def panel(cells, systems, metric, logarithmic):
    """Marks of one panel, its origin at the top left corner of the plot."""
    found = [max(value, 1e-3) for cell in cells for system in systems for value in values(cell, system, metric)]
    if not found:
        return [text(WIDTH / 2, HEIGHT / 2, "no pooler measured", 10, "middle", "#999")]
    axis, out = Axis(found, logarithmic), []
    written = label_micros if logarithmic else label_count
    for value in axis.lines:
        out.append(line(0, axis.y(value), WIDTH, axis.y(value)))
        out.append(text(-5, axis.y(value) + 3.5, written(value), 10, "end", "#555"))
    out.append(line(0, HEIGHT, WIDTH, HEIGHT, "#555"))
    shown = [system for system in systems if any(values(cell, system, metric) for cell in cells)]
    slot = WIDTH / len(cells)
    bar = min(22.0, slot * 0.78 / len(shown))
    for index, cell in enumerate(cells):
        centre = slot * (index + 0.5)
        out.append(text(centre, HEIGHT + 14, label(cell), 10, "middle", "#333"))
        for place, system in enumerate(shown):
            rounds = values(cell, system, metric)
            if rounds:
                x = centre + (place - (len(shown) - 1) / 2) * bar
                out += mark(axis, x, bar, [max(value, 1e-3) for value in rounds], COLOURS[system], logarithmic)
    return out


def mark(axis, x, width, rounds, colour, dot):
    y = axis.y(median(rounds))
    whisker = line(x, axis.y(min(rounds)), x, axis.y(max(rounds)), colour if dot else "#222", 1.2)
    if dot:
        return [whisker, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>']
    return [f'<rect x="{x - width * 0.45:.1f}" y="{y:.1f}" width="{width * 0.9:.1f}" height="{HEIGHT - y:.1f}" fill="{colour}"/>', whisker]


def svg(run):
    """The whole picture as text."""
    run = measured(run)
    rows = list(dict.fromkeys((cell["placement"], cell["protocol"]) for cell in run["cells"]))
    width = LEFT + len(PANELS) * (WIDTH + GAP_X)
    height = TOP + len(rows) * (HEIGHT + GAP_Y) + 6
    facts, out = run["facts"], []
    size = f'width="{width}" height="{height}"'
    out.append(f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">')
    out.append(f'<rect width="{width}" height="{height}" fill="#ffffff"/>')
    poolers = " and ".join(TITLES[name] for name in run["systems"] if name != "direct")
    load = f"{run['rate']:g} transactions/s (open loop)" if run["rate"] else "closed loop"
    out.append(text(20, 28, f"pgbench -S, {load}, " + (f"through {poolers}: pool of {POOL} servers" if poolers else "direct"), 18, weight="bold"))
    out.append(text(20, 48, f"{facts['date']}, commit {facts['commit']}; {facts['machine']}; {facts['kernel']}", 11, colour="#555"))
    note = f"median of {run['rounds']} interleaved rounds of {run['seconds']:g} s; thin lines: smallest to largest round; "
    note += "latency axes are logarithmic"
    out.append(text(20, 64, note, 11, colour="#555"))
    x = 20
    there = {system for cell in run["cells"] for system in cell["systems"]}
    for system in [name for name in (*TITLES, *VARIANTS) if name in there]:
        out.append(f'<rect x="{x}" y="76" width="12" height="12" fill="{COLOURS[system]}"/>')
        out.append(text(x + 18, 86, title(system), 12))
        x += 40 + 9 * len(title(system))
    for row, (placement, protocol) in enumerate(rows):
        cells = [cell for cell in run["cells"] if (cell["placement"], cell["protocol"]) == (placement, protocol)]
        y = TOP + row * (HEIGHT + GAP_Y) + 20
        for column, (metric, heading, logarithmic) in enumerate(PANELS):
            left = LEFT + column * (WIDTH + GAP_X)
            if column == 0:
                out.append(text(20, y - 20, f"{placement}, {protocol}: {cells[0]['title']}", 12, weight="bold"))
            out.append(text(left, y - 5, heading, 10.5, colour="#333"))
            out.append(f'<g transform="translate({left} {y})">')
            out += panel(cells, list(dict.fromkeys(name for cell in cells for name in cell["systems"])), metric, logarithmic)
            out.append(text(WIDTH / 2, HEIGHT + 27, "rate" if "rate" in cells[0] else "clients", 10, "middle", "#777"))
            out.append("</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"
