"""Drift as the trails of windows tell it: one finding a column, with the value that moved, and one a slice that tells more than the column.

A column that moved moves in its slices, too: that is told once, of the whole, which is the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyball.declare.checks import Drift
from flyball.evaluation.counts_inputs import LABEL
from flyball.monitoring.state import MonitorState
from flyball.monitoring.windows import Trail, floor_of
from flyball.records.alerts import Finding
from flyball.stats.drift import Level, Test

PREDICTION = "prediction"
"""The column under which answers are counted."""

_RANK: dict[Level, int] = {"none": 0, "warn": 1, "alert": 2}
_NAMES = {"cells": "PSI", "nulls": "null share moved by", "unseen": "share never seen before"}


_OF = {PREDICTION: "predictions", LABEL: "labels"}

GRAVER = 2.0
"""A slice is told beside a whole that drifts as well where it stands higher and has at least so many times the effect."""


def watched(monitor: Drift, trails: Iterable[Trail]) -> list[Trail]:
    """The trails a monitor is about."""
    wanted, daily = set(monitor.columns), monitor.window is not None
    return [
        trail
        for trail in trails
        if _OF.get(trail.column, "inputs") == monitor.of and (trail.pace == "day") == daily and (not wanted or trail.column in wanted)
    ]


def drift_findings(monitor: Drift, state: MonitorState) -> Iterator[Finding]:
    """One finding a column, and a slice that had something to tell: its gravest test. Before the first window has closed, one that says so."""
    parts: dict[tuple[str, str], list[Trail]] = {}
    for trail in watched(monitor, state.trails):
        parts.setdefault((trail.column, trail.slice), []).append(trail)
    if not parts:
        yield _nothing_yet(monitor, state)
    gravest = {key: max(found, key=_gravity) for key, found in parts.items()}
    late = (state.slow if monitor.window is None else state.daily).late
    for column, name in sorted(gravest):
        trail, whole = gravest[column, name], gravest.get((column, ""))
        yield _finding(monitor, trail, whole if name and whole is not None and _repeats(trail, whole) else None, late)


def _nothing_yet(monitor: Drift, state: MonitorState) -> Finding:
    series = state.slow if monitor.window is None else state.daily
    rows = max((window.n for window in (*series.open, state.fast if monitor.window is None else None) if window), default=0)
    why = f"no window has closed yet: {rows:,} rows so far"
    if monitor.window is not None:
        why += "; days are compared once the reference has eight whole days of each day of the week, and of days of 200 rows"
    return Finding(monitor=str(monitor), severity="none", standing="insufficient", failure=_failure(monitor, "cells"), n=rows, why=why)


def _failure(monitor: Drift, test: Test) -> str:
    """That the outcomes are others is no fault of what is sent: the world has changed, or how it is labelled."""
    if monitor.of == "labels":
        return "label_drift"
    return "schema_change" if test == "unseen" else "input_drift"


def _repeats(trail: Trail, whole: Trail) -> bool:
    """Whether what moved in a slice is what moved in the whole."""
    if _level(whole) == "none":
        return False
    same = trail.test == whole.test and trail.effects[-1] < GRAVER * whole.effects[-1]
    return _RANK[_level(trail)] <= _RANK[_level(whole)] or same


def _level(trail: Trail) -> Level:
    return trail.verdict if trail.verdict != "none" else trail.hits[-1]


def drift_reason(monitor: Drift, state: MonitorState) -> str | None:
    """The drift of a column as a whole that reached an alert, in words, or None."""
    found = [trail for trail in watched(monitor, state.trails) if trail.verdict == "alert" and not trail.slice]
    return _sentence(max(found, key=_gravity)) if found else None


def _gravity(trail: Trail) -> tuple[int, int, bool, float]:
    newest = trail.hits[-1] if trail.hits else "none"
    # a value never seen before explains a changed cell, so it is named first
    return _RANK[trail.verdict], _RANK[newest], trail.test == "unseen", trail.effects[-1] / floor_of(trail.test, "warn")


def _finding(monitor: Drift, trail: Trail, told_of: Trail | None, late: int) -> Finding:
    """told_of: the whole's trail where that of a slice says no more."""
    if told_of is not None:
        why = f"{_place(trail)}: as the whole of {trail.column}, which drifts"
        return Finding(
            monitor=str(monitor),
            severity="none",
            column=trail.column,
            slice=trail.slice,
            n=trail.n,
            why=why,
            failure=_failure(monitor, trail.test),
        )
    newest = trail.hits[-1]
    settled = trail.verdict != "none"
    severity = trail.verdict if settled else newest
    return Finding(
        monitor=str(monitor),
        severity=severity,
        column=trail.column,
        slice=trail.slice,
        value=trail.value,
        effect=trail.effects[-1],
        floor=floor_of(trail.test, severity),
        p=trail.p,
        n=trail.n,
        why=_sentence(trail) + (f"; {late:,} rows came too late for any window" if late else ""),
        failure=_failure(monitor, trail.test),
        standing="settled" if settled or newest == "none" else "pending",
    )


def _place(trail: Trail) -> str:
    return f"{trail.column} in {trail.slice}" if trail.slice else trail.column


def _sentence(trail: Trail) -> str:
    level = _level(trail)
    floor = floor_of(trail.test, level)
    effect = f"{trail.effects[-1]:.3g}" if trail.test == "cells" else f"{100 * trail.effects[-1]:.3g} points"
    bound = f"{floor:.2f}" if trail.test == "cells" else f"{100 * floor:.0f}"
    how = f"{trail.how}; " if trail.how else ""
    return f"{_place(trail)}: {how}{_NAMES[trail.test]} {effect} (floor {bound}), p={trail.p:.2g}, n={trail.n:,}"
