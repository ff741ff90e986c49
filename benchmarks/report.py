"""The one form in which every benchmark reports: the machine, its figures, and the bars they are held to.

`python -m benchmarks.NAME [--json] [--peers]`. A bar that needs a peer is absent without `--peers`, never passed. The exit status is 1 when a bar does not hold.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec


@dataclass(frozen=True)
class Machine:
    """Where the figures were made; `load` is the average of the last minute when the benchmark ended."""

    system: str
    processor: str
    cores: int
    memory_gb: float
    python: str
    load: float

    @classmethod
    def this(cls) -> Machine:
        """Describe this machine, without its name."""
        info = Path("/proc/cpuinfo")
        names = (
            [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
            if info.exists()
            else []
        )
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return cls(
            system=f"{platform.system()} {platform.machine()}",
            processor=names[0] if names else platform.processor(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_gb=round(memory, 1),
            python=platform.python_version(),
            load=round(os.getloadavg()[0], 2),
        )


@dataclass(frozen=True)
class Row:
    """One figure over its repetitions. `ratio` is the peer's median over ours, None without a peer."""

    name: str
    unit: str
    min: float
    median: float
    max: float
    peer: str = ""
    ratio: float | None = None

    @classmethod
    def of(cls, name: str, unit: str, samples: Sequence[float], *, peer: str = "", peer_samples: Sequence[float] = ()) -> Row:
        """Sum up repetitions, and the peer's if there are any."""
        median = statistics.median(samples)
        ratio = statistics.median(peer_samples) / median if peer_samples else None
        return cls(name, unit, float(min(samples)), float(median), float(max(samples)), peer, ratio)


@dataclass(frozen=True)
class Bar:
    """A figure that must hold: at most or at least `bound`."""

    name: str
    value: float
    unit: str
    bound: float
    holds: bool
    sense: str

    @classmethod
    def at_most(cls, name: str, value: float, bound: float, unit: str = "") -> Bar:
        """`value` ≤ `bound`."""
        return cls(name, float(value), unit, bound, bool(value <= bound), "≤")

    @classmethod
    def at_least(cls, name: str, value: float, bound: float, unit: str = "") -> Bar:
        """`value` ≥ `bound`."""
        return cls(name, float(value), unit, bound, bool(value >= bound), "≥")


@dataclass
class Report:
    """What a benchmark found."""

    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


def _document(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode({"machine": Machine.this(), "rows": report.rows, "bars": report.bars}), indent=2)


def _text(report: Report) -> str:
    machine = Machine.this()
    lines = [f"{machine.processor}, {machine.cores} cores, {machine.memory_gb} GB, Python {machine.python}, load {machine.load}", ""]
    for row in report.rows:
        ratio = f"   {row.peer} {row.ratio:.1f}×" if row.ratio is not None else ""
        lines.append(f"{row.name:<52} {row.median:>14,.4g} {row.unit:<14} [{row.min:,.4g}, {row.max:,.4g}]{ratio}")
    lines.append("")
    lines += [
        f"{'holds' if bar.holds else 'FAILS'}  {bar.name:<38} {bar.value:>12,.4g} {bar.sense} {bar.bound:<10g} {bar.unit}"
        for bar in report.bars
    ]
    return "\n".join(lines)


def main(run: Callable[[argparse.Namespace], Report], doc: str | None) -> None:
    """Run a benchmark as a command: `run` takes the parsed arguments (`json`, `peers`)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--peers", action="store_true", help="also measure the peers, in environments of their own")
    arguments = parser.parse_args()
    report = run(arguments)
    if arguments.json:
        sys.stdout.write(_document(report).decode() + "\n")
    else:
        sys.stdout.write(_text(report) + "\n")
    raise SystemExit(0 if all(bar.holds for bar in report.bars) else 1)


def peak_mb() -> float:
    """The most memory that this process ever had, in MB; the figure of getrusage begins with that of its parent."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
