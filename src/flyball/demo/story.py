"""The story, act by act: it only sends traffic, changes the world, and edits one file. All that happens is the loop's own doing.

Every act waits for an event in the ledger; an act that does not come about within its time ends the story, and the report says which.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from flyball.clock import Instant
from flyball.demo.processes import Up
from flyball.demo.project import LOOP_FILE, hasty_text
from flyball.demo.tape import Found, Tape, canary_line
from flyball.demo.teller import Teller
from flyball.demo.traffic import Bank, seen
from flyball.demo.world import BECOMES, RECODED, Climate
from flyball.loop.telling import Telling
from flyball.records.base import Event
from flyball.records.incidents import IncidentMoved, IncidentOpened, IncidentState
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.records.serving import RouteInForce
from flyball.records.training import RunQueued
from flyball.records.versions import ChampionChanged, VersionEligible
from flyball.wiring import Wired

RATE = 200.0
"""Applications a second: enough evidence within seconds, and the larger part of two cores is left to the loop."""

STEADY_S = 2.4
"""The drift begins within the first window of a thousand requests: with the next one it has shown itself twice."""

QUIET = 100.0
"""Applications a second of the night: enough to judge a candidate on; the machine is left to training and workers."""

_RAMP = 1_500_000
_PARTNER = 0.4
_LOOK_S = 0.1
_STATUS_S = 3.0

EventT = TypeVar("EventT", bound=Event)


class Undone(Exception):
    """An act did not come about."""


@dataclass
class Course:
    """When things happened (µs; 0: they did not), as the acts found them."""

    steady_at: Instant = 0
    onset_at: Instant = 0
    partner_at: Instant = 0
    onset_request: int = 0
    incident: Found[IncidentOpened] | None = None
    retrained: str = ""
    rollout: str = ""
    promoted: Found[RouteInForce] | None = None
    mitigated: Found[IncidentMoved] | None = None
    bad: str = ""
    bad_rollout: str = ""
    stopped: Found[RolloutMoved] | None = None
    back: Found[RouteInForce] | None = None
    failures: list[str] = field(default_factory=list)


class Story:
    """Plays the story on a project whose `up` has been started."""

    def __init__(self, wired: Wired, up: Up, teller: Teller, *, seed: int) -> None:
        self.course = Course()
        self.tape = Tape(wired.ledger)
        self._telling, self._state = Telling(), wired.ledger.state
        self.bank: Bank | None = None
        self._root: Path = wired.root
        self._up = up
        self._teller = teller
        self._seed = seed
        self._working: asyncio.Task[None] | None = None
        self._told_at = 0.0
        self._edited_at = 0

    async def play(self) -> None:
        """All acts. What did not come about is in `course.failures`."""
        try:
            port = await self._up.port()
            self._teller.say(f"up          gateways answer on http://127.0.0.1:{port}")
            await self._first_release()
            self._open(port)
            await self._steady()
            await self._drift()
            await self._recovery()
            await self._bad_candidate()
        except Undone as undone:
            self.course.failures.append(str(undone))
            self._teller.say(f"undone      {undone}", "bad")
        finally:
            await self._close()

    async def _first_release(self) -> None:
        self._teller.act("Every application so far was decided by hand. A model learns from them.")
        champion = await self._until(ChampionChanged, 45, "the first version is released")
        await self._until(RouteInForce, 10, "every gateway has the first version", after=champion.seq)

    def _open(self, port: int) -> None:
        self.bank = Bank(port=port, root=self._root, chance=np.random.default_rng(self._seed), rate=RATE, climate=self._climate)
        self._working = asyncio.create_task(self.bank.run())

    async def _steady(self) -> None:
        self._teller.act(f"The bank opens: {RATE:.0f} applications a second. One second stands for a day.")
        self.course.steady_at = _now()
        await self._pass(STEADY_S)

    async def _drift(self) -> None:
        self._teller.act(f'The base rate begins to rise. An upstream job now writes "{RECODED}" as "{BECOMES}". Nobody is told.')
        assert self.bank is not None, "the bank has opened"
        self.course.onset_at, self.course.onset_request = _now(), self.bank.sent
        mark = len(self.tape.events)
        found = await self._until(
            IncidentOpened, 25, "the loop notices", after=mark, holds=lambda event: event.failure_mode != "bad_release"
        )
        self.course.incident = found
        queued = await self._until(RunQueued, 25, "the loop trains again", after=mark, holds=lambda event: event.trigger == "monitor")
        passed = await self._until(VersionEligible, 40, "a retrained version passes its gates", after=queued.seq)
        self.course.retrained = passed.event.version

    async def _recovery(self) -> None:
        course = self.course
        planned = await self._until(
            RolloutPlanned, 10, "the retrained version is released", holds=lambda event: event.version == course.retrained
        )
        course.rollout = planned.event.rollout
        last = len(planned.event.steps) - 1
        await self._until(
            RolloutMoved,
            60,
            "the retrained version takes traffic",
            holds=lambda event: event.rollout == course.rollout and event.step == last,
        )
        # somebody works on the next version meanwhile
        self._edit()
        champion = await self._until(
            ChampionChanged, 60, "the retrained version is promoted", holds=lambda event: event.version == course.retrained
        )
        course.promoted = await self._until(RouteInForce, 10, "every gateway has the retrained version", after=champion.seq)
        assert self.bank is not None, "the bank has opened"
        self.bank.rate = QUIET
        self._teller.act(f"Night: {QUIET:.0f} applications a second.")
        incident = course.incident.event.incident if course.incident else ""
        course.mitigated = await self._until(
            IncidentMoved,
            15,
            "the incident is observed to be mitigated",
            holds=lambda event: event.incident == incident and event.target == IncidentState.MITIGATED,
        )

    def _edit(self) -> None:
        self._teller.act(
            "An engineer changes the estimator. It is as good on every row there is, and takes no application without an income."
        )
        self._edited_at = len(self.tape.events)
        path = self._root / LOOP_FILE
        scratch = path.with_suffix(".tmp")
        scratch.write_text(hasty_text(path.read_text(encoding="utf-8")), encoding="utf-8")
        scratch.replace(path)

    async def _bad_candidate(self) -> None:
        course = self.course
        queued = await self._until(
            RunQueued, 20, "the changed fit makes a candidate", after=self._edited_at, holds=lambda event: event.trigger == "declaration"
        )
        passed = await self._until(VersionEligible, 40, "the candidate passes its gates", after=queued.seq)
        course.bad = passed.event.version
        planned = await self._until(RolloutPlanned, 10, "the candidate is released", after=passed.seq - 1)
        course.bad_rollout = planned.event.rollout
        canary = await self._until(RolloutMoved, 40, "the candidate takes traffic", holds=self._moves(RolloutState.CANARY))
        await self._until(RouteInForce, 10, "every gateway sends it traffic", after=canary.seq)
        self._teller.act("Morning. A new partner goes live: its form does not ask for the income.")
        assert self.bank is not None, "the bank has opened"
        self.bank.rate = RATE
        course.partner_at = _now()
        course.stopped = await self._until(RolloutMoved, 30, "a guard stops the candidate", holds=self._moves(RolloutState.ROLLING_BACK))
        course.back = await self._until(RouteInForce, 10, "every gateway is back on the champion", after=course.stopped.seq)
        await self._until(RolloutMoved, 10, "the roll-back is recorded", holds=self._moves(RolloutState.ROLLED_BACK))
        await self._pass(0.7)

    def _moves(self, target: RolloutState) -> Callable[[RolloutMoved], bool]:
        return lambda event: event.rollout == self.course.bad_rollout and event.target == target

    def _climate(self, now: Instant) -> Climate:
        onset = self.course.onset_at
        economy = min(1.0, (now - onset) / _RAMP) if onset else 0.0
        return Climate(economy=economy, recoded=bool(onset), partner=_PARTNER if self.course.partner_at else 0.0)

    async def _until(
        self, kind: type[EventT], within_s: float, what: str, *, after: int = 0, holds: Callable[[EventT], bool] = lambda _event: True
    ) -> Found[EventT]:
        """The first such event, as soon as it is in the ledger. Raises Undone when it does not come."""
        until = time.monotonic() + within_s
        while True:
            self._look()
            found = self.tape.first(kind, holds, after=after)
            if found is not None:
                return found
            if time.monotonic() > until:
                raise Undone(f"not within {within_s:.0f} s: {what}")
            if not self._up.running():
                raise Undone(f"flyball up has ended before {what}")
            await asyncio.sleep(_LOOK_S)

    async def _pass(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._look()
            await asyncio.sleep(_LOOK_S)

    def _look(self) -> None:
        """Read the ledger, tell what is new, and say now and then how the bank fares."""
        for recorded in self.tape.read():
            mood, text = self._telling.line(recorded.event, self._state())
            event = recorded.event
            if isinstance(event, RolloutMoved) and event.target == RolloutState.CANARY:
                plan = self.tape.first(RolloutPlanned, lambda planned, ours=event: planned.rollout == ours.rollout)  # type: ignore[misc]
                text = canary_line(plan.event, event) if plan else ""
            if isinstance(event, RouteInForce) and self._stops(recorded.seq):
                mood, text = "good", f"route       back on the champion everywhere, {event.ms:.0f} ms after the decision"
            if text:
                self._teller.say(text, mood)
        if self._working is not None and self._working.done() and not self._working.cancelled():
            self._working.result()
        if self.bank is not None and time.monotonic() - self._told_at > _STATUS_S:
            self._told_at = time.monotonic()
            now = _now()
            view = seen(self.bank.asked, now - 4_000_000, now)
            self._teller.status(view, self.bank.sent)

    def _stops(self, seq: int) -> bool:
        last = [one for one in self.tape.all(RolloutMoved) if one.seq < seq]
        return bool(last) and last[-1].event.target == RolloutState.ROLLING_BACK

    async def _close(self) -> None:
        """The bank closes: open answers and the labels of the last second are waited for."""
        if self.bank is None or self._working is None:
            return
        self.bank.stop()
        if not self._working.done():
            await self._working
        self.tape.read()


def _now() -> Instant:
    return time.time_ns() // 1000
