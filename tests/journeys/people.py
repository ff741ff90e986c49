"""What people do from other processes while `up` runs: the commands behind `flyball train`, `release` and `rollback`."""

from __future__ import annotations

import contextlib
import io
from functools import partial

from flyball.cli.main import run
from flyball.governance.authority import Caller
from flyball.loop import training
from flyball.loop.folds import FOLDS
from flyball.loop.releases import Release, Rollback, decide_release, decide_rollback
from flyball.records.declarations import DECLARATIONS
from flyball.records.identity import Role, Scope

from .kit import Project

ANA = Caller(actor="user:ana", person="ana", roles=(Role.SCIENTIST, Role.OPERATOR), scopes=(Scope.CONTROL,))


def train(project: Project, model: str = "credit") -> None:
    """What `flyball train` does."""
    with project.opened() as wired:
        ports = wired.acting(ANA)
        state = ports.ledger.state()
        declared = state.get(DECLARATIONS, model)
        assert declared is not None
        spec = training.run_spec(ports, state, ports.library.model(declared.body), "manual", ports.clock.now())
        training.start(ports, spec, trigger="manual", reason="asked for", actor=ANA.actor)


def release(project: Project, version: str, model: str = "credit") -> None:
    """What `flyball release` does."""
    with project.opened() as wired:
        ports = wired.acting(ANA)
        declared = ports.ledger.state().get(DECLARATIONS, model)
        assert declared is not None
        command = Release(
            id=ports.clock.new_id("cmd"),
            actor=ANA.actor,
            rollout=ports.clock.new_id("ro"),
            model=model,
            version=version,
            reason="asked for",
        )
        decide = partial(decide_release, model=ports.library.model(declared.body), folds=FOLDS, signatures=ports.library.signature)
        ports.ledger.execute(command, decide)


def rollback(project: Project, model: str = "credit") -> int:
    """What `flyball rollback` does; the moment of the decision (µs)."""
    with project.opened() as wired:
        ports = wired.acting(ANA)
        declared = ports.ledger.state().get(DECLARATIONS, model)
        assert declared is not None
        command = Rollback(id=ports.clock.new_id("cmd"), actor=ANA.actor, model=model, reason="asked for")
        decide = partial(decide_rollback, model=ports.library.model(declared.body), folds=FOLDS, signatures=ports.library.signature)
        receipt = ports.ledger.execute(command, decide)
        return next(one.at for one in ports.ledger.read(receipt.first - 1, 1))


def cli(project: Project, *arguments: str) -> tuple[int, str, str]:
    """What a person types, in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*arguments, "--project", str(project.root)])
    return code, out.getvalue(), err.getvalue()
