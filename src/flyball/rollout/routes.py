"""The route that a rollout's state asks for. Pure: the same state gives the same route."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from flyball.ledger.bounds import size
from flyball.records.models import Role, Signature
from flyball.records.rollouts import RolloutRow, RolloutState
from flyball.records.serving import Arm, ModelRoute

FULL = 10_000

WIDE = 10_000
"""Bytes of the largest signature that a route carries in its event."""

Fallback: TypeAlias = float | int | str | bool | None

Lookup: TypeAlias = Callable[[str], tuple[str, Signature]]
"""A version's artifact (the manifest's blob hash) and signature."""


def route(
    champion: str,
    row: RolloutRow | None,
    lookup: Lookup,
    *,
    fallback: Fallback = None,
) -> ModelRoute | None:
    """The desired route of a model; None while no version answers.

    `champion`: the version that answers by default, or empty. `row`: the active rollout, if any. While traffic is split each
    version also scores what the other one answers, so every request is a pair; after promotion the former champion goes on scoring.
    Callers are held to the signature of the version that answers by default.
    """
    state = None if row is None else (row.resume or row.state)
    if row is None or state in {RolloutState.PLANNED, RolloutState.COMPLETED, RolloutState.FAILED}:
        return _alone(champion, lookup, fallback)
    if state in {RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK}:
        return _alone(row.champion, lookup, fallback)
    if not row.champion:
        return _alone(row.version, lookup, fallback, salt=row.rollout)

    def arm(version: str, role: Role, weight: int = 0) -> Arm:
        return Arm(version=version, role=role, artifact=lookup(version)[0], weight=weight)

    if state is RolloutState.WATCHING:
        signature = lookup(row.version)[1]
        arms: tuple[Arm, ...] = (arm(row.version, "champion", FULL),)
        shadows: tuple[Arm, ...] = (arm(row.champion, "former"),)
    else:
        weight = row.steps[row.step].weight if state is RolloutState.CANARY else 0
        signature = lookup(row.champion)[1]
        arms = (arm(row.champion, "champion", FULL - weight),)
        shadows = (arm(row.version, "shadow"),)
        if weight:
            arms = (*arms, arm(row.version, "challenger", weight))
            shadows = (*shadows, arm(row.champion, "shadow"))
    return ModelRoute(signature=signature, arms=arms, shadows=shadows, salt=row.rollout, fallback=fallback)


def withheld(row: RolloutRow, lookup: Lookup) -> ModelRoute:
    """The route of a first release that may not answer yet, while its worker starts or waits: it is asked nothing."""
    artifact, signature = lookup(row.version)
    return ModelRoute(signature=signature, arms=(), shadows=(Arm(version=row.version, role="shadow", artifact=artifact),), salt=row.rollout)


def narrow(route: ModelRoute) -> ModelRoute:
    """The route as an event carries it: a signature of very many fields stays in the first arm's manifest, which is where it came from."""
    if size(route.signature) <= WIDE:
        return route
    first = (*route.arms, *route.shadows)[0]
    return replace(route, signature=replace(route.signature, fields=(), classes=(), item_fields=()), signature_of=first.artifact)


def whole(route: ModelRoute, signatures: Callable[[str], Signature]) -> ModelRoute:
    """The route as a gateway needs it, with its signature."""
    return replace(route, signature=signatures(route.signature_of), signature_of="") if route.signature_of else route


def _alone(version: str, lookup: Lookup, fallback: Fallback, salt: str = "") -> ModelRoute | None:
    if not version:
        return None
    artifact, signature = lookup(version)
    return ModelRoute(
        signature=signature, arms=(Arm(version=version, role="champion", artifact=artifact, weight=FULL),), salt=salt, fallback=fallback
    )
