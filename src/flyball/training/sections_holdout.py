"""Sections of a run's report that rest on the hold-out's rows and what the candidate answered to them."""

from __future__ import annotations

from flyball.evaluation import weak
from flyball.training.evaluating import Found, Section, Subject


def weak_slices(subject: Subject) -> Found:
    """Parts of the rows that are served clearly worse than the rest."""
    found = weak.weak_slices(subject.answers, subject.columns, subject.spec.seed)
    return Found({"weak_slices": found}, {"weak_slices": weak.counted(found)})


SECTIONS = (Section("weak_slices", ("weak_slices",), weak_slices),)
