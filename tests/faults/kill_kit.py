"""Two writers give random commands to one ledger and are killed at random moments, round after round; then everything is looked at.

`python kill_kit.py FOLDER SEED ROUNDS [URL]` prints one JSON line: rounds, kills, acknowledged, refused, repeated, events, problems. A process of its
own, with no thread, so that it may fork: a writer is up in milliseconds, and a thousand kills take minutes.
"""

import hashlib
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flyball.clock import SystemClock
from flyball.errors import Conflict, FlyballError
from flyball.governance.authority import LOOP, Caller
from flyball.ledger import checkpoints
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.note import Signer
from flyball.ledger.verify import verify
from flyball.loop.authority import Authorised
from flyball.loop.commands import Apply, CancelRun, ObserveRun, Train, decide_apply, decide_cancel_run, decide_observe_run, decide_train
from flyball.loop.folds import FOLDS
from flyball.loop.proving import AddKey, decide_add_key
from flyball.loop.tokens import CreateToken, RevokeToken, decide_create, decide_revoke
from flyball.records.declarations import DeclarationApplied, DeclarationRefused
from flyball.records.identity import Role, Scope
from flyball.records.training import RunSpec
from flyball.store.blobs import LocalBlobs
from flyball.store.sql import Database

ANA = Caller(actor="user:ana", person="ana", roles=tuple(Role), scopes=tuple(Scope), token="t")
SIGNER = Signer("flyball/0123456789abcdef", bytes(range(32)))
WRITERS = 2
FRESH = 50
"""Rounds after which the ledger begins anew, so that looking at all of it stays cheap."""


class Writer:
    """One process's hand: gives commands and says of each, once it is done, what it came to."""

    def __init__(self, url: str, blobs: LocalBlobs, seed: str, say: Callable[[dict[str, Any]], None]) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.ledger = SqlLedger(Database.open(url), FOLDS, SystemClock())
        self.blobs = blobs
        self.say = say
        self.given: list[tuple[Any, Any, bool]] = []

    def run(self) -> None:
        """Give commands until killed."""
        self.give(AddKey(id="key", actor="loop", vkey=SIGNER.vkey), decide_add_key, loop=True)
        number = 0
        while True:
            number += 1
            self.step(f"{self.seed}-{number}")

    def step(self, name: str) -> None:
        kind = self.chance.randrange(9)
        run, model = f"run_{self.chance.randrange(12)}", f"model-{self.chance.randrange(4)}"
        if kind <= 2:
            self.give(self.applied(name), decide_apply)
        elif kind == 3:
            what = RunSpec(model=model, declaration="", code="", file="loop.py", version_digest="", policy_digest="", datasets={}, as_of=0)
            spec = self.blobs.put(self.chance.randbytes(40))
            train = Train(
                id=name, actor="user:ana", run=f"run_{name}", model=model, trigger="manual", reason="?", spec=spec, what=what, release=False
            )
            self.give(train, decide_train)
        elif kind == 4:
            seen = self.chance.choice(["running", "failed", "lost"])
            self.give(ObserveRun(id=name, actor="loop", run=run, attempt=1, seen=seen), decide_observe_run, loop=True)
        elif kind == 5:
            self.give(CancelRun(id=name, actor="user:ana", run=run, reason="enough"), decide_cancel_run)
        elif kind == 6:
            secret = hashlib.sha256(name.encode()).hexdigest()
            self.give(
                CreateToken(id=name, actor="user:ana", token=f"tok_{name}", person="bo", hash=secret, roles=(Role.ADMIN,)), decide_create
            )
        elif kind == 7 and self.given:
            self.give(*self.chance.choice(self.given[-20:]))
        elif kind == 8 and self.chance.random() < 0.3:
            checkpoints.sign(self.ledger, SIGNER)
        else:
            self.give(RevokeToken(id=name, actor="user:ana", token=f"tok_{name}", reason="left"), decide_revoke)

    def applied(self, name: str) -> Apply:
        def digest() -> str:
            return f"sha256:{self.chance.randrange(6):064x}"

        models = tuple(
            DeclarationApplied(
                model=f"model-{number}",
                file="loop.py",
                version_digest=digest(),
                policy_digest=digest(),
                gates_digest=digest(),
                author="user:ana",
                body=self.blobs.put(self.chance.randbytes(64)),
                code=self.blobs.put(b"{}"),
            )
            for number in self.chance.sample(range(4), self.chance.randrange(1, 4))
        )
        broken = (
            (DeclarationRefused(file="loops/x.py", digest=digest(), problems=("it does not compile",)),)
            if self.chance.random() < 0.3
            else ()
        )
        return Apply(id=name, actor="user:ana", models=models, broken=broken)

    def give(self, command: Any, decide: Any, loop: bool = False) -> None:
        caller = LOOP if loop else ANA
        self.given.append((command, decide, loop))
        try:
            receipt = Authorised(self.ledger, lambda: caller).execute(command, decide)
        except FlyballError as error:
            if isinstance(error, Conflict) and error.code == "folds-changed":
                raise
            self.say({"id": command.id, "refused": error.code})
        else:
            self.say({"id": command.id, "first": receipt.first, "last": receipt.last, "repeated": receipt.repeated})


