"""Everything that is held of one person, gathered for them: nothing of anybody else, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from flyball.clock import Instant, rfc3339
from flyball.data import erase
from flyball.data.erasures import present
from flyball.declare.model import Model
from flyball.features.keys import row_keys
from flyball.features.windows import prepare
from flyball.ledger import personal
from flyball.loop import erasing
from flyball.loop.eraser import Eraser, Held, Subjects, is_of
from flyball.records.base import Recorded, State
from flyball.records.data import DATASETS, SubjectErased
from flyball.serving import forget, wal
from flyball.serving.labels import UNTOLD
from flyball.serving.layout import Layout
from flyball.store.blobs import LocalBlobs

Item = dict[str, Any]

NOTES = (
    "explanations: flyball keeps none; they are computed when somebody asks",
    "what models learned, and the feature values kept as proof of a run, say nothing of whose they are, and are not listed row by row",
    "a label or key that a caller sent under an id of their own is found only with a prediction that names the person",
)
"""What is not in the document, and why."""


@dataclass(frozen=True)
class Holding:
    """What is held of a person at a moment."""

    subject: str
    at: Instant
    names: tuple[str, ...]
    rows: list[Item]
    features: list[Item]
    predictions: list[Item]
    labels: list[Item]
    decisions: list[Item]
    models: tuple[str, ...]

    def parts(self) -> dict[str, list[Item]]:
        """Each kind of what is held, by name."""
        kinds = ("rows", "features", "predictions", "labels", "decisions")
        return {**{kind: getattr(self, kind) for kind in kinds}, "explanations": []}


def document(found: Holding) -> Item:
    """The whole as one document."""
    head = {"subject": found.subject, "at": rfc3339(found.at), "data_sets": list(found.names)}
    return {**head, **found.parts(), "models": list(found.models), "notes": list(NOTES)}


def write(found: Holding, folder: Path) -> None:
    """The whole as JSON Lines, a file for each kind, and `about.json`. The folder is made; what is in it can be read by its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for kind, items in found.parts().items():
        (folder / f"{kind}.jsonl").write_text("".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in items), encoding="utf-8")
    about = {name: value for name, value in document(found).items() if name not in found.parts()}
    (folder / "about.json").write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


class Holdings:
    """Gathers what is held of a person."""

    def __init__(self, subjects: Subjects, blobs: LocalBlobs, layout: Layout) -> None:
        self._subjects = subjects
        self._blobs = blobs
        self._eraser = Eraser(subjects, blobs, layout)

    def of(self, subject: str, name: str, now: Instant) -> Holding:
        """What is held of a person now, in one data set or in all. Raises NotFound, BadInput, Corrupt."""
        held = self._eraser.find(subject, name)
        state = self._subjects.ledger.state()
        models = self._subjects.models(state)
        records = self._eraser.records(held, models)
        predictions, labels = _logged(records, held, models)
        return Holding(
            subject=subject,
            at=now,
            names=held.names,
            rows=[*self._rows(held), *self._pushed(held, state, models)],
            features=list(self._features(state, held, models, now)),
            predictions=predictions,
            labels=labels,
            decisions=list(self._decisions(held)),
            models=tuple(sorted({each for one in held.versions for each in erasing.made_from(state, one.version)})),
        )

    def _rows(self, held: Held) -> Iterator[Item]:
        """Each different row once, with the versions that have it."""
        seen: dict[str, Item] = {}
        person = erase.Person(held.subject, self._blobs)
        for each in held.versions:
            for row in person.rows(each.content, each.column).iter_rows(named=True):
                values = _plainly(row)
                item = seen.setdefault(
                    f"{each.version.name} {json.dumps(values)}", {"data": each.version.name, "row": values, "versions": []}
                )
                if each.version.version not in item["versions"]:
                    item["versions"].append(each.version.version)
        yield from seen.values()

    def _pushed(self, held: Held, state: State, models: list[Model]) -> Iterator[Item]:
        """Rows that were sent and are in no version yet."""
        return ({"data": name, "row": row, "versions": []} for name, row in self._eraser.pushed(held, state, models))

    def _features(self, state: State, held: Held, models: list[Model], now: Instant) -> Iterator[Item]:
        """The values of each view over the person, as they are now: one item for each entity that they are, or are a part of."""
        views = {view.name: view for model in models for view in model.features if view.data.name in held.names}
        for view in views.values():
            head = row.head if (row := state.get(DATASETS, view.data.name)) is not None else None
            if head is None or view.data.subject not in view.entity:
                continue
            rows = erase.Person(held.subject, self._blobs).rows(present(state, view.data.name, head.content), view.data.subject)
            keys = row_keys(view, rows)
            assert keys is not None
            own = rows.with_columns(keys.alias("__key")).drop_nulls("__key").unique("__key", maintain_order=True)
            asked = own.select(pl.lit(now + 1).alias("row_time"), pl.lit(now).alias("moment"), pl.col("__key").alias("key"))
            found = prepare(view, rows).values(asked)
            whose = own.select(view.entity).iter_rows(named=True)
            for entity, values in zip(whose, found.iter_rows(named=True), strict=True):
                about = {"view": view.name, "data": view.data.name, "at": rfc3339(now)}
                yield about | {"entity": _plainly(entity), "values": _plainly(values)}

    def _decisions(self, held: Held) -> Iterator[Item]:
        """Events that say something of the person, and erasures of them."""
        texts = set(held.texts)
        key = self._subjects.key()
        who = key.who(held.subject) if key is not None else ""
        if not texts and not who:
            return
        for recorded in self._subjects.ledger.read(0, self._subjects.ledger.size()):
            event = recorded.event
            if isinstance(event, SubjectErased) and event.subject == who:
                yield _event(recorded) | {"data": list(event.data), "rows": event.rows, "predictions": event.predictions}
            elif not texts.isdisjoint(personal.hashes(event)):
                yield _event(recorded)


def _event(recorded: Recorded) -> Item:
    return {"event": recorded.seq, "at": rfc3339(recorded.at), "kind": recorded.event.kind}


def _logged(records: list[list[wal.LogRecord]], held: Held, models: list[Model]) -> tuple[list[Item], list[Item]]:
    """The predictions that were made for the person, and the labels of these."""
    fields = erasing.within(erasing.subject_fields(models), held.names)
    predictions = [_prediction(row) for segment in records for row in forget.seen(segment, fields, is_of(held.subject))]
    ids = {item["id"] for item in predictions}
    labels = [_label(one) for segment in records for one in segment if one.kind == "label" and one.request_id in ids]
    return predictions, labels


def _prediction(row: forget.Seen) -> Item:
    record = row.record
    output = record.output[row.place] if record.output and row.place < len(record.output) else None
    return {
        "id": row.id,
        "at": rfc3339(record.at),
        "version": record.version,
        "role": record.role,
        "kind": record.kind,
        "status": record.status,
        "row": row.values,
        "features": row.features,
        "value": None if output is None else output[0],
        "score": output[1] if output is not None and len(output) > 1 else None,
    }


def _label(record: wal.LogRecord) -> Item:
    marks = record.marks or {}
    known = marks.get("t")
    return {
        "id": record.request_id,
        "at": rfc3339(record.at),
        "model": record.version,
        "value": record.output[0][0] if record.output else None,
        "known_at": rfc3339(known) if isinstance(known, int) and known != UNTOLD else None,
        "attributes": marks.get("a") or {},
    }


def _plainly(row: Item) -> Item:
    """Cells as JSON has them; times as RFC 3339."""
    return {name: f"{value.isoformat()}Z" if isinstance(value, datetime) else value for name, value in row.items()}
