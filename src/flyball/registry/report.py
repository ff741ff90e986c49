"""A run's report for people: each section in a few lines, as `flyball models show` and the model card say it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.evaluation.comparison import between, number
from flyball.evaluation.told import row_lines
from flyball.evaluation.weak import told_slice
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Calibration, Groups, Mistakes, OutputShift, Report, Robustness, Threshold, WeakSlices

MOST_FEATURES = 5
"""Features whose importance is told; the report has all."""

Line = tuple[str, str]
"""A topic, and a line of what is said of it."""


def lines(report: Report) -> Iterator[Line]:
    """What to say of a report. A section that could not be made says why."""
    if report.weak_slices is not None:
        yield from (("weak", line) for line in _weak(report.weak_slices))
    for found in report.groups:
        yield from (("groups", line) for line in group_lines(found))
    if report.calibration is not None:
        yield "scores", _calibration(report.calibration)
    yield from (("scores", line) for line in _cheapest(report.thresholds))
    if report.mistakes is not None:
        yield from (("errors", line) for line in _mistakes(report.mistakes))
    yield from (("robust", _robust(each)) for each in report.robustness)
    if report.output_shift is not None:
        yield "shift", _shift(report.output_shift)
    yield from row_lines(report)
    yield from _served(report)
    for topic, why in report.missing.items():
        yield topic, f"not looked into: {why}"


def _served(report: Report) -> Iterator[Line]:
    """What its features are worth, in which form it is served and why, and how long that takes."""
    if (worth := report.importances) is not None:
        shown_ = [f"{each.feature} {_ends(each.rise)}" for each in worth.features[:MOST_FEATURES]]
        more = f", and {len(worth.features) - MOST_FEATURES} more" if len(worth.features) > MOST_FEATURES else ""
        yield "features", f"rise of {worth.loss} without each ({worth.rows:,} rows): {', '.join(shown_)}{more}"
    if report.packaging is not None:
        yield "served", f"as {report.packaging.served}: {report.packaging.why}"
    if (path := report.path) is not None:
        times = ", ".join(f"{name} {number(value)}" for name, value in (("p50", path.p50), ("p95", path.p95), ("p99", path.p99)))
        parts = ", ".join(f"{part.name} {number(part.p50)}" for part in path.parts)
        yield "path", f"{times} ms of {path.calls} calls; {parts}; slowest: {path.slowest}; its worker holds {path.memory / 1e6:.0f} MB"


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


def group_lines(found: Groups) -> Iterator[str]:
    """The gaps between the groups of a column: `sex: gap in recall 0.12 [0.05, 0.19]: f 0.61, m 0.73`."""
    for name, each in found.gaps.items():
        if each.gap.value is None:
            yield f"{found.column}: gap in {name} not known: {each.gap.why}"
        else:
            lacking = f" (too small to compare: {each.lacking})" if each.lacking else ""
            yield f"{found.column}: gap in {name} {_ends(each.gap)}: {each.between}{lacking}"


def _ends(found: Estimate) -> str:
    return f"{number(found.value)} {between(found.low, found.high)}"


def _calibration(found: Calibration) -> str:
    shown = [f"{number(each.score)} → {number(each.positive.value)}" for each in (found.bins[0], found.bins[-1])] if found.bins else []
    return f"calibration error {_ends(found.error)} in {len(found.bins)} bins; lowest and highest score → frequency: {', '.join(shown)}"


def _cheapest(found: tuple[Threshold, ...]) -> Iterator[str]:
    priced = [each for each in found if each.cost is not None]
    if priced:
        best = min(priced, key=lambda each: each.cost or 0.0)
        yield f"cheapest threshold {best.at:g}: {number(best.cost)} for 1,000 answers, recall {number(best.recall)}, precision {number(best.precision)}"


def _mistakes(found: Mistakes) -> Iterator[str]:
    if found.wrong is not None:
        yield f"{found.wrong:,} of {found.rows:,} rows wrong"
    if found.confusion:
        whole = found.confusion[0]
        wrong = [
            (count, whole.classes[truth], whole.classes[answer])
            for truth, row in enumerate(whole.counts)
            for answer, count in enumerate(row)
            if truth != answer and count
        ]
        yield from (f"{count:,} × {truth} taken for {answer}" for count, truth, answer in sorted(wrong, reverse=True)[:3])
    if found.residuals:
        yield "answer less truth: " + ", ".join(f"{share:.0%} {number(value)}" for share, value in found.residuals)
    if found.worst:
        worst = found.worst[0]
        yield f"worst row: truth {_value(worst.truth)}, answer {_value(worst.answer)}, loss {number(worst.loss)} ({len(found.worst)} worst rows: --json)"


def _robust(found: Robustness) -> str:
    if found.lost.value is None or found.after is None:
        return f"{found.kind}: {found.lost.why}"
    of = f" ({found.columns[0]})" if len(found.columns) == 1 else ""
    return (
        f"{found.kind}{of}: {found.objective} {number(found.before.value)} → {number(found.after.value)}, "
        f"{found.lost.value:.1%} of it lost, n={found.rows:,}"
    )


def _shift(found: OutputShift) -> str:
    changed = "" if found.changed is None else f"; {found.changed.value or 0.0:.1%} of rows get another class"
    moved = (
        ""
        if found.difference is None or found.distance is None
        else (f"; on average {number(found.difference.value)} from the champion's, {number(found.distance.value)} either way")
    )
    return f"PSI {number(found.psi)} between its {found.of} and the champion's{changed}{moved}, n={found.rows:,}"


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
