"""What `flyball status` says of the processes that serve: workers that do not start, and environments that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.cli import common
from flyball.cli.output import Output, one_line
from flyball.loop import lookup
from flyball.records.base import State
from flyball.serving.broken import broken
from flyball.serving.environments import apart, sentence

if TYPE_CHECKING:
    from flyball.wiring import Wired


def workers(wired: Wired, out: Output, state: State) -> list[dict[str, str]]:
    """Versions that should answer and whose worker does not start, each with what helps."""
    found = []
    for ref, why in broken(wired.layout).items():
        model, _, version = ref.partition("@")
        if not common.may_see(wired, model):
            continue
        roles = lookup.roles(state, model)
        # what a rollout brings fails by itself; the champion stays until somebody goes back
        step = f"flyball rollback {model}" if version == roles.champion and roles.former else f"flyball models show {ref}"
        out.line(f"{out.paint('worker', 'bad')}    {ref} does not start: {one_line(why)}   → {step}")
        found.append({"model": model, "version": version, "why": why, "next": step})
    return found


def environments(wired: Wired, out: Output) -> dict[str, tuple[str, ...]]:
    """Which versions are served by another environment than they were made with, and what differs."""
    found = {ref: differs for ref, differs in apart(wired.layout).items() if common.may_see(wired, ref.partition("@")[0])}
    for ref, differs in found.items():
        out.line(f"{out.paint('differs', 'unsure')}   {sentence(ref, differs)}")
    return found
