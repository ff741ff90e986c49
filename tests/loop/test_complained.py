"""The answer that somebody complains of is found by its id, wherever in the log it lies, and an id that is not there is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

import flyball as fb
from flyball.declare.model import Model
from flyball.errors import BadInput, NotFound
from flyball.incidents.persons import complaint
from flyball.loop import complained
from flyball.loop.complained import About, Answers, known
from flyball.loop.orders import complain
from flyball.records.incidents import IncidentNoted, IncidentOpened
from flyball.records.serving import SegmentRow
from flyball.serving import sealer, wal
from flyball.serving.forget import Left

MADE = 1_767_225_600_000_000
pack = msgspec.msgpack.encode


@pytest.fixture(scope="module")
def model() -> Model:
    columns = {
        "at": "time",
        "amount": float,
        "due": "time",
        "sex": fb.column(str, protected=True),
        "defaulted": fb.column(int, one_of=(0, 1)),
    }
    data = fb.Dataset("requests", source="push://", time="at", id="request", columns=columns)
    calls = fb.Dataset("calls", source="calls.csv", time="at", subject="who", columns={"at": "time", "who": str, "minutes": float})
    view = fb.FeatureView("calls", calls, entity="who", features={"n": fb.window("7d").count()}).on("customer")
    known = fb.Model("risk", task="binary", data=data, label="defaulted", owner="risk", framing=fb.Framing("who pays back"))
    return known.replace(features=[view])


@pytest.fixture
def file(tmp_path: Path) -> wal.SegmentFile:
    """One segment: a row of its own, a batch of two whose rows are counted, a batch that names its rows, a request that was refused."""
    writer = wal.Writer(tmp_path, "g0", reserve_bytes=0)
    frames = [writer.declare("risk@7", ["amount", "customer", "due", "sex"])]
    for request, marks in (("one", {"t": [MADE]}), ("two", {}), ("three", {"ids": ["order-8", "order-9"]})):
        rows = [[100.0, "ana", MADE, "f"], [200.0, "bo", None, "m"]][: 1 if request == "one" else 2]
        answers = [[0, 0.25], [1, 0.75]][: len(rows)]
        frames.append(
            wal.frame(
                "answer", request, version="risk@7", rows=len(rows), packed_input=pack(rows), packed_output=pack(answers), marks=marks
            )
        )
    frames.append(wal.frame("refused", "four", version="risk", status="error", rows=1, marks={"why": "missing amount"}))
    frames.append(wal.frame("answer", "five", version="other@1", rows=1, packed_input=pack([[1.0]]), packed_output=pack([[1, None]])))
    assert writer.append(frames)
    writer.close()
    return wal.segments(tmp_path)[0]


@pytest.fixture(params=["open", "sealed"])
def log(request: pytest.FixtureRequest, file: wal.SegmentFile) -> Answers:
    if request.param == "open":
        return Answers(lambda: [file], list, bytes.fromhex)
    sealed = SegmentRow(gateway="g0", number=file.number, wal_sha256="", parquet_sha256="a", rows=6, torn_bytes=0, last=MADE)
    data = sealer.parquet(wal.read(file.path)[0])
    return Answers(list, lambda: [sealed], lambda _: data)


def test_a_request_is_found_with_its_row_its_version_and_its_answer(log: Answers, model: Model) -> None:
    found = known(log, model, "one")
    assert (found.at, found.version, found.status, found.value, found.score) == (MADE, "risk@7", "ok", 0, 0.25)
    assert found.row == {"amount": 100.0, "customer": "…", "due": "2026-01-01T00:00:00Z", "sex": "…"}, "whose it is stays unsaid"
    told = "2026-01-01T00:00:00Z  risk@7  amount=100.0, customer=…, due=2026-01-01T00:00:00Z, sex=…  → answered 0 (score 0.25)"
    assert str(found) == told


@pytest.mark.parametrize("row", ["two/1", "order-9"])
def test_a_row_of_several_is_found_by_its_own_id(log: Answers, model: Model, row: str) -> None:
    found = known(log, model, row)
    assert (found.row["amount"], found.value, found.rows) == (200.0, 1, 1)


def test_of_a_request_of_several_rows_the_first_is_shown_and_how_many_there_were(log: Answers, model: Model) -> None:
    assert "(the first of 2 rows)" in str(known(log, model, "two"))


def test_a_request_that_was_refused_says_why(log: Answers, model: Model) -> None:
    assert str(known(log, model, "four")).endswith("risk  no row  → refused: missing amount")


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("ValueError: Found unknown categories ['m'] in column 3", "ValueError: …"),
        ("KeyError: 'income'", "KeyError: …"),
        (
            'model "risk" failed to predict 1 rows: ValueError: no rate for a woman aged 41 to 45',
            'model "risk" failed to predict 1 rows: ValueError: …',
        ),
        ("no answer within the time limit", "no answer within the time limit"),
        ("bo has no account", "…"),
        ("nobody called ANA", "…"),
        ("the sex is m", "…"),
        ("", ""),
    ],
)
def test_an_error_says_nothing_of_a_value_that_is_not_shown(tmp_path: Path, model: Model, why: str, told: str) -> None:
    writer = wal.Writer(tmp_path, "g0", reserve_bytes=0)
    rows = [[100.0, "ana", MADE, "f"], [200.0, "bo", None, "m"]]
    frames = [writer.declare("risk@7", ["amount", "customer", "due", "sex"])]
    frames.append(wal.frame("answer", "one", version="risk@7", status="error", rows=2, packed_input=pack(rows), marks={"why": why}))
    frames.append(wal.frame("answer", "bare", version="risk@7", status="error", rows=2, marks={"why": why}))
    assert writer.append(frames)
    writer.close()
    log = Answers(lambda: wal.segments(tmp_path), list, bytes.fromhex)
    found = known(log, model, "one")
    assert (found.status, found.why) == ("error", told)
    assert known(log, model, "bare").why == (told if why.endswith(("3", "'", "45")) or not why else "…"), "nothing says what was sent"


@pytest.mark.parametrize("id_", ["order  17", " order 17", "order\t17", "order\u200b17", "order\x1b[2J", "bestellung-ü"])
def test_an_id_is_found_as_it_is_whatever_letters_it_has(tmp_path: Path, model: Model, id_: str) -> None:
    writer = wal.Writer(tmp_path, "g0", reserve_bytes=0)
    assert writer.append(
        [writer.declare("risk@7", ["amount"]), wal.frame("answer", id_, version="risk@7", rows=1, packed_input=pack([[1.0]]))]
    )
    writer.close()
    order, _ = complain(
        SimpleNamespace(clock=SimpleNamespace(new_id=str)),  # type: ignore[arg-type]
        model, command="c", actor="user:ana", what="too low", request=id_,
    )  # fmt: skip
    opened, *noted = complaint(model, str, what="too low", request=order.request, by="user:ana")
    assert isinstance(opened, IncidentOpened)
    files = wal.segments(tmp_path)
    data = sealer.parquet(wal.read(files[0].path)[0])
    sealed = SegmentRow(gateway="g0", number=1, wal_sha256="", parquet_sha256="a", rows=1, torn_bytes=0, last=MADE)
    for log in (Answers(lambda: files, list, bytes.fromhex), Answers(list, lambda: [sealed], lambda _: data)):
        assert known(log, model, opened.request).row == {"amount": 1.0}
    assert all(one.note.isprintable() for one in noted if isinstance(one, IncidentNoted))


def test_an_id_that_cannot_be_one_is_refused(model: Model) -> None:
    with pytest.raises(BadInput, match="no text"):
        known(Answers(list, list, bytes.fromhex), model, "order \udcff")
    with pytest.raises(BadInput, match="has 201 characters"):
        complain(SimpleNamespace(), model, command="c", actor="user:ana", what="too low", request="x" * 201)  # type: ignore[arg-type]
    with pytest.raises(NotFound) as raised:
        known(Answers(list, list, bytes.fromhex), model, "order\x1b[2J")
    assert raised.value.what.isprintable()


@pytest.mark.parametrize("request_", ["six", "five", "two/2", "order-7"])
def test_an_id_that_is_not_there_is_told_with_what_was_looked_at_and_what_to_do(log: Answers, model: Model, request_: str) -> None:
    with pytest.raises(NotFound) as raised:
        known(log, model, request_)
    assert f'risk has answered no request "{request_}"' in raised.value.what
    assert "it was looked for in 1 segment of the log, the oldest of 20" in raised.value.why
    assert "leave --request out" in raised.value.fix


def test_who_was_erased_is_not_found_any_more(file: wal.SegmentFile, model: Model) -> None:
    def forget(records: list[wal.LogRecord]) -> Left:
        return Left([one for one in records if one.kind == "signature"], 1, frozenset({"one"}))

    with pytest.raises(NotFound):
        known(Answers(lambda: [file], list, bytes.fromhex, lambda: forget), model, "one")


def test_of_an_empty_log_nothing_is_said_to_have_been_looked_at(model: Model) -> None:
    with pytest.raises(NotFound, match="the log is empty"):
        known(Answers(list, list, bytes.fromhex), model, "one")


def test_a_field_that_is_declared_no_more_is_not_shown(log: Answers, model: Model) -> None:
    columns = {name: column for name, column in model.data.columns.items() if name != "sex"}
    now = model.replace(data=fb.Dataset("requests", source="push://", time="at", id="request", columns=columns))
    assert known(log, now, "one").row == {"amount": 100.0, "customer": "…", "due": "2026-01-01T00:00:00Z", "sex": "…"}


def test_what_was_sent_is_shown_on_one_line_and_does_nothing_to_a_terminal() -> None:
    sent = {"note": "fine\n  next      flyball rollback risk\x1b]0;owned\x07", "long": "x" * 5_000}
    told = str(About(request="one", at=MADE, version="risk@7", status="error", row=sent, why="KeyError\n\x1b[2J"))
    assert told.isprintable()
    assert "note=fine\\n  next" in told
    assert len(told) < 600


def segments(file: wal.SegmentFile, *lasts: int) -> tuple[list[SegmentRow], dict[str, bytes], list[str]]:
    """Sealed segments of one gateway that end at these moments, the answers in the first; what they hold, and which of them were opened."""
    rows = [
        SegmentRow(gateway="g0", number=number, wal_sha256="", parquet_sha256=str(number), rows=6, torn_bytes=0, last=last)
        for number, last in enumerate(lasts)
    ]
    records = wal.read(file.path)[0]
    return rows, {str(number): sealer.parquet(records if number == 0 else records[:1]) for number in range(len(lasts))}, []


def opening(rows: list[SegmentRow], held: dict[str, bytes], opened: list[str]) -> Answers:
    def blob(digest: str) -> bytes:
        opened.append(digest)
        return held[digest]

    return Answers(list, lambda: rows, blob)


def test_a_damaged_segment_hides_no_other(file: wal.SegmentFile, model: Model) -> None:
    rows, held, opened = segments(file, MADE, MADE + 1)
    assert known(opening(rows, held | {"1": b"no Parquet"}, opened), model, "one").value == 0
    assert opened == ["1", "0"]


def test_what_an_incident_is_about_is_not_looked_for_in_what_was_logged_later(file: wal.SegmentFile, model: Model) -> None:
    rows, held, opened = segments(file, MADE, MADE + 10, MADE + 20, MADE + 30)
    found = opening(rows, held, opened).find(model, "one", MADE + 5)
    assert found.about is not None
    assert opened == ["1", "0"]


def test_segments_that_cannot_be_read_are_no_way_around_the_time_that_it_takes(
    file: wal.SegmentFile, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complained, "LONGEST_S", 0.0)
    rows, held, opened = segments(file, *range(MADE, MADE + 50))
    damaged = dict.fromkeys(held, b"no Parquet")
    with pytest.raises(NotFound, match="risk has answered no request"):
        known(opening(rows, damaged, opened), model, "nobody")
    assert len(opened) < 50


def test_an_id_that_is_nowhere_does_not_have_the_whole_log_read(
    file: wal.SegmentFile, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complained, "LONGEST_S", 0.0)
    rows, held, opened = segments(file, *range(MADE, MADE + 50))
    with pytest.raises(NotFound, match="risk has answered no request") as raised:
        known(opening(rows, held, opened), model, "nobody")
    assert len(opened) < 50
    assert f"it was looked for in {len(opened)} segment" in raised.value.why
