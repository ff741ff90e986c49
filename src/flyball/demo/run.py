"""One demo from an empty folder to a report; whatever happens, every process it started has ended and its folder is gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flyball.demo.processes import Up, end_runs
from flyball.demo.project import Matured, write_project
from flyball.demo.report import Report, make_report
from flyball.demo.story import RATE, Story
from flyball.demo.teller import Teller
from flyball.demo.world import Climate, applications
from flyball.errors import Conflict
from flyball.records.declarations import DECLARATIONS
from flyball.serving.supervisor import bind
from flyball.wiring import Wired, open_project

SEED = 2
_HISTORY = 10_000
_SINCE_US = 2_000_000
"""The newest row of the history is so old that its label is known."""


@dataclass(frozen=True)
class Kept:
    """A demo that was left running."""

    url: str
    project: Path
    pid: int


def play(teller: Teller, *, keep: bool = False, sabotage: bool = False, port: int = 0, seed: int = SEED) -> tuple[Report, Kept | None]:
    """Play the whole story. `port` 0: any that is free. Raises Conflict (port in use, a ledger that is not empty), Unavailable, and KeyboardInterrupt after cleaning up."""
    # a shell that starts us in the background has us ignore Ctrl-C: what was started could then not be ended
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # a Ctrl-C by another name: what was started is ended first
        signal.signal(number, lambda _number, _frame: os.kill(os.getpid(), signal.SIGINT))
    if port:
        # tried here first, so that a port in use is refused in the words of `flyball up`
        bind("127.0.0.1", port).close()
    root = Path(tempfile.mkdtemp(prefix="flyball-demo-")).resolve()
    kept: Kept | None = None
    try:
        write_project(root, history(seed), sabotage=sabotage)
        report, kept = _play(root, teller, keep=keep, port=port, seed=seed)
    finally:
        if kept is None:
            shutil.rmtree(root, ignore_errors=True)
    return report, kept


def history(seed: int) -> list[Matured]:
    """The applications of the days before, decided by hand: every outcome is known."""
    now = time.time_ns() // 1000 - _SINCE_US
    step = round(1e6 / RATE)
    people = applications(np.random.default_rng([seed, 0]), _HISTORY, Climate())
    return [Matured(one, now - (_HISTORY - place) * step, one.defaults) for place, one in enumerate(people)]


def _play(root: Path, teller: Teller, *, keep: bool, port: int, seed: int) -> tuple[Report, Kept | None]:
    wired = open_project(root)
    up: Up | None = None
    left = False
    try:
        _check_empty(wired)
        up = Up(root, port)
        story = Story(wired, up, teller, seed=seed)
        asyncio.run(story.play())
        if not keep:
            up.stop()
        report = make_report(story, wired, began=teller.began)
        kept = Kept(f"http://127.0.0.1:{story.bank.port if story.bank else port}", root, up.pid) if keep and up.running() else None
        left = kept is not None
        return report, kept
    finally:
        if up is not None:
            up.leave() if left else up.stop()
        if not left:
            end_runs(wired)
        wired.close()


def _check_empty(wired: Wired) -> None:
    """The story begins with nothing; a setting in the environment may name a ledger that has something. Raises Conflict."""
    if wired.ledger.state().scan(DECLARATIONS):
        raise Conflict(
            "the demo needs a ledger of its own",
            why=f"there are models in {wired.database.name}, which FLYBALL_DATABASE_URL names",
            fix="name an empty database, or unset FLYBALL_DATABASE_URL",
        )