def fork(url: str, blobs: LocalBlobs, seed: str) -> tuple[int, int]:
    """Start a writer; (pid, descriptor on which it says what was done)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            Writer(url, blobs, seed, lambda said: void(os.write(writing, json.dumps(said).encode() + b"\n"))).run()
        except BaseException:  # noqa: BLE001 - whatever it was is told, and the process ends
            traceback.print_exc()
        finally:
            os._exit(3)
    os.close(writing)
    return pid, reading


def void(_: object) -> None:
    pass


def said(descriptor: int) -> list[dict[str, Any]]:
    """Everything that a writer said before it was killed. A line is written at once, so none is torn."""
    with os.fdopen(descriptor, "rb") as file:
        return [json.loads(line) for line in file.read().splitlines()]


def look(url: str, blobs: LocalBlobs, acknowledged: dict[str, dict[str, Any]], refused: set[str]) -> tuple[int, list[str]]:
    """What is wrong with the ledger, given what was said of it. (events, problems)."""
    ledger = SqlLedger(Database.open(url), FOLDS, SystemClock())
    found = verify(ledger, blobs)
    problems = [f"{each.where}: {each.what}" for each in found.problems]
    by_command: dict[str, list[int]] = {}
    for recorded in ledger.read(0, found.events):
        by_command.setdefault(recorded.command, []).append(recorded.seq)
    for name, receipt in acknowledged.items():
        wanted = list(range(receipt["first"], receipt["last"] + 1)) if receipt["first"] else []
        if by_command.get(name, []) != wanted:
            problems.append(f"{name} was acknowledged as {wanted}, and the ledger has {by_command.get(name)}")
    problems += [f"{name} was refused, and is there" for name in refused if name in by_command]
    if len(ledger.head().frontier) != found.events.bit_count():
        problems.append("the frontier has not the shape of the size")
    ledger.database.close()
    return found.events, problems


def main(folder: Path, seed: int, rounds: int, url: str) -> dict[str, Any]:
    """Kill, look, and begin again on what is left."""
    chance = random.Random(seed)
    total = {"rounds": rounds, "kills": 0, "acknowledged": 0, "refused": 0, "repeated": 0, "events": 0, "problems": []}
    acknowledged: dict[str, dict[str, Any]] = {}
    refused: set[str] = set()
    events = 0
    for number in range(rounds):
        here = folder / f"{number // FRESH}"
        if number % FRESH == 0 and not url:
            total["events"] += events
            acknowledged, refused, events = {}, set(), 0
            here.mkdir(parents=True)
        address = url or f"sqlite:///{here}/ledger.db"
        blobs = LocalBlobs((folder if url else here) / "blobs")
        writers = [fork(address, blobs, f"{seed}-{number}-{one}") for one in range(WRITERS)]
        # a writer that has not begun cannot be killed at work
        select.select([descriptor for _, descriptor in writers], [], [], 10)
        time.sleep(chance.uniform(0, 0.3))
        for pid, _ in writers if chance.random() < 0.5 else reversed(writers):
            os.kill(pid, signal.SIGKILL)
            time.sleep(chance.choice([0, 0, chance.uniform(0, 0.02)]))
        for pid, descriptor in writers:
            ended = os.waitpid(pid, 0)[1]
            if ended != signal.SIGKILL:
                total["problems"].append(f"round {number}: a writer ended by itself ({ended})")
            total["kills"] += 1
            for line in said(descriptor):
                if "refused" in line:
                    refused.add(line["id"])
                    total["refused"] += 1
                else:
                    known = acknowledged.get(line["id"], {"first": 0})
                    # what found nothing to do is not remembered: given again, it may find something
                    if known["first"] and line["first"] and known["first"] != line["first"]:
                        total["problems"].append(f"round {number}: {line['id']} was acknowledged twice: {known}, {line}")
                    if line["first"] or line["id"] not in acknowledged:
                        acknowledged[line["id"]] = line
                    total["acknowledged"] += 1
                    total["repeated"] += line["repeated"]
        # a refused command that is given again later may be accepted then
        events, problems = look(address, blobs, acknowledged, refused - set(acknowledged))
        total["problems"] += [f"round {number}: {problem}" for problem in problems]
        if total["problems"]:
            break
    total["events"] += events
    return total


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    print(json.dumps(main(Path(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3] if len(arguments) > 3 else "")))
