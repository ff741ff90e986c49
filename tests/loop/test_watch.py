"""What counting and judging must agree on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flyball.ledger.projection import MemoryProjection
from flyball.loop.folds import FOLDS
from flyball.loop.watch import loss_cap
from flyball.records.base import Recorded
from flyball.records.versions import VersionRegistered


@pytest.mark.parametrize(("champion", "cap"), [("1.0.0", 40.0), ("", 8.0)])
def test_a_rollouts_margin_is_read_in_the_cap_that_its_pairs_were_clipped_by(champion: str, cap: float) -> None:
    state = MemoryProjection()
    for number, result in (("1.0.0", "a" * 64), ("1.1.0", "b" * 64)):
        event = VersionRegistered(
            model="m", version=number, run="r", artifact="c" * 64, result=result, version_digest="v", policy_digest="p", data={}, metrics={}
        )
        FOLDS[VersionRegistered](state, Recorded(seq=1, at=1, actor="loop", command="c", event=event))
    library: Any = SimpleNamespace(result=lambda digest: SimpleNamespace(loss_cap=40.0 if digest[0] == "a" else 8.0))
    row: Any = SimpleNamespace(model="m", version="1.1.0", champion=champion)
    assert loss_cap(library, state, row) == cap
