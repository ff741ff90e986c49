"""The cases of a model's suites as the candidate is asked them: rows of another data set, with the features that the model makes."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from flyball.clock import Instant
from flyball.declare.codec import source_digest
from flyball.declare.model import Model, Suite
from flyball.errors import FlyballError
from flyball.evaluation.overlap import among
from flyball.evaluation.suites import LEARNED, NOT_ASKED, SEEN, Asked, Unanswered
from flyball.features.fields import inputs
from flyball.records.training import CasesOf, RunResult
from flyball.store.blobs import Blobs
from flyball.training.judging import parquet
from flyball.training.predictor import Predictor, answers
from flyball.training.rows import GROUP, Assembled, assemble

_UNKNOWN = f"whether its cases {LEARNED} cannot be told any more: what the version learned from cannot be read"

NONE_UNREAD: Mapping[str, str] = MappingProxyType({})


def ask_suites(
    model: Model,
    candidate: Predictor,
    frames: Mapping[str, pl.DataFrame],
    as_of: Instant,
    unread: Mapping[str, str] = NONE_UNREAD,
    *,
    learned: pl.DataFrame | None = None,
) -> Asked:
    """What the candidate answers to the cases of each suite that were known by `as_of`, or why that cannot be said: it costs no run.

    unread: of data sets whose source cannot be read now, why. learned: the assembled rows that the candidate has learned from; None where nobody knows.
    """
    return {case.name: unread.get(case.data.name) or _ask(case, model, candidate, frames, as_of, learned) for case in model.suites}


def _ask(
    case: Suite, model: Model, candidate: Predictor, frames: Mapping[str, pl.DataFrame], as_of: Instant, learned: pl.DataFrame | None
) -> pl.DataFrame | str:
    if case.data.name not in frames:
        return f'data set "{case.data.name}" has no version that may be used'
    try:
        rows = assemble(with_cases(model, case), frames, as_of=as_of)
        if not rows.frame.height:
            return f'data set "{case.data.name}" has no rows whose label is known'
    except (FlyballError, pl.exceptions.PolarsError) as error:
        return f'data set "{case.data.name}": {error}'
    try:
        given = answers(candidate.predict(rows.frame.select(rows.features)))
    except (FlyballError, pl.exceptions.PolarsError) as error:
        return Unanswered(f'data set "{case.data.name}": {error}', rows.frame.height)
    groups = [rows.frame[GROUP]] if GROUP in rows.frame.columns else []
    seen = [_seen(rows, learned)] if learned is not None else []
    return pl.DataFrame([rows.frame["__time"], rows.frame["__y"].alias("y"), *given, *groups, *seen])


def _seen(rows: Assembled, learned: pl.DataFrame) -> pl.Series:
    """Of each case, whether its features and its label are those of a row that was learned from."""
    known = learned.select("__y", *rows.features)
    return among(rows.frame.select(known.columns).cast(known.schema, strict=False), known).alias(SEEN)


def with_cases(model: Model, case: Suite) -> Model:
    """The model over the cases of a suite: its inputs, views, transforms and label, of rows of another data set.

    A view over the model's own data set still reads that. What says which of its own rows matter (slices, weights, gates) is left out.
    """
    columns = case.data.columns | {name: column for name, column in model.data.columns.items() if name in case.data.columns}
    return model.replace(
        data=dataclasses.replace(case.data, columns=columns),
        inputs=inputs(model),
        group=model.group if model.group in case.data.names else "",
        weight="",
        slices=(),
        suites=(),
        gates=(),
        outcomes=(),
        monitors=(),
        rollout=None,
        retrain=None,
        batch=(),
        review=None,
    )


def stored_suites(asked: Asked, blobs: Blobs) -> dict[str, str]:
    """The blobs of what the candidate answered, by suite; none of those that could not be asked."""
    return {name: blobs.put(parquet(frame)) for name, frame in asked.items() if isinstance(frame, pl.DataFrame)}


def loaded_suites(model: Model, stored: Mapping[str, str], blobs: Blobs) -> Asked:
    """What was stored of the model's suites. One that was not asked says so."""
    return {
        case.name: pl.read_parquet(io.BytesIO(blobs.get(stored[case.name]))) if case.name in stored else NOT_ASKED for case in model.suites
    }


def asked_again(
    model: Model,
    candidate: Predictor,
    frames: Mapping[str, pl.DataFrame],
    as_of: Instant,
    prior: RunResult,
    blobs: Blobs,
    unread: Mapping[str, str] = NONE_UNREAD,
    *,
    learned: pl.DataFrame | None = None,
) -> Asked:
    """Each suite of the model as its cases are now; where its data set is gone, as that very data set was answered when it was last asked.

    Cases that are there and cannot be asked, or whose source cannot be read now, say why: no former answer stands in for them, and none of another data set's under the suite's name.
    """
    before = loaded_suites(model, prior.suites, blobs)
    now = ask_suites(model, candidate, frames, as_of, unread, learned=learned)
    stood = {case.name for case in model.suites if case.data.name not in unread and _stands_in(case, frames, prior)}
    return {case.name: before[case.name] if case.name in stood else now[case.name] for case in model.suites}


def with_seen(model: Model, asked: Asked, contents: Mapping[str, str], prior: RunResult, blobs: Blobs) -> Asked:
    """Where what the candidate learned from cannot be read any more: which of the very cases that it was asked then were among it. Of others nobody can tell,
    and they judge nothing.

    contents: of data sets, as they are asked now.
    """
    before, found = loaded_suites(model, prior.suites, blobs), dict(asked)
    for case in model.suites:
        now, then, of = asked[case.name], before[case.name], prior.suites_of.get(case.name)
        if not isinstance(now, pl.DataFrame) or SEEN in now.columns:
            continue
        same = of is not None and bool(of.content) and of.content == contents.get(case.data.name)
        if same and isinstance(then, pl.DataFrame) and SEEN in then.columns and then.height == now.height:
            found[case.name] = now.with_columns(then[SEEN])
        else:
            found[case.name] = Unanswered(_UNKNOWN, now.height)
    return found


def _stands_in(case: Suite, frames: Mapping[str, pl.DataFrame], prior: RunResult) -> bool:
    """Whether what was answered stands in for cases that are gone. Answers from before it was kept whose they are do not."""
    of = prior.suites_of.get(case.name)
    same = of is not None and (of.data, of.source) == (case.data.name, source_digest(case.data))
    return case.data.name not in frames and case.name in prior.suites and same


def cases_of(
    model: Model,
    asked: Asked,
    frames: Mapping[str, pl.DataFrame],
    contents: Mapping[str, str],
    before: Mapping[str, CasesOf] | None = None,
) -> dict[str, CasesOf]:
    """Whose cases the answers are, by suite: of the data sets of now, or, where these are gone, of those that were asked `before`."""
    found = {}
    for case in model.suites:
        if not isinstance(asked[case.name], pl.DataFrame):
            continue
        name = case.data.name
        found[case.name] = (
            CasesOf(data=name, source=source_digest(case.data), content=contents.get(name, ""))
            if name in frames
            else (before or {})[case.name]
        )
    return found
