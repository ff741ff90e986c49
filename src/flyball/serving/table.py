"""The route table as a gateway holds it: compiled once a change, read on every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flyball.errors import BadInput, Conflict, NotFound, Refused
from flyball.records.base import Record
from flyball.records.models import ModelRef, Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving.layout import UNSAID, worker_name
from flyball.serving.lists import ListReader
from flyball.serving.pick import Picker
from flyball.serving.validate import RowReader


class RoutesFile(Record, frozen=True):
    """run/routes.json. `stamp` is new with every write, also when the epoch is not: it is what a gateway acknowledges. `UNSAID` until the control
    plane of this `up` has written.

    `starting` are models that are to be served and have no route yet, with the worker that each waits for.
    """

    stamp: int
    table: RouteTable
    starting: dict[str, str] = {}


class Ack(Record, frozen=True):
    """run/g0.ack: since `monotonic_ns` this gateway routes by `stamp`."""

    stamp: int
    epoch: int
    monotonic_ns: int
    pid: int


@dataclass(frozen=True, slots=True)
class Target:
    """An arm with the names under which it is logged and reached."""

    arm: Arm
    version: str
    worker: str


@dataclass(frozen=True)
class Served:
    """One model's route, ready to use. `marks` goes into the log of every request that the rollout decided.

    `sticky` is the place, in a row, of the field whose value is the key of a caller who gives none.
    """

    name: str
    epoch: int
    route: ModelRoute
    reader: RowReader
    picker: Picker
    champion: Target | None
    targets: dict[str, Target]
    shadows: tuple[Target, ...]
    marks: dict[str, Any] | None
    names: tuple[str, ...] = field(default=())
    sticky: int | None = None

    @property
    def signature(self) -> Signature:
        """What a request's row is."""
        return self.route.signature

    def pinned(self, version: str) -> Target:
        """The arm that a caller names: champion, challenger or a version number. Raises NotFound, Refused."""
        for target in self.targets.values():
            if version in (target.arm.version, target.arm.role):
                return target
        # a challenger is one before callers meet it
        silent = {name for arm in self.shadows for name in (arm.arm.version, "challenger" if arm.arm.role != "former" else "")}
        if version in silent:
            raise Refused(f"{self.name}@{version} is not released: it scores in shadow", fix=f"ask {self.name} without a version")
        served = ", ".join(target.arm.version for target in self.targets.values())
        raise NotFound(
            f"{self.name}@{version} is not served", why=f"served: {served or 'nothing'}", fix=f"ask {self.name} without a version"
        )


@dataclass(frozen=True)
class Elsewhere:
    """A model that is served elsewhere: its predictions and labels are taken, and nobody here answers for it."""

    name: str
    epoch: int
    signature: Signature
    names: tuple[str, ...]


def _target(model: str, arm: Arm) -> Target:
    ref = str(ModelRef(model=model, version=arm.version))
    return Target(arm, ref, worker_name(ref, arm.artifact))


def _served(name: str, epoch: int, route: ModelRoute, reader: RowReader) -> Served:
    picker = Picker(route)
    targets = {arm.version: _target(name, arm) for arm in route.arms}
    names = tuple(one.name for one in route.signature.fields)
    challenger = next((arm for arm in route.arms if arm.role == "challenger"), None)
    return Served(
        name=name,
        epoch=epoch,
        route=route,
        reader=reader,
        picker=picker,
        champion=targets[picker.champion.version] if picker.champion else None,
        targets=targets,
        shadows=tuple(_target(name, arm) for arm in route.shadows),
        marks={"ro": route.salt, "w": challenger.weight if challenger else 0} if route.salt else None,
        names=names,
        sticky=names.index(route.sticky) if route.sticky in names else None,
    )


def _reader(signature: Signature) -> RowReader:
    return ListReader(signature) if signature.task == "ranking" else RowReader(signature)


class Table:
    """Every model's route under one epoch. `known`: whether it is known which models are served, and not only of these."""

    def __init__(self, file: RoutesFile, before: Table | None = None) -> None:
        self.known = file.stamp != UNSAID
        self.epoch = file.table.epoch
        self.starting = file.starting
        self.models: dict[str, Served] = {}
        self.elsewhere = {
            name: Elsewhere(name, file.table.epoch, signature, tuple(field.name for field in signature.fields))
            for name, signature in file.table.elsewhere.items()
        }
        for name, route in file.table.models.items():
            old = before.models.get(name) if before else None
            # a reader is compiled for its signature, which most changes of a route leave as it is
            reader = old.reader if old and old.signature == route.signature else _reader(route.signature)
            self.models[name] = _served(name, file.table.epoch, route, reader)

    def find(self, name: str) -> Served:
        """The model's route. Raises NotFound with a near name, Conflict for one that is served elsewhere."""
        served = self.models.get(name)
        if served is not None:
            return served
        if name in self.elsewhere:
            raise Conflict(
                f'"{name}" is served elsewhere, and nobody here can answer for it',
                why="it is declared without train, so flyball made no version of it",
                fix=f"ask where it is served, and send what was answered: POST /models/{name}/predictions",
            )
        raise self._unknown(name, self.models)

    def find_elsewhere(self, name: str) -> Elsewhere:
        """A model that is served elsewhere. Raises NotFound with a near name, Conflict for one that is served here."""
        found = self.elsewhere.get(name)
        if found is not None:
            return found
        if name in self.models:
            raise Conflict(
                f'"{name}" is served here, and what it answers is in the log by that',
                why="predictions are sent of a model that is declared without train alone",
                fix=f"ask it: POST /models/{name}/predict",
            )
        raise self._unknown(name, self.elsewhere)

    def find_labelled(self, name: str) -> Served | Elsewhere:
        """A model that takes labels, wherever it is served. Raises NotFound with a near name."""
        found = self.models.get(name) or self.elsewhere.get(name)
        if found is None:
            raise self._unknown(name, {**self.models, **self.elsewhere})
        return found

    def _unknown(self, name: str, among: Mapping[str, object]) -> NotFound:
        from difflib import get_close_matches

        near = get_close_matches(name, list(among), 1)
        known = ", ".join(sorted(among)[:8])
        served = "served" if among is self.models else "known"
        return NotFound(
            f'no model "{name[:80]}" is {"served" if among is self.models else "known here"}',
            why=f"{served}: {known}" if known else "nothing is served yet",
            fix=f'did you mean "{near[0]}"?' if near else "flyball status shows what is, and what a model waits for that is not yet",
        )

    def workers(self) -> set[str]:
        """Names of all workers that this table needs."""
        return {target.worker for served in self.models.values() for target in (*served.targets.values(), *served.shadows)}


EMPTY = RoutesFile(stamp=UNSAID, table=RouteTable(epoch=0))
"""What a gateway routes by before there is a file, which the control plane writes when it starts."""


def read_routes(data: bytes) -> RoutesFile:
    """Decode run/routes.json. Raises BadInput."""
    try:
        return msgspec.json.decode(data, type=RoutesFile)
    except msgspec.MsgspecError as problem:
        raise BadInput("run/routes.json cannot be read", why=str(problem), fix="restart flyball up: the routes are written anew") from None
