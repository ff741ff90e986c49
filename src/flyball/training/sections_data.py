"""What is wrong with the rows themselves: leaks, copies and groups on both sides of the split, rare classes."""

from __future__ import annotations

import polars as pl

from flyball.declare.metrics import CLASSES
from flyball.declare.model import Label, Model
from flyball.declare.reads import made_from
from flyball.errors import FlyballError
from flyball.evaluation.overlap import class_shares, copies, rarest, shared_groups
from flyball.features import leakage
from flyball.records.estimates import Estimate
from flyball.records.rows import DataFacts
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.rows import GROUP, taught
from flyball.training.stored import Stored

METRICS = ("leaks", "duplicates", "group_overlap", "minority_share")


def data(subject: Subject) -> Found:
    """The section."""
    rows, split, model = subject.rows, subject.split, subject.model
    train = taught(model, rows, split)
    held = rows.frame[split.holdout : split.end]
    columns = [pl.col("__y").alias(f"label {model.label_column}"), *rows.features]
    copied = copies(train.select(columns), held.select(columns))
    shared = shared_groups(train[GROUP], held[GROUP]) if GROUP in held.columns else Estimate(value=None, why="the model declares no group")
    classes = subject.candidate.signature.classes
    measured = {"duplicates": copied.share, "group_overlap": shared}
    if model.task in CLASSES:
        measured["minority_share"] = rarest(train["__y"], classes)
    leaking, silent, looked_at, unsearched = _leaks(subject)
    measured["leaks"] = (
        Estimate(value=None, why=unsearched) if unsearched else Estimate(value=float(len(leaking)), n=looked_at, why="; ".join(leaking))
    )
    shares = (class_shares(part["__y"], classes) for part in (train, held))
    mine, theirs = shares
    facts = DataFacts(
        leaks=leaking,
        silent=silent,
        looked_at=looked_at,
        unsearched=unsearched,
        duplicates=copied.share,
        # no single row is kept of persons: a report is not rewritten when one is erased
        example="" if any(each.subject for each in made_from(model).values()) else copied.example,
        group_overlap=shared if GROUP in held.columns else None,
        classes={name: (mine[name], theirs[name]) for name in mine},
    )
    return Found({"data": facts}, measured)


def _leaks(subject: Subject) -> tuple[tuple[str, ...], tuple[str, ...], int, str]:
    """Leaks and silent features in words, how many rows were looked at, and why nobody could look."""
    model = subject.model
    why = _unsearchable(subject, model)
    if why:
        return (), (), 0, why
    rows = subject.rows.frame[: subject.split.end]
    try:
        found = leakage.leaks_in(model, rows.tail(leakage.SAMPLE), subject.frames[model.data.name])
    except FlyballError as error:
        return (), (), 0, f"leaks were not looked for: {error.what}"
    lines = [f"{each.what}; {each.why}; {each.fix}" for each in found]
    leaking = tuple(line for line in lines if line.startswith("leak"))
    silent = tuple(line for line in lines if not line.startswith("leak"))
    return leaking, silent, min(rows.height, leakage.SAMPLE), ""


def _unsearchable(subject: Subject, model: Model) -> str:
    if isinstance(model.label, Label):
        return "leaks are not looked for where the label arrives in another data set"
    if subject.split.end < leakage.FEWEST:
        return f"leaks were not looked for in {subject.split.end} rows: {leakage.FEWEST} are needed"
    if isinstance(subject.frames, Stored) and not subject.frames.fit(model):
        return "leaks were not looked for: the rows are too many to hold at once"
    return ""


SECTIONS = (Section("data", METRICS, data),)
