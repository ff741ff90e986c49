"""Whether a run that was made again came to the same, and if not, which of its inputs is not what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from packaging.utils import canonicalize_name

from flyball.errors import Corrupt, NotFound
from flyball.records import codec
from flyball.records.environment import Environment, Reproduction, changed
from flyball.records.models import Manifest
from flyball.records.training import MAKING, RunResult, RunSpec
from flyball.store.blobs import Blobs
from flyball.training.artifact import manifest_of
from flyball.training.environment import differences, installed
from flyball.training.lock import lock_of
from flyball.training.onnx_form import MAKERS


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
    """Distributions of the lock that are others here, and what flyball puts beside the model today.

    The lock of another form is another lock for that (ONNX needs distributions of its own): of it, only what the earlier one names is compared, with what is
    installed.
    """
    try:
        was, now = manifest_of(before.artifact, blobs), manifest_of(made.artifact, blobs)
        pinned = _pinned(blobs.get(was.lock)) if was.lock else {}
        makers = _makers(before, was, blobs)
    except (NotFound, Corrupt):
        # what was removed since is compared by what its result says
        return
    if pinned:
        here = {name: pin for name, pin in _pinned(lock_of({}, pinned).encode()).items() if name in pinned}
        if was.served == now.served:
            here |= _pinned(blobs.get(now.lock))
        # the lock of a run says of no distribution where it came from
        here |= {name: installed(name) or "none" for name in makers if name not in pinned}
        pinned = makers | pinned
        for name in sorted({*pinned, *here} - {canonicalize_name(each) for each in was.libraries}):
            if pinned.get(name) != here.get(name):
                yield f"{name} of the lock: {pinned.get(name, 'none')} → {here.get(name, 'none')}"
    elif came := [*([] if was.lock else ["a lock"]), *sorted({*now.files} - {*was.files})]:
        yield f"it was packed by an earlier flyball, without {', '.join(came)}"


def _makers(before: RunResult, was: Manifest, blobs: Blobs) -> dict[str, str]:
    """What made a version's graph: nothing needs it to answer, so it stands in the lock of the run alone."""
    if was.served != "onnx" or before.environment is None or not before.environment.lock:
        return {}
    ran_with = _pinned(blobs.get(before.environment.lock))
    return {name: ran_with[name] for name in MAKERS if name in ran_with}


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
