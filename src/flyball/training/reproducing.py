"""Whether a run that was made again came to the same, and if not, which of its inputs is not what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.utils import canonicalize_name

from flyball.errors import Corrupt, NotFound
from flyball.records import codec
from flyball.records.environment import Environment, Reproduction, changed
from flyball.records.training import MAKING, RunResult, RunSpec
from flyball.store.blobs import Blobs
from flyball.training.artifact import manifest_of
from flyball.training.environment import differences, installed


def compared(spec: RunSpec, made: RunResult, here: Environment, present: Mapping[str, str], blobs: Blobs) -> Reproduction:
    """How `made` compares with the result that it was to be again (`spec.expected`). `present`: data sets of which rows were erased since."""
    before = codec.decode(blobs.get(spec.expected), RunResult)
    same = made.artifact == before.artifact
    return Reproduction(
        run=spec.reproduces,
        same=same,
        artifact=made.artifact,
        expected=before.artifact,
        learned_same=bool(before.fit_digest) and made.fit_digest == before.fit_digest,
        differs=() if same else tuple(_differs(spec, before, made, here, present, blobs)),
    )


def told(found: Reproduction) -> str:
    """The comparison in a sentence."""
    if found.same:
        return f"the same artifact hash as {found.run}: {found.artifact[:12]}"
    learned = "what was learned is the same" if found.learned_same else "what was learned differs too"
    return f"not the artifact of {found.run}: {found.artifact[:12]}, was {found.expected[:12]} ({learned}): {'; '.join(found.differs)}"


def _differs(
    spec: RunSpec, before: RunResult, made: RunResult, here: Environment, present: Mapping[str, str], blobs: Blobs
) -> Iterator[str]:
    """Every recorded input that is not what it was; where there is none, the fit itself."""
    known = False
    found = (*_environment(before, here, blobs), *_packing(before, made, blobs), *_way(spec), *_erased(present), *_trials(before, made))
    for text in found:
        known = True
        yield text
    if not known:
        yield "fit is not deterministic: every input that is recorded is what it was"


def _environment(before: RunResult, here: Environment, blobs: Blobs) -> Iterator[str]:
    was = before.environment
    if was is None:
        yield from differences(manifest_of(before.artifact, blobs))
        return
    now = {name: installed(name) for name in was.libraries} | here.libraries
    yield from changed({"python": was.python, **was.libraries}, {"python": here.python, **now})
    for name, one, other in (
        ("processor", was.processor, here.processor),
        ("system", was.system, here.system),
        ("implementation of Python", was.implementation, here.implementation),
        ("caps on threads", _shown(was.threads), _shown(here.threads)),
    ):
        if one != other:
            yield f"{name}: {one} → {other}"


def _packing(before: RunResult, made: RunResult, blobs: Blobs) -> Iterator[str]:
    """What stands in one manifest and not in the other though nothing else was learned: distributions of the lock, and what flyball puts beside the model."""
    try:
        was, now = manifest_of(before.artifact, blobs), manifest_of(made.artifact, blobs)
    except (NotFound, Corrupt):
        # what was removed since is compared by what its result says
        return
    locks = [_pinned(blobs.get(each.lock)) if each.lock else {} for each in (was, now)]
    own = {canonicalize_name(name) for name in was.libraries}
    if all(locks):
        for name in sorted({*locks[0], *locks[1]} - own):
            if locks[0].get(name) != locks[1].get(name):
                yield f"{name} of the lock: {locks[0].get(name, 'none')} → {locks[1].get(name, 'none')}"
    came = sorted({"a lock"} if not was.lock else set()) + sorted(set(now.files) - set(was.files))
    if came and not all(locks):
        yield f"it was packed by an earlier flyball, without {', '.join(came)}"


def _pinned(lock: bytes) -> dict[str, str]:
    return dict(line.removeprefix("# ").split("==", 1) for line in lock.decode().splitlines())


def _way(spec: RunSpec) -> Iterator[str]:
    if spec.making < MAKING:
        yield "it was made by an earlier flyball, which judged trials and the threshold of a fit with X_valid by those very rows"


def _erased(present: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(present):
        yield f'rows of data set "{name}" were erased since'


def _trials(before: RunResult, made: RunResult) -> Iterator[str]:
    """The first trial of the search that went otherwise: one that was stopped for want of time may have had it now."""
    for was, now in zip(before.history, made.history, strict=False):
        if was.parameters != now.parameters:
            yield f"trial {was.number} of the search: another point was asked for"
            return
        if (was.state, was.value) != (now.state, now.value) and "stopped" in (was.state, now.state):
            yield f"trial {was.number} of the search: {was.state} then, {now.state} now: it depends on time"
            return


def _shown(threads: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(threads.items()) if value) or "none"
