"""Every route of the API in one table: what it needs, takes and gives. Nothing is answered that is not listed here.

`needs` is OPEN, READ, RECORD, ADMIN, SIGNED, or the name of the command that it gives in the table of who may give which (`loop/authority.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from flyball.api import answers, bodies, giving, hooks, incidents, muting, reading, versions
from flyball.api.asking import Answer, Asked
from flyball.ledger.checkpoints import Proof
from flyball.records.base import Record
from flyball.records.declarations import DeclarationRow
from flyball.records.deliveries import DeliveryRow
from flyball.records.incidents import IncidentRow
from flyball.records.lineage import Lineage, Overview
from flyball.records.rollouts import RolloutRow
from flyball.records.training import RunRow
from flyball.registry.compare import Comparison

OPEN = "open"
"""Nobody is asked for a token."""

READ = "read"
"""A token for the control plane, of whoever has a role."""

RECORD = "record"
"""The same, of a token for all models: the record itself is of all of them."""

ADMIN = "admin"
"""A token for the control plane, of an admin."""

SIGNED = "signed"
"""No token, but the signature of a route that flyball.toml declares: what it may ask for, the table of who may give which command says."""

PAGE = ("limit", "after")

QUERY: Mapping[str, str] = MappingProxyType(
    {
        "limit": "how many things a page has: 1 to 200, 50 if it is not said",
        "after": "where the page begins: what the page before said in `next`",
        "model": "only what is of this model",
        "state": "only what is in this state",
        "search": "only what all these terms are true of, such as `accuracy>0.7 state=eligible tag=region:eu`",
        "version": "of this version of a data set, by its number or how its content begins; else of the one in use",
        "from": "the version of a data set that is compared, by its number or how its content begins",
        "to": "the version with which it is compared; else the one in use",
        "of": "only of this thing, named as in /lineage/{ref}, and of what is told of it; else of everything",
        "offset": "the byte from which on it is told",
        "direction": "`up`: only what it was made of; `down`: only what was made of it; both if it is not said",
    }
)
"""Query parameter → what it means."""


@dataclass(frozen=True)
class Route:
    """One route. `paged`: the answer is a page of `answer`. `text`: it is plain text. `streams`: it can be had as server-sent events too."""

    method: str
    path: str
    handler: Callable[[Asked], Answer]
    answer: type[Record] | None
    needs: str = READ
    body: type[Record] = bodies.NoBody
    query: tuple[str, ...] = ()
    status: int = 200
    paged: bool = False
    streams: bool = False

    @property
    def acts(self) -> bool:
        """Whether it gives a command."""
        return self.method != "GET"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _list(
    path: str, handler: Callable[[Asked], Answer], answer: type[Record], *more: str, needs: str = READ, streams: bool = False
) -> Route:
    return Route("GET", path, handler, answer, needs=needs, query=(*PAGE, *more), paged=True, streams=streams)


def _on_version(
    method: str, part: str, handler: Callable[[Asked], Answer], answer: type[Record], command: str, body: type[Record] = bodies.Why
) -> Route:
    path = f"/models/{{model}}/versions/{{version}}{part}"
    return Route(method, path, handler, answer, needs=f"loop.lifecycle.{command}", body=body)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", reading.health, answers.Health, needs=OPEN),
    _list("/declarations", reading.declarations, DeclarationRow),
    Route("POST", "/declarations", giving.apply, answers.Applied, needs="loop.commands.Apply"),
    _list("/models", reading.models, answers.Standing),
    Route("GET", "/models/{model}", reading.model, answers.Standing),
    Route("POST", "/models/{model}/rollback", giving.roll_back, answers.RolledBack, needs="loop.releases.Rollback", body=bodies.Why),
    _list("/models/{model}/versions", reading.versions, answers.Version, "search"),
    Route("GET", "/models/{model}/versions/{version}", reading.version, answers.Version),
    Route("GET", "/models/{model}/versions/{version}/verdicts", reading.verdicts, answers.Verdicts),
    Route(
        "POST",
        "/models/{model}/versions/{version}/verdicts",
        giving.judge,
        answers.Judged,
        needs="loop.approvals.Approve",
        body=bodies.Judging,
    ),
    Route("GET", "/models/{model}/versions/{version}/card", versions.card, answers.Card),
    Route(
        "POST",
        "/models/{model}/versions/{version}/card",
        versions.describe,
        answers.Card,
        needs="loop.describing.Describe",
        body=bodies.Describing,
    ),
    Route("GET", "/models/{model}/versions/{version}/compare/{other}", versions.compare, Comparison),
    _on_version("PATCH", "", versions.annotate, answers.Noted, "Annotate", bodies.Noting),
    _on_version("DELETE", "", versions.delete, answers.Judged, "Delete"),
    _on_version("POST", "/judging", versions.judge_anew, answers.Judged, "Judge"),
    _on_version("POST", "/deprecation", versions.deprecate, answers.Judged, "Deprecate"),
    _on_version("DELETE", "/deprecation", versions.undeprecate, answers.Judged, "Undeprecate"),
    _on_version("POST", "/quarantine", versions.quarantine, answers.Judged, "Quarantine"),
    _on_version("DELETE", "/quarantine", versions.reinstate, answers.Judged, "Reinstate"),
    _list("/runs", reading.runs, RunRow, "model"),
    Route("POST", "/runs", giving.train, answers.RunWanted, needs="loop.commands.Train", body=bodies.Training, status=202),
    Route("GET", "/runs/{run}", reading.run, answers.Run),
    Route("GET", "/runs/{run}/logs", reading.run_log, None, query=("offset",)),
    Route("GET", "/runs/{run}/compare/{other}", versions.compare_runs, Comparison),
    Route("DELETE", "/runs/{run}", giving.cancel_run, answers.RunEnded, needs="loop.commands.CancelRun", body=bodies.Why),
    _list("/rollouts", reading.rollouts, RolloutRow, "model"),
    Route("POST", "/rollouts", giving.release, answers.Released, needs="loop.releases.Release", body=bodies.Releasing, status=202),
    Route("GET", "/rollouts/{rollout}", reading.rollout, answers.Rollout),
    Route("POST", "/rollouts/{rollout}/pause", giving.pause, answers.Steered, needs="loop.releases.Steer", body=bodies.Why),
    Route("POST", "/rollouts/{rollout}/resume", giving.resume, answers.Steered, needs="loop.releases.Steer", body=bodies.Why),
    Route("POST", "/rollouts/{rollout}/abort", giving.abort, answers.Steered, needs="loop.releases.Steer", body=bodies.Why),
    _list("/datasets", reading.datasets, answers.Dataset),
    _list("/datasets/{dataset}/versions", reading.dataset_versions, answers.DataVersion),
    _list("/datasets/{dataset}/rows", reading.dataset_rows, answers.DataRow, "version"),
    Route("POST", "/datasets/{dataset}/rows", giving.push_rows, answers.RowsTaken, needs="loop.pushing.PushRows", body=bodies.Rows),
    Route("GET", "/datasets/{dataset}/diff", reading.dataset_difference, answers.VersionsCompared, query=("from", "to")),
    Route("GET", "/lineage", reading.lineage_overview, Overview),
    Route("GET", "/lineage/{ref}", reading.lineage, Lineage, query=("direction",)),
    Route("GET", "/openlineage", reading.openlineage, None, query=("of", "direction")),
    Route("GET", "/features/{view}", reading.view, answers.View),
    Route("GET", "/monitors/{model}", reading.monitors, answers.Monitors),
    _list("/incidents", reading.incidents, IncidentRow, "model", "state"),
    Route(
        "POST", "/incidents", incidents.complain, answers.Complained, needs="loop.findings.OpenIncident", body=bodies.Complaint, status=201
    ),
    Route("GET", "/incidents/{incident}", incidents.incident, answers.Incident),
    Route("POST", "/incidents/{incident}/ack", giving.acknowledge, answers.Settled, needs="loop.findings.SettleIncident", body=bodies.Why),
    Route("POST", "/incidents/{incident}/resolve", giving.resolve, answers.Settled, needs="loop.findings.SettleIncident", body=bodies.Why),
    Route(
        "POST",
        "/incidents/{incident}/review",
        incidents.review,
        answers.Settled,
        needs="loop.findings.SettleIncident",
        body=bodies.Reviewing,
    ),
    Route(
        "POST",
        "/incidents/{incident}/mitigated",
        incidents.mitigated,
        answers.Settled,
        needs="loop.findings.SettleIncident",
        body=bodies.Why,
    ),
    Route(
        "POST",
        "/incidents/{incident}/fallback",
        incidents.fall_back,
        answers.Settled,
        needs="loop.fallbacks.BeginFallback",
        body=bodies.Why,
    ),
    _list("/incidents/{incident}/deliveries", muting.deliveries, DeliveryRow),
    Route("POST", "/models/{model}/mute", muting.mute, answers.Muted, needs="loop.muting.Mute", body=bodies.Muting),
    Route("DELETE", "/models/{model}/mute", muting.unmute, answers.Muted, needs="loop.muting.Unmute", body=bodies.Unmuting),
    Route("POST", "/hooks/{route}", hooks.take, answers.Heard, needs=SIGNED, body=bodies.Hook),
    _list("/events", reading.events, answers.EventAnswer, needs=RECORD, streams=True),
    Route("GET", "/events/{seq}", reading.event, answers.EventAnswer, needs=RECORD),
    Route("GET", "/events/{seq}/proof", reading.proof, Proof, needs=RECORD),
    _list("/checkpoints", reading.list_checkpoints, answers.CheckpointAnswer, needs=RECORD),
    _list("/tokens", reading.tokens, answers.Token, needs=ADMIN),
    Route("POST", "/tokens", giving.create_token, answers.TokenMade, needs="loop.tokens.CreateToken", body=bodies.NewToken, status=201),
    Route("DELETE", "/tokens/{token}", giving.revoke_token, answers.TokenTaken, needs="loop.tokens.RevokeToken", body=bodies.Why),
)
"""Every route but `/openapi.json`, which is made from this table."""

WITH_SLASHES = "{ref}"
"""The part of a path that may hold slashes, as it is or as %2F: a source is called by its path."""

SELF = "/openapi.json"
"""The document of this table: it is told to everybody."""

NOT_OFFERED: Mapping[str, str] = MappingProxyType(
    {
        "freezes": "freezing releases",
        "backtests": "backtests: flyball backtest runs them",
        "batches": "scheduled scoring",
        "scorecard": "the scorecard",
    }
)
"""First part of a path that is planned, and what it would be: it is answered 404, which says so."""
