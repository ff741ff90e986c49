"""What the control plane does in a pass besides the tick of the loop."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.api import control
from flyball.api.control import Control
from flyball.errors import Conflict, FlyballError, NotFound, Unavailable
from flyball.ledger import checkpoints
from flyball.loop import tick as ticking
from flyball.records.declarations import DECLARATIONS

from .conftest import opened


@pytest.mark.parametrize(
    ("error", "signed"),
    [
        (NotFound("a declaration is gone"), True),
        (Unavailable("the database does not answer"), False),
        (Conflict("another control plane took over", code="fenced"), False),
    ],
    ids=["one model's", "the store's", "lost"],
)
def test_trouble_with_one_model_leaves_nothing_unsigned(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: FlyballError, signed: bool
) -> None:
    def goes_wrong(*_: object) -> None:
        raise error

    monkeypatch.setenv("FLYBALL_CHECKPOINT_EVENTS", "1")
    monkeypatch.setattr(control, "tick", goes_wrong)
    with opened(root) as wired:
        with pytest.raises(type(error)):
            Control(wired, watch=False)._tick(wired.ports.clock.now())
        assert bool(list(checkpoints.every(wired.ledger))) is signed


@pytest.mark.parametrize("part", ["absorb", "observe_data", "advance", "nothing"])
def test_a_pass_that_looked_at_no_model_is_no_sign_of_life(root: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    def goes_wrong(*_: object) -> None:
        raise NotFound("a manifest is lost")

    monkeypatch.setattr(ticking, "keep_views", lambda _: None)
    if part != "nothing":
        monkeypatch.setattr(ticking, part, goes_wrong)
    with opened(root) as wired:
        assert [name for name, _ in wired.ledger.state().scan(DECLARATIONS)] == ["demand"]
        beat, now = wired.layout.beat, wired.ports.clock.now()
        with contextlib.nullcontext() if part == "nothing" else pytest.raises(NotFound, match="a manifest is lost"):
            Control(wired, watch=False)._pass(now)
        assert beat.exists() is (part == "nothing")


def test_a_control_plane_whose_supervisor_died_before_it_began_does_not_stay(root: Path) -> None:
    life, breath = os.pipe()
    with subprocess.Popen([sys.executable, "-P", "-m", "flyball.api.control", "--root", str(root), "--no-watch"], stdin=life) as process:
        os.close(life)
        os.close(breath)
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_whatever_ends_the_loop_ends_the_children_that_look_beside_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(root) as wired:
        own = Control(wired, watch=False)

        def lost(_now: int) -> None:
            raise Conflict("another loop has taken over", code="fenced")

        monkeypatch.setattr(own, "_pass", lost)
        with pytest.raises(Conflict, match="another loop"):
            own.run()
        looks = (own._estimating, own._outcomes, own._feedback)
        assert all(look._child._over for look in looks), "one that is begun now is ended at once"
