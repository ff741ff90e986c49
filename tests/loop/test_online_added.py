"""What was added to a data set is read from the chunks that are new, and put in; whatever else happened to it, the values are those of its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flyball as fb
from flyball.data import additions, chunks, commit, manifest
from flyball.features.online.plan import plan
from flyball.features.online.read import OnlineView
from flyball.features.windows import values
from flyball.loop.live_online import LiveViews
from flyball.loop.online import Wanted, bring_up, noted, status
from flyball.serving.layout import Layout
from flyball.store.blobs import LocalBlobs
from flyball.store.online_address import open_online
from flyball.wiring import _rows

S = 1_000_000
LATER = 10**15
BROKEN = "0" * 64
DATA = fb.Dataset("visits", source="v.csv", time="at", arrived="came", columns={"who": str, "n": fb.column(int, nulls="100%")})
VIEW = fb.FeatureView(
    "visits", DATA, entity="who", features={"newest": "n", "last": fb.window("1h").last("n"), "sum": fb.window("20s").sum("n")}
)


class World:
    """Versions of a data set, and the store."""

    def __init__(self, folder: Path) -> None:
        self.blobs = LocalBlobs(folder / "blobs")
        self.rows = _rows(self.blobs, Layout(folder))
        self.store = open_online("", folder)
        self.head = None

    def version(self, rows: list[tuple[str, int, int | None, int | None]]) -> Wanted:
        """Rows of (who, at, came, n), seconds, in the order of the source."""
        frame = pl.DataFrame(rows, {"who": pl.String, "at": pl.Int64, "came": pl.Int64, "n": pl.Int64}, orient="row")
        frame = frame.with_columns((pl.col("at", "came") * S).cast(pl.Datetime("us"))).sort("at", maintain_order=True)
        self.head = commit.commit(DATA, frame, self.blobs, self.head, str(len(rows)))
        return Wanted(VIEW, self.head.content, 0, ("m",))

    def keep(self, want: Wanted, now: int = LATER):
        return bring_up(self.store, want, self.rows, now)

    def check(self, want: Wanted, moments: list[int]) -> None:
        """What is online is what the engine gives of the version's rows."""
        asked = [(who, at * S) for who in ("ana", "bo") for at in moments]
        frame = pl.DataFrame({"moment": [at for _, at in asked], "row_time": [at for _, at in asked], "key": [who for who, _ in asked]})
        assert OnlineView(VIEW, self.store.read).values(frame).equals(values(VIEW, commit.load_content(want.content, self.blobs), frame))


@pytest.fixture
def world(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(chunks, "MOST", 32 * 24)
    monkeypatch.setattr(chunks, "LEAST", 8 * 24)
    made = World(tmp_path)
    yield made
    made.store.close()


def test_of_a_version_that_only_adds_rows_the_new_chunks_are_read_and_no_others(world: World, monkeypatch) -> None:
    rows = [("ana" if at % 2 else "bo", at, None, at) for at in range(2_000)]
    world.keep(world.version(rows))
    want = world.version([*rows, ("ana", 1_000, 2_001, 5), ("bo", 2_002, None, 6)])
    read: list[str] = []
    whole = manifest.read
    for module in (manifest, additions):
        monkeypatch.setattr(module, "read", lambda chunk, *more: read.append(chunk) or whole(chunk, *more))
    at = world.keep(want)
    assert (at.progress.rows, at.progress.next) == (2_002, 2_002)
    assert 0 < len(read) <= 8 < len(manifest.names(want.content, world.blobs))
    monkeypatch.undo()
    world.check(want, [999, 1_000, 2_001, 2_003])


@pytest.mark.parametrize("order", ["new first", "other order"])
def test_a_source_that_orders_rows_of_one_time_otherwise_than_they_came_is_filled_anew(world: World, order: str) -> None:
    """Which of them is the newest is what the data set says, and not what came last."""
    rows = [("ana", 10, None, 1), ("ana", 10, None, 2), ("bo", 10, None, 3)]
    first = world.keep(world.version(rows))
    want = world.version([("ana", 10, None, 9), *rows] if order == "new first" else [rows[1], rows[0], rows[2]])
    assert world.keep(want).generation.number > first.generation.number
    world.check(want, [11])


a_row = st.tuples(st.sampled_from(["ana", "bo"]), st.integers(0, 60), st.none() | st.integers(0, 70), st.none() | st.integers(0, 9))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["end", "front", "middle", "gone", "changed", "turned"]), st.lists(a_row, max_size=15)), max_size=5
    ),
    moments=st.lists(st.integers(0, 90), min_size=1, max_size=5),
)
def test_whatever_happens_to_a_data_set_its_newest_version_is_online(tmp_path_factory, steps, moments) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "MOST", 12 * 24)
        patch.setattr(chunks, "LEAST", 3 * 24)
        world = World(tmp_path_factory.mktemp("added"))
        rows = [("ana", at % 40, None, at % 7) for at in range(60)]
        for what, some in [("end", []), *steps]:
            middle = len(rows) // 2
            match what:
                case "end":
                    rows = [*rows, *some]
                case "front":
                    rows = [*some, *rows]
                case "middle":
                    rows = [*rows[:middle], *some, *rows[middle:]]
                case "gone":
                    rows = [*rows[: middle - 1], *rows[middle:], *some]
                case "changed":
                    rows = [("bo", *row[1:]) if place == middle else row for place, row in enumerate(rows)]
                case "turned":
                    rows = rows[::-1]
            want = world.version(rows)
            world.keep(want)
            world.check(want, moments)
        world.store.close()


