"""Every fold of every stage, by event kind; declarations are folded here, since the loop itself records them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flyball.data.fold import FOLDS as DATA
from flyball.governance.fold import FOLDS as GOVERNANCE
from flyball.incidents.fold import FOLDS as INCIDENTS
from flyball.incidents.outbox import FOLDS as OUTBOX
from flyball.monitoring.fold import FOLDS as MONITORING
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.declarations import (
    DECLARATIONS,
    IDLE,
    IDLE_KEY,
    LOOP_FILES,
    DeclarationApplied,
    DeclarationHealed,
    DeclarationIdle,
    DeclarationRefused,
    DeclarationRow,
    IdleRow,
    LoopFileRow,
)
from flyball.registry.fold import FOLDS as REGISTRY
from flyball.rollout.fold import FOLDS as ROLLOUT
from flyball.serving.fold import FOLDS as SERVING
from flyball.training.fold import FOLDS as TRAINING


def fold_declaration_applied(projection: Projection, recorded: Recorded) -> None:
    """The declaration is in effect."""
    event = recorded.event
    assert isinstance(event, DeclarationApplied)
    before, author = projection.get(DECLARATIONS, event.model), event.author or recorded.actor
    row = DeclarationRow(
        model=event.model,
        file=event.file,
        version_digest=event.version_digest,
        policy_digest=event.policy_digest,
        gates_digest=event.gates_digest,
        body=event.body,
        code=event.code,
        applied_at=recorded.at,
        version_by=before.version_by if before and before.version_digest == event.version_digest else author,
        policy_by=before.policy_by if before and before.policy_digest == event.policy_digest else author,
        gates_by=before.gates_by if before and before.gates_digest == event.gates_digest else author,
    )
    projection.put(DECLARATIONS, event.model, row)


def fold_declaration_refused(projection: Projection, recorded: Recorded) -> None:
    """The file is broken; its models stay as they were."""
    event = recorded.event
    assert isinstance(event, DeclarationRefused)
    projection.put(LOOP_FILES, event.file, LoopFileRow(file=event.file, digest=event.digest, problems=event.problems))


def fold_declaration_healed(projection: Projection, recorded: Recorded) -> None:
    """Nothing is wrong with the file any more."""
    event = recorded.event
    assert isinstance(event, DeclarationHealed)
    projection.delete(LOOP_FILES, event.file)


def fold_declaration_idle(projection: Projection, recorded: Recorded) -> None:
    """What no model uses is told as a whole."""
    event = recorded.event
    assert isinstance(event, DeclarationIdle)
    projection.put(IDLE, IDLE_KEY, IdleRow(names=event.names, unlisted=event.unlisted))


FOLDS: Mapping[type[Event], Fold] = MappingProxyType(
    {
        DeclarationApplied: fold_declaration_applied,
        DeclarationRefused: fold_declaration_refused,
        DeclarationHealed: fold_declaration_healed,
        DeclarationIdle: fold_declaration_idle,
        **GOVERNANCE,
        **DATA,
        **TRAINING,
        **REGISTRY,
        **ROLLOUT,
        **SERVING,
        **MONITORING,
        **INCIDENTS,
        **OUTBOX,
    }
)
"""Event kind → its fold."""
