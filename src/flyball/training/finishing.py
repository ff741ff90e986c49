"""What a run's result says of where it was made: its environment, whether that is the champion's, and whether a run was made again exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from flyball.records.training import RunResult, RunSpec
from flyball.store.blobs import Blobs
from flyball.training.artifact import manifest_of
from flyball.training.environment import differences, environment
from flyball.training.reproducing import compared, told


def finished(result: RunResult, spec: RunSpec, present: Mapping[str, str], blobs: Blobs) -> RunResult:
    """The result with its environment, and with notes on it. `present`: data sets of which rows were erased since they got their name."""
    here = environment(json.loads(blobs.get(spec.code)), blobs)
    notes = list(result.notes)
    if spec.champion and (apart := differences(manifest_of(spec.champion, blobs))):
        version = f" {spec.champion_version}" if spec.champion_version else ""
        notes.append(f"this run has another environment than the champion{version}: {', '.join(apart)}")
    again = compared(spec, result, here, present, blobs) if spec.reproduces else None
    if again is not None:
        notes.append(told(again))
    return msgspec.structs.replace(result, environment=here, reproduction=again, notes=tuple(notes))