def test_a_view_whose_data_set_lacks_a_column_says_so_and_keeps_no_other_from_its_turn(world: World, tmp_path: Path) -> None:
    want = world.version([("ana", 1, None, 2)])
    wider = fb.Dataset("visits", source="v.csv", time="at", columns={**DATA.columns, "score": float})
    lacking = fb.FeatureView("lacking", wider, entity="who", features={"score": "score"})

    def load(content: str, columns: list[str]) -> pl.DataFrame:
        if content == BROKEN:
            raise ZeroDivisionError(content)
        return world.rows.load(content, columns)

    rows, note = replace(world.rows, load=load), tmp_path / "note.json"
    views = LiveViews(lambda: world.store, rows, Clock(LATER), note)
    views.step(world.store, {"1": Wanted(lacking, want.content, 0, ("m",)), "2": replace(want, content=BROKEN), "3": want})
    world.check(want, [3])
    assert [each.problem for each in noted(note).views] == [
        'view "lacking": the rows of data set "visits" have no column "score": ',
        "a fault of flyball's own, ZeroDivisionError: the loop's log tells where",
        "",
    ]


class Clock:
    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


def test_a_pass_over_views_that_are_up_to_date_looks_at_the_store_as_often_as_one_over_a_single_one(world: World, tmp_path: Path) -> None:
    want = world.version([("ana", 1, None, 2)])
    views = [fb.FeatureView(f"v{number}", DATA, entity="who", features={"newest": "n"}) for number in range(20)]
    wanted = {plan(view).store_name: replace(want, view=view) for view in views}
    live = LiveViews(lambda: world.store, world.rows, Clock(LATER), tmp_path / "note.json")
    live.step(world.store, wanted)
    asked: list[str] = []
    query = world.store._query
    world.store._query = lambda sql, *more: asked.append(sql) or query(sql, *more)
    live.step(world.store, wanted)
    assert len(asked) <= 5
    assert {each.state for each in noted(tmp_path / "note.json").views} == {"live"}
    assert live.behind(wanted) == []
    assert live.behind({}) == sorted(wanted)


def test_a_row_that_lies_ahead_makes_no_view_younger_than_its_last_row_that_came(world: World) -> None:
    want = world.version([("ana", 1, None, 2), ("ana", 2 * 10**9, None, 3)])
    world.keep(want, now=100 * S)
    told = status(plan(VIEW).store_name, want, world.store.generations())
    assert (told.as_of, told.made_at) == (100 * S, 100 * S)


def test_a_view_that_no_model_reads_goes_after_an_hour_whoever_looks_then(world: World, tmp_path: Path) -> None:
    """With `flyball tick` every look is another process."""
    want = world.version([("ana", 1, None, 2)])
    name, note = plan(VIEW).store_name, tmp_path / "note.json"

    def look(at: int, wanted: dict[str, Wanted]) -> list[str]:
        LiveViews(lambda: world.store, world.rows, Clock(at), note).step(world.store, wanted)
        return [each.view for each in world.store.generations()]

    hour = 3_600 * S
    assert look(LATER, {name: want}) == [name]
    assert look(LATER + hour, {}) == [name]
    assert look(LATER + 2 * hour - 1, {}) == [name]
    assert noted(note).unwanted == {name: LATER + hour}
    assert look(LATER + 2 * hour, {}) == []
    assert noted(note).unwanted == {}
