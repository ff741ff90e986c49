"""The loop keeps the online store at the data sets' versions, and a person who is erased leaves it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import polars as pl
import pytest

import flyball as fb
from flyball.clock import rfc3339
from flyball.errors import Unavailable
from flyball.features.online.plan import plan
from flyball.features.online.read import OnlineView
from flyball.loop.live_online import LiveViews
from flyball.loop.online import Wanted, bring_up, brought_up, noted, unused, wanted
from flyball.records.online import ViewsStatus
from flyball.serving.layout import write_whole
from flyball.store.online import Part

from .person_kit import END, WHO, People, erase, rows

AT = END + 7 * 86_400
"""When the views are asked, in seconds: after all rows."""


def generations(people: People):
    with people.opened() as wired:
        store = wired.online()
        try:
            return store.generations()
        finally:
            store.close()


def listed(people: People) -> dict:
    [view] = people.call("features", "list").document["views"]
    return view


def asked(people: People, who: str) -> dict:
    """What the views give for a person at the end of the data."""
    with people.opened() as wired:
        [want] = wanted(wired.ports.ledger.state(), wired.ports.library).values()
        store = wired.online()
        at = AT * 1_000_000
        found = OnlineView(want.view, store.read).values(pl.DataFrame({"row_time": [at + 1], "moment": [at], "key": [who]}))
        store.close()
    return found.row(0, named=True)


def grown() -> pl.DataFrame:
    """The rows that there are, and fifty of one person's more."""
    more = rows(50).with_columns(
        pl.lit(WHO).alias("customer"), pl.lit(rfc3339((END + 3_600) * 1_000_000)).alias("ts"), ("m" + pl.col("payment")).alias("payment")
    )
    return pl.concat([rows(650), more])


def within(frame: pl.DataFrame, who: str) -> pl.DataFrame:
    """A person's rows of the thirty days before that."""
    seconds = pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.epoch("s")
    return frame.filter((pl.col("customer") == who) & (seconds > AT - 30 * 86_400) & (seconds <= AT))


def counted(frame: pl.DataFrame, who: str) -> int:
    return within(frame, who).height


def test_a_pass_of_the_loop_brings_views_to_their_data_sets_newest_version(people: People) -> None:
    view = listed(people)
    assert (view["view"], view["state"], view["rows"], view["lag"], view["models"]) == ("habits", "live", 650, 0, ["pay"])
    assert view["as_of"] is not None
    assert asked(people, WHO)["times"] == counted(rows(650), WHO)


def test_rows_that_were_added_go_into_what_is_read_and_a_change_is_filled_anew(people: People) -> None:
    [before] = generations(people)
    people.write(grown())
    assert people.call("tick").code == 0
    [after] = generations(people)
    assert (after.number, listed(people)["rows"]) == (before.number, 700)
    assert asked(people, WHO)["times"] == counted(grown(), WHO)
    people.write(grown().with_columns(pl.col("amount") * 2))
    assert people.call("tick").code == 0
    [anew] = generations(people)
    assert anew.number > after.number
    assert asked(people, WHO)["spent"] == pytest.approx(within(grown(), WHO)["amount"].sum() * 2)


def test_a_person_who_is_erased_leaves_the_online_store_before_the_command_ends(people: People) -> None:
    assert asked(people, WHO)["times"] > 0
    assert erase(people).code == 0
    assert asked(people, WHO) == {"spent": 0.0, "times": 0}
    assert WHO.encode() not in (people.state / "online.sqlite3").read_bytes()


