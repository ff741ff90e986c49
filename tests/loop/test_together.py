"""One thing breaks ten models: people are woken once, in one thread that names them all; each model keeps its incident."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.clock import VirtualClock
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.delivering import Delivering, tell
from flyball.loop.proposals import Propose
from flyball.loop.tick import tick
from flyball.loop.together import peers_of
from flyball.records.data import DATASETS
from flyball.records.incidents import INCIDENTS, IncidentNoted, IncidentOpened, IncidentState
from flyball.records.versions import VersionRegistered
from flyball.wiring import Wired, open_project

from .receiver_kit import Receiver, receiving
from .test_delivery import MINUTE, SECOND, SECRETS, START, Town, acts, make_model, pagerduty

MODELS = [make_model(f"m{number}") for number in range(10)]
HOUR = 60 * MINUTE


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Town]]:
    made: list[Town] = []
    yield made
    for one in made:
        one.wired.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def tell_all(here: Town, models=MODELS, *, later: int = 0) -> None:
    """One pass over all models, as the loop makes it."""
    here.clock.advance_to(here.clock.now() + later)
    peers = peers_of(here.wired.ledger.state(), models)
    for model in models:
        tell(here.wired.ports, model, peers)
    here.delivering.step(here.wired.ports, here.clock.now())
    here.delivering.finish(here.wired.ports, 20)


def breaks(here: Town, *numbers: int, mode: str = "stale_data", monitor: str = "data is fresh", where: str = "rows") -> None:
    here.happen(
        *(
            IncidentOpened(
                incident=f"inc_{number}",
                model=f"m{number}",
                failure_mode=mode,
                alert=f"m{number}/{monitor}/{where}",
                what="pipeline break (rows)",
                cause="rows: its newest row is too old",
                owner="ana",
                actions=("page",),
            )
            for number in numbers
        )
    )


def test_ten_models_on_one_stale_data_set_are_one_page_and_it_ends_when_all_are_over(
    town, tmp_path, monkeypatch, receiver: Receiver
) -> None:
    here = Town(tmp_path, pagerduty(receiver), monkeypatch)
    town.append(here)
    breaks(here, *range(9))
    for _ in range(3):
        tell_all(here, later=SECOND)
    [page] = receiver.taken
    assert page.body["dedup_key"] == "inc_0"
    assert page.body["payload"]["summary"] == "9 models (m0, m1, m2 and 6 more): pipeline break (rows)"
    assert page.body["payload"]["custom_details"]["models"] == ", ".join(f"m{number}" for number in range(9))
    # the tenth comes an hour later, and after a restart: the same thread, by its key
    here.killed()
    breaks(here, 9)
    tell_all(here, later=HOUR)
    assert [(got.body["event_action"], got.body["dedup_key"]) for got in receiver.taken] == [("trigger", "inc_0")] * 2
    assert "now of m9 too" in receiver.taken[-1].body["payload"]["summary"]
    # nobody is on it: woken again once, not ten times
    tell_all(here, later=4 * HOUR)
    assert acts(receiver) == ["trigger"] * 3
    here.happen(IncidentNoted(incident="inc_4", note="acknowledged by user:ana", taken_by="user:ana"))
    for _ in range(3):
        tell_all(here, later=5 * HOUR)
    assert acts(receiver) == ["trigger"] * 3 + ["acknowledge"]
    for number in range(9):
        here.moves(IncidentState.OPEN, IncidentState.MITIGATED, f"inc_{number}")
        tell_all(here, later=SECOND)
    assert acts(receiver)[4:] == [], "one of ten is not over yet"
    here.moves(IncidentState.OPEN, IncidentState.MITIGATED, "inc_9")
    tell_all(here, later=SECOND)
    assert acts(receiver)[4:] == ["resolve"]
    assert receiver.taken[-1].body["dedup_key"] == "inc_0"
    # one of them breaks again: the thread is told so, by its key
    here.moves(IncidentState.MITIGATED, IncidentState.OPEN, "inc_3")
    tell_all(here, later=SECOND)
    assert (acts(receiver)[5:], receiver.taken[-1].body["dedup_key"]) == (["trigger"], "inc_0")


def test_what_has_nothing_in_common_is_told_apart(town, tmp_path, monkeypatch, receiver: Receiver) -> None:
    here = Town(tmp_path, pagerduty(receiver), monkeypatch)
    town.append(here)
    breaks(here, 0, 1, mode="concept_drift", monitor="loss since release", where="")
    breaks(here, 2)
    breaks(here, 3, mode="errors", monitor="error_rate", where="")
    tell_all(here)
    here.clock.advance_to(here.clock.now() + 11 * MINUTE)
    breaks(here, 4, mode="errors", monitor="error_rate", where="")
    tell_all(here)
    assert sorted(got.body["dedup_key"] for got in receiver.taken) == [f"inc_{number}" for number in range(5)]


def test_models_of_other_routes_are_told_on_theirs(town, tmp_path, monkeypatch, receiver: Receiver) -> None:
    with receiving() as other:
        toml = pagerduty(receiver) + f'[routes.desk]\nkind = "slack"\nurl = "{other.url}"\n'
        here = Town(tmp_path, toml, monkeypatch)
        town.append(here)
        models = [*MODELS[:3], make_model("m3", "desk"), make_model("m4", "desk")]
        breaks(here, *range(5))
        for _ in range(2):
            tell_all(here, models, later=SECOND)
        assert [got.body["dedup_key"] for got in receiver.taken] == ["inc_0"]
        [chat] = other.taken
        assert "2 models (m3 and m4): pipeline break (rows)" in chat.body["text"]


def test_where_the_first_model_gets_another_route_the_others_go_on_in_a_thread_of_their_own(
    town, tmp_path, monkeypatch, receiver: Receiver
) -> None:
    with receiving() as other:
        toml = pagerduty(receiver) + f'[routes.desk]\nkind = "slack"\nurl = "{other.url}"\n'
        here = Town(tmp_path, toml, monkeypatch)
        town.append(here)
        breaks(here, 0, 1, 2)
        tell_all(here, MODELS[:3])
        moved = [make_model("m0", "desk"), *MODELS[1:3]]
        for _ in range(3):
            tell_all(here, moved, later=SECOND)
        assert [(got.body["event_action"], got.body["dedup_key"]) for got in receiver.taken] == [("trigger", "inc_0"), ("trigger", "inc_1")]
        assert receiver.taken[-1].body["payload"]["summary"].startswith("2 models (m1 and m2)")
        assert len(other.taken) == 1
        # nobody is on it: they are woken again, and hear of each end by the key that began it
        tell_all(here, moved, later=4 * HOUR)
        assert (acts(receiver)[2:], receiver.taken[-1].body["dedup_key"]) == (["trigger"], "inc_1")
        here.moves(IncidentState.OPEN, IncidentState.MITIGATED, "inc_0")
        tell_all(here, moved, later=SECOND)
        assert (acts(receiver)[3:], receiver.taken[-1].body["dedup_key"]) == (["resolve"], "inc_0")
        for name in ("inc_1", "inc_2"):
            here.moves(IncidentState.OPEN, IncidentState.MITIGATED, name)
        for _ in range(2):
            tell_all(here, moved, later=SECOND)
        assert (acts(receiver)[4:], receiver.taken[-1].body["dedup_key"]) == (["resolve"], "inc_1")


def test_alertmanager_has_one_alert_of_one_set_of_labels(town, tmp_path, monkeypatch, receiver: Receiver) -> None:
    here = Town(tmp_path, f'[routes]\ndefault = "am"\n[routes.am]\nkind = "alertmanager"\nurl = "{receiver.url}"\n', monkeypatch)
    town.append(here)
    breaks(here, 0, 1, 2)
    tell_all(here)
    breaks(here, 3)
    for _ in range(3):
        tell_all(here, later=MINUTE)
    labels = {tuple(sorted(alert["labels"].items())) for got in receiver.taken for alert in got.body}
    assert len(labels) == 1
    assert dict(next(iter(labels)))["thread"] == "inc_0"
    assert receiver.taken[-1].body[0]["annotations"]["models"] == "m0, m1, m2, m3"


def test_a_muted_model_joins_nobody_until_it_is_heard_again(town, tmp_path, monkeypatch, receiver: Receiver) -> None:
    from flyball.records.mutes import AlertMuted, AlertUnmuted

    here = Town(tmp_path, pagerduty(receiver), monkeypatch)
    town.append(here)
    here.happen(AlertMuted(model="m0", monitor="", until=START + 9 * HOUR, reason="it moves"))
    breaks(here, 0, 1, 2)
    tell_all(here)
    assert [got.body["dedup_key"] for got in receiver.taken] == ["inc_1"]
    assert receiver.taken[0].body["payload"]["summary"].startswith("2 models (m1 and m2)")
    here.happen(AlertUnmuted(model="m0", monitor=""))
    tell_all(here, later=SECOND)
    assert [got.body["dedup_key"] for got in receiver.taken] == ["inc_1", "inc_1"]


LOOP = """
import flyball as fb
rows = fb.Dataset("rows", source="rows.csv", time="ts", freshness="1h", columns={"ts": str, "x": float, "y": fb.column(int, one_of=(0, 1))})
def fit(X, y): ...
for name in ("a", "b", "c", "d"):
    globals()[name] = fb.Model(name, task="binary", data=rows, label="y", owner="ana", framing=fb.Framing("test"), train=fb.Train(fit), autonomy="record", playbook=fb.Playbook(stale_data="page"))
