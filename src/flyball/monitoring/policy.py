"""Whether what serves holds the declared policy: the gates of the version that answers, and the waivers that it passed by. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.ledger.bounds import clipped
from flyball.records.alerts import Finding
from flyball.records.estimates import Outcome
from flyball.records.versions import VersionRow
from flyball.registry import approvals
from flyball.registry.rules import other_gates

HOLDS = "the policy holds"
"""Name of the built-in monitor of the champion's gates."""


def policy_findings(champion: VersionRow | None, gates_digest: str, now: Instant) -> Sequence[Finding]:
    """An alert where a gate of the version that answers fails or its waiver has run out; a warning where one lacks data or a yes.

    gates_digest: of the gates that are declared now. Until they have judged the version, the ones before say nothing of it.
    """
    if champion is None:
        return ()
    if other_gates(champion, gates_digest):
        return (_said("none", 0, f"the gates were declared anew and have not judged {champion.version} yet"),)
    over = approvals.run_out(champion, now)
    failed = [verdict for verdict in champion.verdicts if verdict.outcome is Outcome.FAIL]
    doubts = approvals.doubts(champion, now)
    if not doubts:
        return (_said("none", 0, f"{champion.version} holds the declared gates"),)
    told = f"{champion.version} answers, and does not hold: {'; '.join(doubts)}"
    return (_said("alert" if over or failed else "warn", len(doubts), told),)


def _said(severity: str, n: int, why: str) -> Finding:
    return Finding(monitor=HOLDS, severity=severity, n=n, why=clipped(why), failure="policy_violation")  # type: ignore[arg-type]  # one of its words
