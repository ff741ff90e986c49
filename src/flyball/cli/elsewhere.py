"""What the command line says of a model that is served elsewhere."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.declare.elsewhere import is_folder
from flyball.declare.model import Model
from flyball.loop import elsewhere as outside
from flyball.monitoring import learning
from flyball.monitoring.state import MonitorState
from flyball.records.base import State
from flyball.records.elsewhere import ELSEWHERE


def version(state: State, name: str) -> str:
    """The version of a model that is served elsewhere that was seen last; empty for any other."""
    row = state.get(ELSEWHERE, name)
    return "" if row is None else row.version


def since(state: State, name: str) -> Instant:
    """When the first of its predictions was made that came; 0: none came."""
    row = state.get(ELSEWHERE, name)
    return 0 if row is None else row.since


def doing(state: State, model: Model, kept: MonitorState) -> str:
    """How far it is known what is normal for a model that is served elsewhere; empty once it is, and for any other."""
    if not outside.elsewhere(state, model):
        return ""
    row = state.get(ELSEWHERE, model.name)
    if outside.prediction(model) is None:
        return "served elsewhere; its predictions cannot be taken: flyball check says why"
    if row is None:
        how = f'put them where data set "{model.data.name}" is read' if is_folder(model) else f"POST /models/{model.name}/predictions"
        return f"served elsewhere; no prediction has come yet: {how}"
    found = learning.finding(row, kept.seen)
    return found.why if found.standing == "insufficient" else ""