"""


def test_through_the_loop_a_feed_that_stops_wakes_one_person_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "flyball.toml").write_text(pagerduty(receiver))
    (tmp_path / "loop.py").write_text(LOOP.replace('"ts": str, ', ""))
    (tmp_path / "rows.csv").write_text("ts,x,y\n2023-11-14T22:00:00Z,1.0,1\n")
    clock = VirtualClock(START)
    wired: Wired = open_project(tmp_path, claim=True, clock=clock)
    try:
        apply(compile_project(tmp_path), wired.ports, "loop")
        versions = [
            VersionRegistered(
                model=name, version="1.0.0", run="r", artifact="", result="", version_digest="v", policy_digest="p", data={}, metrics={}
            )
            for name in "abcd"
        ]
        command = Propose(id="c", actor="loop", proposal="p", model="a", action="train", mode="record", target="", reason="")
        wired.ports.ledger.execute(command, lambda *_: tuple(versions))
        delivering = Delivering(wired.ports.memory, lambda: 1.0)
        until = time.monotonic() + 30
        while wired.ports.ledger.state().get(DATASETS, "rows") is None and time.monotonic() < until:
            # the file is read beside the loop
            tick(clock.now(), wired.ports)
        assert receiver.taken == []
        clock.advance_to(START + 2 * HOUR)
        for _ in range(2):
            tick(clock.now(), wired.ports)
            delivering.step(wired.ports, clock.now())
            delivering.finish(wired.ports, 20)
        rows = [row for _, row in wired.ports.ledger.state().scan(INCIDENTS)]
        assert sorted((row.model, row.failure_mode) for row in rows) == [(name, "stale_data") for name in "abcd"]
        [page] = receiver.taken
        assert page.body["payload"]["summary"].startswith("4 models (a, b, c and d)")
    finally:
        wired.close()
