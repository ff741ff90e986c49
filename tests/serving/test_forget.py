"""What is left of log records without a person's rows."""

from __future__ import annotations

from typing import Any

from flyball.serving.forget import seen, text, without
from flyball.serving.vectors import Vectors
from flyball.serving.wal import LogRecord

FIELDS = {"m": (("who", "people"),)}


def one(kind: str, own: str, rows: list[list[Any]] | None = None, **more: Any) -> LogRecord:
    given = {
        "picked_ns": 0,
        "answered_ns": 0,
        "epoch": 1,
        "version": "m@1.0.0",
        "role": "champion",
        "key_hash": "",
        "status": "ok",
        "rows": len(rows) if rows else 1,
        "input": rows,
        "output": [[1, place / 10] for place in range(len(rows))] if rows else None,
        "marks": None,
        "at": 5,
    }
    return LogRecord(kind=kind, request_id=own, **given | more)  # type: ignore[arg-type]


SIGNATURE = one("signature", "", [["x", "who"]])


def ana(data: str, value: str, _at: int) -> bool:
    return (data, value) == ("people", "ana")


def test_a_request_of_the_person_goes_with_its_shadow_and_its_label() -> None:
    records = [
        SIGNATURE,
        one("answer", "r1", [[1, "ana"]]),
        one("shadow", "r1", [[1, "ana"]]),
        one("label", "r1", version="m", output=[[1]]),
        one("answer", "r2", [[2, "bo"]]),
        one("label", "r2", version="m", output=[[0]]),
    ]
    left = without(records, FIELDS, ana)
    assert left.records == [SIGNATURE, records[4], records[5]]
    assert (left.rows, left.ids) == (2, frozenset({"r1"}))


def test_of_a_request_of_several_rows_only_theirs_go_and_the_others_keep_ids_times_and_answers() -> None:
    request = one("answer", "r1", [[1, "bo"], [2, "ana"], [3, "cy"]], marks={"t": [10, 20, 30], "w": 5})
    [_, left] = without([SIGNATURE, request], FIELDS, ana).records
    assert left.input == [[1, "bo"], [3, "cy"]]
    assert left.output == [[1, 0.0], [1, 0.2]]
    assert left.row_ids() == ["r1/0", "r1/2"]
    assert left.marks == {"t": [10, 30], "w": 5, "ids": ["r1/0", "r1/2"]}
    assert left.rows == 2
    assert request.rows == 3


def test_what_views_gave_goes_with_its_row_and_is_shown_by_name() -> None:
    views = one("views", "v1", [["habits", "d", ["spent", "times"], "people", "c", 0]])
    request = one("answer", "r1", [[1, "bo"], [2, "ana"], [3, "cy"]], vectors=Vectors("v1", [10, 20, 30], [[1.5, 1], [2.5, 2], [None, 0]]))
    [row] = seen([SIGNATURE, views, request], FIELDS, ana)
    assert row.features == {"spent": 2.5, "times": 2}
    left = without([SIGNATURE, views, request], FIELDS, ana).records
    assert left[:2] == [SIGNATURE, views]
    assert left[2].vectors == Vectors("v1", [10, 30], [[1.5, 1], [None, 0]])
    assert request.vectors.moments == [10, 20, 30]


def test_ids_of_the_callers_own_go_by_row() -> None:
    request = one("answer", "r1", [[1, "ana"], [2, "bo"]], marks={"ids": ["a", "b"]})
    label = one("label", "b", version="m", output=[[1]])
    left = without([SIGNATURE, request, label, one("label", "a", version="m", output=[[1]])], FIELDS, ana)
    assert left.ids == frozenset({"a"})
    assert left.records[1].row_ids() == ["b"]
    assert left.records[2:] == [label]


def test_an_id_that_another_person_has_as_well_takes_nothing_of_theirs() -> None:
    other = one("answer", "same", [[1, "bo"]])
    assert without([SIGNATURE, other], FIELDS, ana, {"same"}).records == [SIGNATURE, other]


def test_what_was_dropped_without_a_request_goes_with_the_row_it_shadowed() -> None:
    records = [SIGNATURE, one("answer", "r1", [[1, "ana"]]), one("shadow_dropped", "r1", None)]
    assert without(records, FIELDS, ana).records == [SIGNATURE]


def test_a_label_of_a_row_in_another_segment_goes_by_its_id() -> None:
    label = one("label", "r9", version="m", output=[[1]])
    assert without([label], FIELDS, ana, {"r9"}).records == []
    assert without([label], FIELDS, ana).records == [label]


def test_records_before_their_signature_and_of_other_models_stay() -> None:
    early = one("answer", "r1", [[1, "ana"]])
    other = one("answer", "r2", [[1, "ana"]], version="n@1.0.0")
    refused = one("refused", "", None, marks={"why": "ana"})
    assert without([early, SIGNATURE, other, refused], FIELDS, ana).records == [early, SIGNATURE, other, refused]


def test_the_moment_decides_what_was_known_then() -> None:
    records = [SIGNATURE, one("answer", "r1", [[1, "ana"]], at=5), one("answer", "r2", [[1, "ana"]], at=6)]
    assert [row.id for row in seen(records, FIELDS, lambda _data, _value, at: at <= 5)] == ["r1"]


def test_values_are_compared_as_a_column_of_text_has_them() -> None:
    assert [text(value) for value in (7, 7.0, True, "7")] == ["7", "7.0", "true", "7"]
    assert without([SIGNATURE, one("answer", "r1", [[1, None]])], FIELDS, lambda *_: True).rows == 0
