"""Drift as the trails of windows tell it: one finding a column, with the value that moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyball.declare.checks import Drift
from flyball.monitoring.state import MonitorState
from flyball.monitoring.windows import Trail, floor_of
from flyball.records.alerts import Finding
from flyball.stats.drift import Level

PREDICTION = "prediction"
"""The column under which answers are counted."""

_RANK: dict[Level, int] = {"none": 0, "warn": 1, "alert": 2}
_NAMES = {"cells": "PSI", "nulls": "null share moved by", "unseen": "share never seen before"}


def watched(monitor: Drift, trails: Iterable[Trail]) -> list[Trail]:
    """The trails a monitor is about."""
    wanted = set(monitor.columns)
    return [
        trail
        for trail in trails
        if (trail.column == PREDICTION) == (monitor.of == "predictions") and (not wanted or trail.column in wanted)
    ]


def drift_findings(monitor: Drift, state: MonitorState) -> Iterator[Finding]:
    """One finding a column: its gravest test. Before the first window has closed, one that says so."""
    by_column: dict[str, list[Trail]] = {}
    for trail in watched(monitor, state.trails):
        by_column.setdefault(trail.column, []).append(trail)
    if not by_column:
        open_rows = max((window.n for window in (state.slow, state.fast) if window), default=0)
        yield Finding(
            monitor=str(monitor),
            severity="none",
            standing="insufficient",
            failure="input_drift",
            n=open_rows,
            why=f"no window has closed yet: {open_rows:,} rows so far",
        )
    for column in sorted(by_column):
        yield _finding(monitor, max(by_column[column], key=_gravity))


def drift_reason(monitor: Drift, state: MonitorState) -> str | None:
    """The drift that reached an alert, in words, or None."""
    found = [trail for trail in watched(monitor, state.trails) if trail.verdict == "alert"]
    return _sentence(max(found, key=_gravity)) if found else None


def _gravity(trail: Trail) -> tuple[int, int, bool, float]:
    newest = trail.hits[-1] if trail.hits else "none"
    # a value never seen before explains a changed cell, so it is named first
    return _RANK[trail.verdict], _RANK[newest], trail.test == "unseen", trail.effects[-1] / floor_of(trail.test, "warn")


def _finding(monitor: Drift, trail: Trail) -> Finding:
    newest = trail.hits[-1]
    settled = trail.verdict != "none"
    severity = trail.verdict if settled else newest
    return Finding(
        monitor=str(monitor),
        severity=severity,
        column=trail.column,
        value=trail.value,
        effect=trail.effects[-1],
        floor=floor_of(trail.test, severity),
        p=trail.p,
        n=trail.n,
        why=_sentence(trail),
        failure="schema_change" if trail.test == "unseen" else "input_drift",
        standing="settled" if settled or newest == "none" else "pending",
    )


def _sentence(trail: Trail) -> str:
    level = trail.verdict if trail.verdict != "none" else trail.hits[-1]
    floor = floor_of(trail.test, level)
    effect = f"{trail.effects[-1]:.3g}" if trail.test == "cells" else f"{100 * trail.effects[-1]:.3g} points"
    bound = f"{floor:.2f}" if trail.test == "cells" else f"{100 * floor:.0f}"
    how = f"{trail.how}; " if trail.how else ""
    return f"{trail.column}: {how}{_NAMES[trail.test]} {effect} (floor {bound}), p={trail.p:.2g}, n={trail.n:,}"