def test_what_no_model_reads_any_more_goes_with_an_erasure_and_else_in_an_hour(people: People) -> None:
    with people.opened() as wired:
        store = wired.online()
        store.publish(store.put(store.begin("old@1", b""), [Part(WHO.encode(), 0, b"x")], b"c"))
        store.close()
        assert brought_up(wired.ports) == []
    assert [each.view.partition("@")[0] for each in generations(people)] == ["habits"]
    since: dict[str, int] = {}
    one = Wanted(None, "", 0, ())  # type: ignore[arg-type]
    assert unused(["a", "b"], {"a": one}, since, 0, 10) == []
    assert unused(["a", "b"], {"a": one}, since, 9, 10) == []
    assert unused(["a", "b"], {"a": one, "b": one}, since, 10, 10) == [], "wanted again"
    assert unused(["a", "b"], {"a": one}, since, 11, 10) == []
    assert unused(["a", "b"], {"a": one}, since, 21, 10) == ["b"]


def test_one_view_that_cannot_be_computed_keeps_no_other_from_its_turn(people: People) -> None:
    people.write(grown())
    assert people.call("tick").code == 0
    with people.opened() as wired:
        [(name, want)] = wanted(wired.ports.ledger.state(), wired.ports.library).items()
        broken = fb.FeatureView("broken", want.view.data, entity="customer", features={"none": pl.col("customer").str.to_integer()})
        store, note = wired.online(), people.root / "note.json"
        store.drop(name)
        views = LiveViews(lambda: store, wired.rows, wired.ports.clock, note)
        views.step(store, {plan(broken).store_name: replace(want, view=broken), name: want})
        store.close()
    told = {each.view: each for each in noted(note).views}
    assert (told["habits"].state, told["habits"].rows) == ("live", 700)
    assert told["broken"].state == "none"
    assert "cannot be computed" in told["broken"].problem


def test_where_somebody_else_wrote_a_view_meanwhile_nothing_is_wrong_with_it(people: People, capsys) -> None:
    note = people.root / "note.json"
    with people.opened() as wired:
        store, other = wired.online(), wired.online()
        known = wanted(wired.ports.ledger.state(), wired.ports.library)
        [(name, want)] = known.items()
        store.drop(name)

        class Slow:
            """A store that somebody else has filled by the time that this one's values are to be read."""

            def __getattr__(self, called: str):
                if called == "publish":
                    bring_up(other, want, wired.rows, wired.ports.clock.now(), whole=True)
                return getattr(store, called)

        LiveViews(lambda: store, wired.rows, wired.ports.clock, note).step(Slow(), known)
        store.close()
        other.close()
    assert capsys.readouterr().err == ""
    assert [(each.rows, each.problem) for each in noted(note).views] == [(650, "")]


def test_a_view_is_made_anew_on_demand_and_from_a_moment_on(people: People) -> None:
    [before] = generations(people)
    assert people.call("features", "materialise", "habits", "--full").code == 0
    [after] = generations(people)
    assert after.number > before.number
    ended = people.call("features", "materialise", "--all", "--since", "2020-01-01T00:00:00Z")
    assert ended.code == 0
    assert ended.document["views"][0]["rows"] == 650
    [since] = generations(people)
    assert since.number > after.number, "it too is made beside what is read"
    assert asked(people, WHO)["times"] == counted(rows(650), WHO)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["materialise"], 2, "name one view"),
        (["materialise", "habits", "--all"], 2, "name one view"),
        (["materialise", "habits", "--full", "--since", "2020-01-01"], 2, "exclude each other"),
        (["materialise", "habits", "--since", "yesterday"], 2, "--since"),
        (["materialise", "habit"], 1, "no feature view"),
        (["show", "habit"], 1, "habits"),
    ],
)
def test_a_wrong_word_is_told_as_that(people: People, words: list[str], code: int, says: str) -> None:
    ended = people.call("features", *words)
    assert ended.code == code
    assert says in ended.err + ended.out


