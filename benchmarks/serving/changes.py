"""Two hundred changes of a route under load: how soon each is in force at two real gateways, and what callers notice.

Two hundred times `FileRoutes`, which the loop writes routes with, has the two versions change places, without a control plane: the whole loop starts a worker for every second
one. Some rollbacks are asked of the whole loop over HTTP as well; of these the record says how long they took from the decision's commit. Both end with the last gateway's acknowledgement, on the clock that all processes share.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
from benchmarks.report import Bar, Report, Row
from benchmarks.serving import world
from benchmarks.serving.loading import Calling, Load, request
from benchmarks.serving.world import MODEL
from benchmarks.startup import ONE_THREAD, free_port
from msgspec.structs import replace

from flyball.ledger.note import Signer, version_text
from flyball.records.serving import ModelRoute, RouteInForce, RouteTable
from flyball.serving.proofs import Proof, Proofs
from flyball.serving.routes import FileRoutes, arms
from flyball.wiring import open_project

CHANGES = 200
BY_LOOP = 10
"""Releases, each with its rollback: a release waits for a worker to start."""

GATEWAYS = 2
CHANGED_WITHIN_S = 60.0
LOOK_S = 0.01
SETTLE_S = 1.0
HOST = "127.0.0.1"


def swapped(route: ModelRoute, epoch: int) -> RouteTable:
    """The other version answers, and the worker of the one that did stays warm."""
    (before,), (after,) = route.arms, route.warm
    arms, warm = (replace(after, role="champion", weight=10_000),), (replace(before, role="former", weight=0),)
    return RouteTable(epoch=epoch, models={MODEL: replace(route, arms=arms, warm=warm)})


def in_force(routes: FileRoutes, table: RouteTable, proofs: Proofs) -> float:
    """Bring a table to the gateways as the loop does; ms from the decision to the last acknowledgement."""
    since, until = time.time_ns() // 1000, time.monotonic() + CHANGED_WITHIN_S
    while time.monotonic() < until:
        routes.desire(table, since, proofs)
        found = routes.status()
        if found.failed:
            raise SystemExit(f"workers could not start: {found.failed}")
        if found.epoch == table.epoch and not found.waiting:
            return found.ms
        time.sleep(LOOK_S)
    raise SystemExit(f"a route was not in force within {CHANGED_WITHIN_S:g} s")


@contextmanager
def gateways(root: Path) -> Iterator[int]:
    """The port of two gateways and their supervisor, without a control plane."""
    port = free_port()
    argv = [sys.executable, "-P", "-m", "flyball.serving.supervisor", "--root", str(root), "--host", HOST, "--port", str(port)]
    argv += ["--gateways", str(GATEWAYS), "--control", "", "--tell", "nothing"]
    with (root / "up.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | ONE_THREAD)
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def through_files(root: Path, route: ModelRoute, report: Report, rate: float) -> tuple[float, int]:
    """Both versions run, and change places while requests come at this rate: p99 (ms) of a change, and the requests that failed."""
    signer = Signer("flyball/changes", b"c" * 32)
    moments, epoch = random.Random(3), 1_000_000
    table = swapped(route, epoch)
    signed = {
        ref: Proof(note=signer.sign(version_text(ref, artifact)).decode(), keys=(signer.vkey,)) for ref, artifact in arms(table).values()
    }
    with gateways(root) as port:
        routes = FileRoutes(root / ".flyball")
        in_force(routes, table, signed.__getitem__)
        bodies = [{"row": dict(zip(world.COLUMNS, row, strict=True))} for row in world.asked_rows()]
        load = Load(
            host=HOST, port=port, requests=[request(f"/models/{MODEL}/predict", body, f"{HOST}:{port}") for body in bodies], rate=rate
        )
        took = []
        with Calling(load) as calling:
            # every gateway has met both workers
            time.sleep(2)
            for _ in range(CHANGES):
                epoch += 1
                table = swapped(table.models[MODEL], epoch)
                took.append(in_force(routes, table, signed.__getitem__))
                # at any moment of what a gateway does between two looks
                time.sleep(moments.uniform(0, 0.1))
            told = calling.told()
    report.rows += [
        Row.of(f"a change of routes at {rate:,.0f} requests/s, {GATEWAYS} gateways, by FileRoutes", "ms", took),
        Row.of("… callers' p99 meanwhile", "ms", [told.p99_ms]),
        Row.of("… requests answered meanwhile", "requests", [told.answered]),
    ]
    return float(np.quantile(took, 0.99)), told.failures


def by_the_loop(root: Path, report: Report, rate: float) -> tuple[ModelRoute, float, int]:
    """Releases and rollbacks over HTTP under load: the route with both versions in it, the slowest rollback (ms), and the requests that failed."""
    with world.up("changes", root, gateways=GATEWAYS) as server:
        address = f"http://{server.host}:{server.port}"
        with (
            Calling(server.load(None, rate)) as calling,
            httpx.Client(base_url=address, headers=world.bearer(root), timeout=30) as client,
        ):
            rollbacks = []
            for turn in range(BY_LOOP):
                if turn:
                    # refused as long as the one before is still rolling back
                    world.eventually(lambda: _released(client), "the second version is not released again")
                world.eventually(lambda: _answers(root) == "1.1.0", "the second version does not answer")
                if not turn:
                    route = msgspec.convert(world.route(root), ModelRoute)
                # until the record has it
                time.sleep(SETTLE_S)
                rollbacks.append(time.time_ns() // 1000)
                _told(client.post(f"/api/v1/models/{MODEL}/rollback", json={"reason": "a drill"}))
                world.eventually(lambda: _answers(root) == "1.0.0", "the first version does not answer again")
                time.sleep(SETTLE_S)
            told = calling.told()
    took = recorded(root, rollbacks)
    report.rows += [
        Row.of(f"a rollback by the whole loop at {rate:,.0f} requests/s, {GATEWAYS} gateways", "ms", took),
        Row.of("… not answered 200 meanwhile", "requests", [told.failures]),
    ]
    both = (*route.arms, *route.shadows, *route.warm)
    first = next(arm for arm in both if arm.version == "1.0.0")
    return replace(route, shadows=(), warm=(first,), salt=""), max(took), told.failures


def _released(client: httpx.Client) -> bool:
    answer = client.post("/api/v1/rollouts", json={"model": MODEL, "version": "1.1.0"})
    if answer.status_code != 409:
        _told(answer)
    return answer.status_code < 300


def _told(answer: httpx.Response) -> None:
    if answer.status_code >= 300:
        raise SystemExit(f"{answer.request.url}: {answer.status_code} {answer.text[:500]}")


def _answers(root: Path) -> str:
    arms = world.route(root).get("arms", [])
    return arms[0]["version"] if len(arms) == 1 else ""


def recorded(root: Path, moments: list[int]) -> list[float]:
    """What the record says of the first change in force after each moment (µs): ms from the decision's commit to the last acknowledgement."""
    wired = open_project(root)
    try:
        told = [one for one in wired.ledger.read(0, 1_000_000) if isinstance(one.event, RouteInForce)]
    finally:
        wired.close()
    return [next(one.event.ms for one in told if one.at >= moment and isinstance(one.event, RouteInForce)) for moment in moments]


def measure(base: Path, folder: Path, report: Report, rate: float) -> None:
    """The bars of changing routes, at this many requests a second."""
    root = world.second(base, folder / "changes", {world.STAYS: ""})
    route, slowest, failed = by_the_loop(root, report, rate)
    by_files, failures = through_files(root, route, report, rate)
    # the whole loop makes too few of them for a quantile: the slowest stands for it
    report.bars.append(Bar.at_most("route_in_force_p99_ms", max(by_files, slowest), 1_000, "ms"))
    report.bars.append(Bar.at_most("failed_during_200_changes", failures + failed, 0, "requests"))
