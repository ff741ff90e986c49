"""How far a view is in the online store, as it is told to people and in metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flyball.clock import Instant
from flyball.declare.views import FeatureView
from flyball.features.online.progress import read
from flyball.store.online import Generation


def document(
    key: str, view: FeatureView, content: str, as_of: Instant, models: Iterable[str], generations: Iterable[Generation], problem: str = ""
) -> dict[str, Any]:
    """One view: `state` is live, filling (the first time) or none; times are µs. `lag`: how much newer the data set's version is than what is read.

    key: its name in the store. content, as_of: of its data set's newest version.
    """
    own = [(each, at) for each in generations if each.view == key and (at := read(each.cursor)) is not None]
    live = next((at for each, at in own if each.live), None)
    filling = next((at for each, at in own if not each.live), None)
    return {
        "key": key,
        "view": view.name,
        "digest": key.partition("@")[2].partition(".")[0],
        "data": view.data.name,
        "entity": view.entity,
        "features": list(view.features),
        "ttl": None if view.ttl is None else int(view.ttl),
        "owner": view.owner,
        "models": list(models),
        "state": "live" if live is not None else "filling" if filling is not None else "none",
        "content": live.content if live is not None else "",
        "rows": live.rows if live is not None else 0,
        "as_of": live.as_of if live is not None else 0,
        "made_at": live.made_at if live is not None else 0,
        "lag": 0 if live is not None and live.content == content else max(0, as_of - live.as_of) if live is not None else None,
        "newest": content,
        "entities_done": filling.done if filling is not None else 0,
        "problem": problem,
    }