def test_a_store_that_does_not_answer_is_told_and_what_was_seen_last_is_shown(people: People) -> None:
    (people.root / "flyball.toml").write_text('[settings]\nonline_url = "postgresql://nobody@127.0.0.1:1/none"\n')
    ended = people.call("features", "show", "habits")
    assert ended.code == 0
    assert ended.document["definitions"][0]["rows"] == 650
    assert "what the loop saw last" in ended.err
    assert people.call("features", "materialise", "--all").code == 3
    people.write(grown())
    assert people.call("tick").code == 0, "the loop goes on"
    told = noted(people.state / "run" / "views.json")
    assert "cannot be reached" in told.views[0].problem


def test_a_store_whose_file_is_damaged_is_made_anew_by_the_loop_and_on_demand(people: People) -> None:
    file = people.state / "online.sqlite3"
    for words in (["tick"], ["features", "materialise", "--all"]):
        before = asked(people, WHO)
        file.write_bytes(b"no database at all" * 1_000)
        with people.opened() as wired, pytest.raises(Unavailable, match="is damaged"):
            wired.online().generations()
        ended = people.call(*words)
        assert (ended.code, "was damaged" in ended.err) == (0, True)
        assert asked(people, WHO) == before


def test_status_says_which_view_is_behind_and_why(people: People) -> None:
    assert people.call("status").document["views"] == []
    note = people.state / "run" / "views.json"
    told = noted(note)
    write_whole(note, msgspec.json.encode(ViewsStatus((msgspec.structs.replace(told.views[0], problem="it is full"),))))
    assert people.call("status").document["views"] == [{"view": "habits", "models": ["pay"], "problem": "it is full"}]


def test_an_address_of_no_store_is_refused(people: People) -> None:
    (people.root / "flyball.toml").write_text('[settings]\nonline_url = "redis://host"\n')
    ended = people.call("features", "materialise", "--all")
    assert ended.code == 1
    assert "is not the address of an online store" in ended.err + ended.out


def test_a_view_without_a_version_of_its_data_waits(people: People) -> None:
    with people.opened() as wired:
        [want] = wanted(wired.ports.ledger.state(), wired.ports.library).values()
        assert bring_up(wired.online(), Wanted(want.view, "", 0, ()), wired.rows, 0) is None


def test_a_view_of_rows_that_have_changed_since_is_not_up_to_date(people: People) -> None:
    """Though the version that there is now is no later, and what keeps the view from it is told."""
    with people.opened() as wired:
        [want] = wanted(wired.ports.ledger.state(), wired.ports.library).values()
        store = wired.online()
        [before] = store.generations()
        store.put(before, (), before.cursor.replace(want.content.encode(), b"0" * 64))
        store.close()
        told = noted(wired.layout.views)
        write_whole(wired.layout.views, msgspec.json.encode(ViewsStatus((msgspec.structs.replace(told.views[0], problem="it is broken"),))))
    shown = people.shown("features", "show", "habits")
    assert "rows have changed since" in shown
    assert "up to date" not in shown
    assert "it is broken" in shown
    assert "changed" in people.shown("features", "list")
    assert people.call("features", "materialise", "--all").code == 0
    assert "up to date" in people.shown("features", "show", "habits")
    assert "it is broken" not in people.shown("features", "list")


def test_rows_that_are_gone_are_no_reason_not_to_fill_anew(people: People) -> None:
    """What the store holds was made from a version whose blobs were collected since."""
    with people.opened() as wired:
        [want] = wanted(wired.ports.ledger.state(), wired.ports.library).values()
        store = wired.online()
        [before] = store.generations()
        store.put(before, (), before.cursor.replace(want.content.encode(), b"0" * 64))
        at = bring_up(store, want, wired.rows, wired.ports.clock.now())
        assert at is not None
        assert at.progress.content == want.content
        assert at.generation.number > before.number
        with pytest.raises(Unavailable):
            OnlineView(want.view, lambda *_: store.read("nothing@1", [b"x"])).values(
                pl.DataFrame({"row_time": [2], "moment": [1], "key": ["x"]})
            )
        assert plan(want.view).store_name == at.generation.view
        store.close()
