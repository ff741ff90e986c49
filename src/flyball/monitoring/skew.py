"""What verified features say of a model: a finding for each feature that was, or had been, served as training would not have it. Pure.

Values that are wrong are an alert, and open an incident of failure mode `skew`: the model answers what it was never trained on. What is
missing, extra or stale is a warning: somebody has to look, and no code is proved wrong by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from flyball.clock import rfc3339
from flyball.records.alerts import Finding
from flyball.records.skew import FeatureSkew, Skew, SkewExample, SkewRow, added

SERVED = "features are served as trained"
"""Name of the built-in monitor of what `features.verified` says."""

_WORST = (Skew.WRONG, Skew.MISSING, Skew.EXTRA, Skew.STALE)


def skew_findings(rows: Iterable[SkewRow], serving: Collection[str]) -> Iterator[Finding]:
    """One finding a feature. `serving` are the versions that answer or shadow now: what others were served says nothing of the present."""
    rows = list(rows)
    present = [row for row in rows if row.version in serving]
    counts = {(one.view, one.feature): one for one in added(one for row in present for one in row.features)}
    for view, feature in dict.fromkeys((one.view, one.feature) for row in rows for one in row.features):
        found = counts.get((view, feature), FeatureSkew(view=view, feature=feature))
        yield _finding(found, [one for row in present for one in row.examples if (one.view, one.feature) == (view, feature)])


def _finding(found: FeatureSkew, examples: list[SkewExample]) -> Finding:
    differs = found.skewed + found.stale
    why = f"{found.view}.{found.feature}: every value that was looked at is the one that training would have had"
    if differs:
        told = ", ".join(f"{getattr(found, one.value):,} {one.value}" for one in _WORST if getattr(found, one.value))
        why = f"{found.view}.{found.feature}: of {found.checked:,} served values {told}{_shown(examples)}"
    return Finding(
        monitor=SERVED,
        severity="alert" if found.wrong else "warn" if differs else "none",
        column=found.feature,
        effect=differs / found.checked if found.checked else None,
        n=found.checked,
        why=why,
        failure="skew",
    )


def _shown(examples: list[SkewExample]) -> str:
    """One row, of the worst kind there is."""
    example = min(examples, key=lambda one: _WORST.index(one.skew), default=None)
    if example is None:
        return ""
    row = f"row {example.row}" if example.row else "a row"
    values = f": served {example.served}, training would have {example.offline}" if example.served or example.offline else ""
    return f"; {row} of {rfc3339(example.at)} is {example.skew.value}{values}"
