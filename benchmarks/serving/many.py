"""What many served models hold: one project's gateway, supervisor and workers, three of the models asked ten times as often as the others.

One packaged version is packed again under each name, and routes are written as the loop writes them (`FileRoutes`); the control plane does not run and is
not counted. Three hundred are run where the memory for them is there, by what a model was seen to hold; the bar is absent where it is not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import rfc8785
from benchmarks.report import Bar, Report, Row
from benchmarks.serving import world
from benchmarks.serving.loading import Calling, Load, request
from benchmarks.startup import ONE_THREAD, free_port, pss_mb, tree
from msgspec.structs import replace

from flyball.ledger.note import Signer, version_text
from flyball.records import codec
from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving.proofs import Proof
from flyball.serving.routes import FileRoutes, arms
from flyball.store.blobs import LocalBlobs
from flyball.training.artifact import manifest_of

SIZES = (12, 24)
WANTED = 300
PEAKS = 3
PEAK = 10
A_SECOND = 1.0
"""Requests a second for each model that has no peak."""

ASKED_S = 10.0
READY_WITHIN_S = 900.0
HOST = "127.0.0.1"
SPARE = 0.8
"""The share of the free memory that models may take."""


def table(base: Path, blobs: LocalBlobs, models: int) -> RouteTable:
    """So many models, each with the first version of the project under a name of its own."""
    found = world.route(base)
    signature, manifest = msgspec.convert(found["signature"], Signature), manifest_of(found["arms"][0]["artifact"], blobs)
    code = json.loads(blobs.get(manifest.code))
    routes = {}
    for name in (f"m{place}" for place in range(models)):
        renamed = {file: text.replace(f'"{world.MODEL}"', f'"{name}"') for file, text in code.items()}
        own = replace(manifest, model=name, code=blobs.put(json.dumps(renamed).encode()))
        arm = Arm(version="1.0.0", role="champion", artifact=blobs.put(rfc8785.dumps(codec.plain(own))), weight=10_000)
        routes[name] = ModelRoute(signature=signature, arms=(arm,))
    return RouteTable(epoch=1, models=routes)


@contextmanager
def served(base: Path, root: Path, models: int) -> Iterator[tuple[int, int]]:
    """The supervisor's process and the port, once every model has a worker that answers."""
    shutil.copytree(base / ".flyball" / "blobs", root / ".flyball" / "blobs")
    port, wanted = free_port(), table(base, LocalBlobs(root / ".flyball" / "blobs"), models)
    argv = [sys.executable, "-P", "-m", "flyball.serving.supervisor", "--root", str(root), "--host", HOST, "--port", str(port)]
    argv += ["--gateways", "1", "--control", "", "--tell", "nothing"]
    with (root / "up.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | ONE_THREAD)
    try:
        signer = Signer("flyball/many", b"m" * 32)
        signed = {
            ref: Proof(note=signer.sign(version_text(ref, artifact)).decode(), keys=(signer.vkey,))
            for ref, artifact in arms(wanted).values()
        }
        routes, since = FileRoutes(root / ".flyball"), time.time_ns() // 1000

        def in_force() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"the supervisor ended:\n{(root / 'up.log').read_text()[-2_000:]}")
            routes.desire(wanted, since, signed.__getitem__)
            found = routes.status()
            if found.failed:
                raise SystemExit(f"workers could not start: {found.failed}")
            return found.epoch == 1 and not found.waiting

        world.eventually(in_force, f"{models} models were not served", READY_WITHIN_S)
        yield process.pid, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def held_mb(base: Path, root: Path, models: int) -> tuple[float, float]:
    """MB PSS of the whole tree after its models were asked, and the seconds until all of them were served."""
    begun = time.monotonic()
    with served(base, root, models) as (pid, port):
        took = time.monotonic() - begun
        row = dict(zip(world.COLUMNS, world.asked_rows()[0], strict=True))
        one = [request(f"/models/m{place}/predict", {"row": row}, f"{HOST}:{port}") for place in range(models)]
        asked = [each for place, each in enumerate(one) for _ in range(PEAK if place < PEAKS else 1)]
        order = np.random.default_rng(5).permutation(len(asked))
        load = Load(host=HOST, port=port, requests=[asked[place] for place in order], seconds=ASKED_S, rate=len(asked) * A_SECOND)
        with Calling(load) as calling:
            told = calling.told()
        if told.failures:
            raise SystemExit(f"{told.failures} of {told.answered} requests to {models} models failed: {told.failed}")
        return sum(pss_mb(each) for each in tree(pid)), took


def free_mb() -> float:
    """Memory that is free for new processes, in MB."""
    told = Path("/proc/meminfo").read_text()
    return int(told.partition("MemAvailable:")[2].split()[0]) * 1024 / 1e6


def measure(base: Path, folder: Path, report: Report) -> None:
    """What a model holds, and the bar where three hundred can be run."""
    found = []
    for models in SIZES:
        root = folder / f"many-{models}"
        root.mkdir()
        held, took = held_mb(base, root, models)
        found.append(held)
        report.rows.append(Row.of(f"{models} models, {PEAKS} with tenfold peaks, no control plane", "MB PSS", [held]))
        report.rows.append(Row.of("… until all of them were served", "s", [took]))
    slope = (found[-1] - found[0]) / (SIZES[-1] - SIZES[0])
    report.rows.append(Row.of("… a further model holds", "MB PSS", [slope]))
    needed = found[-1] + slope * (WANTED - SIZES[-1])
    if needed > SPARE * free_mb():
        why = f"{WANTED} models NOT run, bar absent: by that they need"
        report.rows += [Row.of(why, "MB PSS", [needed]), Row.of("… and this machine has free", "MB", [free_mb()])]
        return
    root = folder / f"many-{WANTED}"
    root.mkdir()
    held, took = held_mb(base, root, WANTED)
    report.rows.append(Row.of(f"{WANTED} models until all of them were served", "s", [took]))
    report.bars.append(Bar.at_most("models_300_gb", held / 1000, 8, "GB PSS"))
