"""What `flyball release` says beside its result."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from flyball.cli.release import judged_against_another
from flyball.ledger.projection import MemoryProjection
from flyball.records.training import RUNS, RunRow, RunState
from flyball.records.versions import MODELS, ModelRow, VersionRow, VersionState


@pytest.mark.parametrize(
    ("met", "champion", "said"),
    [
        ("1.0.0", "1.0.0", ""),
        ("1.0.0", "1.1.0", "its gates compared 1.2.0 with 1.0.0; the champion is 1.1.0 now"),
        ("", "1.1.0", "its gates compared 1.2.0 with no champion; the champion is 1.1.0 now"),
        ("", "", ""),
        ("1.0.0", "1.2.0", ""),
    ],
)
def test_a_version_whose_gates_met_another_champion_is_released_and_it_is_said(met: str, champion: str, said: str) -> None:
    state = MemoryProjection()
    version = VersionRow(
        model="m", version="1.2.0", state=VersionState.ELIGIBLE, run="run", artifact="a" * 64, result="", version_digest="v", policy_digest="p",
        data={}, metrics={}, registered_at=0,
    )  # fmt: skip
    run = RunRow(run="run", model="m", trigger="schedule", reason="", spec="s", release=True, state=RunState.SUCCEEDED, queued_at=0)
    state.put(RUNS, "run", run)
    state.put(MODELS, "m", ModelRow(model="m", champion=champion))
    library = SimpleNamespace(spec=lambda _: SimpleNamespace(champion_version=met))
    wired: Any = SimpleNamespace(ports=SimpleNamespace(ledger=SimpleNamespace(state=lambda: state), library=library))
    assert judged_against_another(cast("Any", wired), version).startswith(said)
    assert bool(judged_against_another(cast("Any", wired), version)) is bool(said)
