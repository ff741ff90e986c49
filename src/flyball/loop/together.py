"""Which thread an incident is told in, by what was said before and what nobody was told of yet. Reads the record; decides nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.declare.routes import Routes
from flyball.incidents import threads
from flyball.incidents.messages import LIVE_STATES, WITH
from flyball.loop.findings import alerts_of, incidents_of
from flyball.records.base import State
from flyball.records.deliveries import SAID, SaidRow, said_key
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.mutes import is_muted, mutes_of


class Peer(NamedTuple):
    """An incident that is not closed, or leads a thread, and its model as it is declared."""

    incident: str
    model: Model


class Thread(NamedTuple):
    """The incidents that one thread tells of as one, those beside the first with their models, and whether nobody is to hear of any of them."""

    row: IncidentRow
    others: Mapping[str, str]
    muted: bool


def peers_of(state: State, models: Sequence[Model]) -> list[Peer]:
    """What is not closed of these models, or leads a thread that is not over, the project's order."""
    leading = {said.thread for _, said in state.scan(SAID)}
    return [
        Peer(row.incident, model)
        for model in models
        for row in incidents_of(state, model.name)
        if row.state != IncidentState.CLOSED or row.incident in leading
    ]


@dataclass(frozen=True)
class Together:
    """One look at the record. `peers`: the incidents of all models that may share a thread."""

    state: State
    routes: Routes
    peers: Sequence[Peer]
    now: Instant

    def thread(self, row: IncidentRow, model: Model, route: str, said: SaidRow | None) -> Thread | None:
        """What is told of an incident on a route; None: it is told in another's thread."""
        if said is None:
            if self._is_told_elsewhere(row, model, route):
                return None
            quiet = _muted(self.state, row, self.now)
            rows = [row, *(() if quiet else (other for other, _ in self._untold(row, model, route)))]
        else:
            rows = _of_thread(self.state, row, said)
            live = any(one.state in LIVE_STATES for one in rows)
            rows += (
                [other for other, _ in self._untold(row, model, route, live=live)] if self.routes.of(model.playbook.route) == route else []
            )
        going = [one for one in rows if one.state in LIVE_STATES] or rows
        return Thread(
            threads.joint(rows, said),
            {one.incident: one.model for one in rows[1:]},
            all(_muted(self.state, one, self.now) for one in going),
        )

    def _is_told_elsewhere(self, row: IncidentRow, model: Model, route: str) -> bool:
        """Whether it is told in the thread of another, was or will be in this pass."""
        if threads.shared(row, model) is None:
            return False
        said = [one for _, one in self.state.scan(SAID) if one.route == route]
        led = self._led(said)
        # what is over was told as such: only what is live needs a thread that goes on
        if any(f"{WITH}{row.incident}" in one.marks for one in (led if row.state in LIVE_STATES else said)):
            return True
        if _muted(self.state, row, self.now):
            return False
        leads = {one.thread: one for one in led}
        for peer in self.peers:
            first = self.state.get(INCIDENTS, peer.incident) if peer.incident in leads else None
            if first is not None and threads.joins(row, model, first, peer.model, live=self._is_live(first, leads[peer.incident])):
                return True
        return any((other.opened_at, other.incident) < (row.opened_at, row.incident) for other, _ in self._untold(row, model, route))

    def _led(self, said: Sequence[SaidRow]) -> list[SaidRow]:
        """Those whose first incident's model still has this route: of others nothing but the end is told."""
        routes = {peer.incident: self.routes.of(peer.model.playbook.route) for peer in self.peers}
        return [one for one in said if routes.get(one.thread) == one.route]

    def _is_live(self, first: IncidentRow, said: SaidRow) -> bool:
        return any(one.state in LIVE_STATES for one in _of_thread(self.state, first, said))

    def _untold(self, row: IncidentRow, model: Model, route: str, *, live: bool = True) -> Iterator[tuple[IncidentRow, Model]]:
        """Incidents of other models that nobody was told of yet on this route, and that belong to the thread of `row`."""
        if threads.shared(row, model) is None:
            return
        told: set[str] | None = None
        for peer in self.peers:
            other = self.state.get(INCIDENTS, peer.incident)
            if (
                other is None
                or self.routes.of(peer.model.playbook.route) != route
                or not threads.joins(other, peer.model, row, model, live=live)
            ):
                continue
            if told is None:
                said = [one for _, one in self.state.scan(SAID) if one.route == route]
                told = {one.thread for one in said} | {incident for one in self._led(said) for incident in threads.members(one)}
            if other.incident not in told and not _muted(self.state, other, self.now):
                yield other, peer.model


def _muted(state: State, row: IncidentRow, now: Instant) -> bool:
    alert = alerts_of(state, row.model).get(row.alert)
    return is_muted(mutes_of(state, row.model, now), alert.monitor if alert is not None else "")


def _of_thread(state: State, first: IncidentRow, said: SaidRow) -> list[IncidentRow]:
    """The incidents that a thread tells of, its first before the others; none that is told in a thread of one of them by now."""
    known = [one for incident in threads.members(said) if (one := state.get(INCIDENTS, incident)) is not None]
    own = [row for one in known if (row := state.get(SAID, said_key(one.model, one.incident, said.route))) is not None]
    left = {row.thread for row in own} | {incident for row in own for incident in threads.members(row)}
    return [first, *(one for one in known if one.incident not in left)]


def told_with(state: State, incident: str, model: str, route: str) -> list[IncidentRow]:
    """The incidents that are told in the thread of one, itself first."""
    first, said = state.get(INCIDENTS, incident), state.get(SAID, said_key(model, incident, route))
    if first is None or said is None:
        return [] if first is None else [first]
    return _of_thread(state, first, said)
