"""A run's report for people: each section in a few lines, as `flyball models show` and the model card say it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.evaluation.weak import told_slice
from flyball.records.evaluation import Report, WeakSlices


def lines(report: Report) -> Iterator[tuple[str, str]]:
    """What to say of a report: (topic, a line of it). A section that could not be made says why."""
    if report.weak_slices is not None:
        yield from (("weak", line) for line in _weak(report.weak_slices))
    for topic, why in report.missing.items():
        yield topic, f"not looked into: {why}"


def failure_modes(report: Report) -> Iterator[str]:
    """The known failure modes of a version: parts of the rows that it serves clearly worse than the rest."""
    if report.weak_slices is not None:
        yield from (told_slice(each) for each in report.weak_slices.found)


def _weak(found: WeakSlices) -> Iterator[str]:
    if not found.count:
        yield f"no weak slice in {found.columns} columns and {found.pairs} pairs of them{_sampled(found)}"
    yield from (told_slice(each) for each in found.found)
    if found.count > len(found.found):
        yield f"and {found.count - len(found.found)} more"


def _sampled(found: WeakSlices) -> str:
    return f", on {found.rows:,} of {found.of:,} rows" if found.rows < found.of else ""
