"""A training run as a job: `python -m flyball.training.job`, in its job's folder.

Reads `spec.json` (whose input says which run, and where blobs lie), works from blobs alone (the code snapshot, never the working
tree), writes `progress.json` as it goes and at the end `out/result.json` or `out/failure.json`. Whoever observes the job believes
only a result whose artifact verifies.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

import msgspec

from flyball.clock import Span
from flyball.compute.port import JobObservation, JobSpec
from flyball.errors import Corrupt, FlyballError, NotFound, Problem, Stopped
from flyball.ledger.references import references
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.training import RunResult, RunSpec
from flyball.store.blobs import Blobs, LocalBlobs

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.training.choosing import Progress
    from flyball.training.predictor import Predictor

RESULT = "out/result.json"
FAILURE = "out/failure.json"
PROGRESS = "progress.json"

_NOT_ITS_OWN = {
    "lease": "nobody kept it: the control plane was away for longer than its lease",
    "stopped": "its guardian was told to stop",
}
"""Ends that say nothing about the run."""


class JobInput(Record, frozen=True):
    """What a training job is told. `spec` is the blob of its RunSpec; the rest are folders.

    `present`: data set → where its content lies now, where rows of it were erased since it got its name. `at_once`: trials of a search at once.
    `watts` of a busy processor and the `price` of an hour of CPU time ("0.04 EUR"; empty: not known) make of CPU time energy and money.
    """

    spec: str
    blobs: str
    scratch: str
    memo: str
    present: dict[str, str] = {}
    at_once: int = 1
    watts: int = 10
    price: str = ""


class Costs(Record, frozen=True):
    """What the settings say of how runs are made and what they cost; see `JobInput`."""

    at_once: int = 1
    watts: int = 10
    price: str = ""


class Outcome(Record, frozen=True):
    """What a job leaves: the blob of its RunResult, or the text of why there is none, with its code."""

    result: str = ""
    why: str = ""
    code: str = ""


class Observed(Record, frozen=True):
    """What is seen of a run's newest attempt: absent, running, lost, succeeded (with the blob of its result) or failed (with the reason and its code).

    `cpu_s`: CPU seconds of an ended run's processes; None where an earlier attempt has taken what nobody counted.
    """

    state: str
    attempt: int = 0
    why: str = ""
    result: str = ""
    code: str = ""
    cpu_s: float | None = None


class _Output(Protocol):
    def observe(self, keys: list[str]) -> Mapping[str, JobObservation]: ...

    def output(self, key: str, name: str) -> bytes | None: ...


def job_spec(
    run: str,
    spec: str,
    *,
    blobs: Path,
    home: Path,
    attempt: int = 1,
    timeout: Span | None = None,
    memory: int | None = None,
    present: Mapping[str, str] | None = None,
    costs: Costs | None = None,
) -> JobSpec:
    """The job of a run: `spec` is the blob of its RunSpec, `home` the folder (`.flyball`) under which scratch files are kept.

    present: data set → where its content lies now, where rows of it were erased.
    """
    scratch, memo = str(home.resolve() / "scratch"), str(home.resolve() / "memo")
    costs = costs or Costs()
    told = JobInput(
        spec=spec,
        blobs=str(blobs.resolve()),
        scratch=scratch,
        memo=memo,
        present=dict(present or {}),
        at_once=costs.at_once,
        watts=costs.watts,
        price=costs.price,
    )
    return JobSpec(
        key=run,
        attempt=attempt,
        argv=(sys.executable, "-m", "flyball.training.job"),
        input=codec.encode(told).decode(),
        deadline=timeout or Span(0),
        memory=memory or 0,
    )


def observe(compute: _Output, run: str, blobs: Blobs) -> Observed:
    """What became of a run. Succeeded only with a result whose artifact is whole; reading it takes milliseconds a megabyte."""
    seen = compute.observe([run])[run]
    if seen.state != "ended":
        return Observed(state=seen.state, attempt=seen.attempt)
    if seen.why in _NOT_ITS_OWN:
        # whoever should have kept it was away, or the machine went down: the run has done nothing wrong and is tried again
        return Observed(state="lost", attempt=seen.attempt, why=_NOT_ITS_OWN[seen.why])
    if seen.rc == 0 and (found := compute.output(run, RESULT)) is not None:
        return msgspec.structs.replace(_verified(found, seen.attempt, blobs), cpu_s=_cpu_s(seen))
    failed = _why(compute, run, seen, blobs)
    return Observed(state="failed", attempt=seen.attempt, why=failed.why, code=failed.code, cpu_s=_cpu_s(seen))


def _cpu_s(seen: JobObservation) -> float | None:
    return round(seen.cpu_s, 3) if seen.attempt == 1 else None


def _verified(left: bytes, attempt: int, blobs: Blobs) -> Observed:
    from flyball.training.artifact import verify

    try:
        result = codec.decode(left, Outcome).result
        made = codec.decode(blobs.get(result), RunResult)
        verify(made.artifact, blobs)
    except (NotFound, Corrupt, msgspec.DecodeError) as error:
        return Observed(state="failed", attempt=attempt, why=f"its result does not verify: {error}", code="unusable-artifact")
    return Observed(state="succeeded", attempt=attempt, result=result)


def _why(compute: _Output, run: str, seen: JobObservation, blobs: Blobs) -> Outcome:
    """Why there is no result: what the run itself left, else what its guardian or the system did to it, and what it was doing then."""
    during = _during(compute, run)
    if seen.why == "deadline":
        what = f"it took longer than train timeout allows{during}"
        faster = "ask for fewer trials" if _trials(compute, run, blobs) else "make one fit faster: a shorter window, a smaller model"
        return _ended(what, why="a fit that hangs is ended too", fix=f"raise fb.Train(timeout=…), or {faster}", code="run-timeout")
    if seen.why == "memory":
        what = f"it took more memory than it may have ({seen.peak_bytes / 1e6:.0f} MB seen){during}"
        why = "train memory is the bound, or four fifths of the machine's where none is declared: what serves needs the rest"
        return _ended(what, why=why, fix="raise fb.Train(memory=…), or fit on less", code="run-memory")
    if seen.why == "cancelled":
        return Outcome(why="it was cancelled", code="run-cancelled")
    found = compute.output(run, FAILURE)
    if found is not None:
        return codec.decode(found, Outcome)
    why = "its code ended it (os._exit), a native library crashed, or the system killed it, most often for want of memory"
    return _ended(f"its process ended with {_ending(seen)}{during} and left no reason", why=why, fix="look at its log", code="run-exited")


def _ended(what: str, *, why: str, fix: str, code: str) -> Outcome:
    return Outcome(why=str(Problem("", what, why, fix)), code=code)


def _during(compute: _Output, run: str) -> str:
    """What the run was doing when it was last heard of: ", at fit"; empty where nobody knows."""
    try:
        seen = msgspec.json.decode(compute.output(run, PROGRESS) or b"", type=_At)
    except msgspec.DecodeError:
        return ""
    return f", at {seen.stage}" + (f" {seen.done}/{seen.total}" if seen.total else "") if seen.stage else ""


def _trials(compute: _Output, run: str, blobs: Blobs) -> int:
    """How many hyperparameters the run was to try; 0 where that is not known any more."""
    try:
        job = codec.decode(compute.output(run, "spec.json") or b"", JobSpec)
        return codec.decode(blobs.get(codec.decode(job.input, JobInput).spec), RunSpec).trials
    except (FlyballError, msgspec.DecodeError):
        return 0


class _At(msgspec.Struct, forbid_unknown_fields=False):
    """What is read of a job's progress.json."""

    stage: str = ""
    done: int = 0
    total: int = 0


def _ending(seen: JobObservation) -> str:
    if seen.rc is not None and seen.rc < 0:
        return f"signal {signal.Signals(-seen.rc).name}"
    return f"exit code {seen.rc}" if seen.why == "exited" else f"exit code {seen.rc} ({seen.why})"


def main() -> int:
    """Entry point; the working directory is the job's folder."""
    signal.signal(signal.SIGTERM, _stop)
    folder = Path.cwd()
    job = codec.decode((folder / "spec.json").read_bytes(), JobSpec)
    told = codec.decode(job.input, JobInput)
    try:
        result = run(told, folder, until=time.monotonic() + job.deadline / 1e6 if job.deadline else float("inf"))
    except FlyballError as error:
        _write(folder / FAILURE, Outcome(why=_written(str(error)), code=error.code))
        print(_written(str(error)), flush=True)
        return 1
    except Stopped:
        raise
    except BaseException as error:  # noqa: BLE001 - a loop file's own code ran here, and may exit: the log shows where, the run says what
        traceback.print_exc()
        _write(
            folder / FAILURE,
            Outcome(why=_written(f"{': '.join(filter(None, (type(error).__name__, str(error))))}; see the run's log"), code="run-failed"),
        )
        return 1
    _write(folder / RESULT, Outcome(result=result))
    return 0


def _teller(folder: Path) -> Callable[[Progress], None]:
    """Says how far a run is: to whoever looks at its folder, and in its log."""
    from flyball.training.choosing import Progress

    latest = Progress(stage="")

    def progress(seen: Progress) -> None:
        nonlocal latest
        latest = seen.after(latest)
        _write(folder / PROGRESS, latest)
        best = f"  best {seen.objective} {seen.best:.4g}" if seen.best is not None else ""
        print(seen.stage if not seen.total else f"{seen.stage} {seen.done}/{seen.total}{best}", flush=True)

    return progress


def run(told: JobInput, folder: Path, *, until: float = float("inf")) -> str:
    """Do the work; return the blob of the RunResult. A run that was done before is not done again.

    until: the moment of `time.monotonic` at which the guardian ends it.
    """
    from flyball.training.run import execute, memo_key

    blobs = LocalBlobs(Path(told.blobs))
    spec = codec.decode(blobs.get(told.spec), RunSpec)
    # what was learned from rows that were erased since is not remembered for those that are left
    spec = msgspec.structs.replace(spec, datasets={name: told.present.get(name, content) for name, content in spec.datasets.items()})
    memo = Path(told.memo) / memo_key(spec)
    done = "" if spec.reproduces else _remembered(memo, blobs, priced=bool(told.price))
    if done:
        print(f"the same run was done before: result {done}", flush=True)
        return done

    from flyball.declare.code import load_model
    from flyball.training.artifact import load_champion, unpack_code
    from flyball.training.beside import Place
    from flyball.training.cost import Meter, price_of
    from flyball.training.finishing import finished
    from flyball.training.proving import check_row_by_row
    from flyball.training.searching import Conduct
    from flyball.training.stored import Stored

    progress = _teller(folder)
    scratch = Path(told.scratch)
    if spec.candidate:
        return blobs.put(codec.encode(_judged_again(spec, blobs, scratch)))
    frames = Stored(spec.datasets, blobs, scratch)
    champion = load_champion(spec.champion, blobs, scratch) if spec.champion else None
    model = load_model(unpack_code(spec.code, blobs, scratch), spec.file, spec.model)
    check_row_by_row(model, frames)
    conduct = Conduct(
        until=until,
        at_once=told.at_once,
        kept=memo.with_suffix(".trials") if not spec.reproduces else None,
        place=Place(blobs=told.blobs, scratch=told.scratch, code=spec.code, file=spec.file, model=spec.model),
        say=lambda line: print(line, flush=True),
        meter=Meter(at_once=max(1, told.at_once), watts=told.watts, price=price_of(told.price)),
    )
    result = finished(execute(spec, model, frames, blobs, champion=champion, progress=progress, conduct=conduct), spec, told.present, blobs)
    for note in result.notes:
        print(f"note: {note}", flush=True)
    made = blobs.put(codec.encode(result))
    if spec.reproduces:
        return made
    memo.parent.mkdir(parents=True, exist_ok=True)
    _write(memo, Outcome(result=made))
    memo.with_suffix(".trials").unlink(missing_ok=True)
    return made


def _judged_again(spec: RunSpec, blobs: Blobs, scratch: Path) -> RunResult:
    """A version on the rows that judged it, and on newer ones where these are wanted, by the gates of `spec.declaration`.

    Its champion was released before the newer rows, so the champion itself is asked. Rows are read only where something of them is needed.
    """
    import io

    import polars as pl

    from flyball.training import rejudge
    from flyball.training.artifact import load, load_champion
    from flyball.training.folds import assemble_theirs
    from flyball.training.judging import parquet
    from flyball.training.rows import assemble, taught_released
    from flyball.training.stored import Stored
    from flyball.training.suites import asked_again, cases_of, stored_suites, with_seen

    candidate = load(spec.candidate, blobs, scratch)
    judge = _judge(spec, candidate, blobs, scratch)
    # what it was fitted on, with the slices and suites of whoever judges
    own = judge is candidate.model
    model = judge if own else candidate.model.replace(slices=judge.slices, gates=judge.gates, suites=judge.suites)
    prior = codec.decode(blobs.get(spec.prior), RunResult)
    beside = codec.decode(blobs.get(spec.champion_result), RunResult).measured if spec.champion_result else None
    frame = pl.read_parquet(io.BytesIO(blobs.get(prior.evidence)))
    frames = Stored(spec.datasets, blobs, scratch)
    assembled = cache(lambda: assemble(model, frames, as_of=spec.known_until or spec.as_of))
    learned = None
    if model.suites:
        # what is kept no longer was looked at when it was there
        with suppress(NotFound):
            learned = taught_released(assembled(), candidate.trained_until, prior.window)
    suites = asked_again(model, candidate, frames, spec.as_of, prior, blobs, spec.unread, learned=learned)
    if learned is None:
        suites = with_seen(model, suites, spec.datasets, prior, blobs)
    told = {"suites": stored_suites(suites, blobs), "suites_of": cases_of(model, suites, frames, spec.datasets, prior.suites_of)}
    if spec.known_until:
        if rejudge.lacking(judge, frame):
            frame = rejudge.with_columns(judge, frame, assembled().as_known(spec.known_until))
        result = rejudge.judged(spec, judge, frame, prior, candidate=candidate, champion_measured=beside, suites=suites)
        return msgspec.structs.replace(result, evidence=blobs.put(parquet(frame)), **told)
    champion = load_champion(spec.champion, blobs, scratch) if spec.champion else None
    result, frame = rejudge.rejudge(
        spec,
        model,
        assembled(),
        prior,
        candidate=candidate,
        champion=(champion, assemble_theirs(champion.model, frames, spec.as_of)) if champion is not None else None,
        earlier=frame,
        champion_measured=beside,
        suites=suites,
        judge=judge,
    )
    return msgspec.structs.replace(result, evidence=blobs.put(parquet(frame)), **told)


def _judge(spec: RunSpec, candidate: Predictor, blobs: Blobs, scratch: Path) -> Model:
    """Whose gates judge: the version's own declaration, or what was declared since, with its functions."""
    from flyball.declare.code import load_model
    from flyball.training.artifact import manifest_of, unpack_code

    if manifest_of(spec.candidate, blobs).declaration == spec.declaration:
        return candidate.model
    return load_model(unpack_code(spec.code, blobs, scratch), spec.file, spec.model)


def _remembered(memo: Path, blobs: Blobs, *, priced: bool) -> str:
    """The result of an equal run, if it is still whole, and lacks nothing that is known now: one whose gate on its cost is open for want of a price
    is made again once there is one (`priced`). It is about to be referred to again, so nothing of it is removed meanwhile.
    """
    from flyball.evaluation.persons import of_price
    from flyball.training.artifact import verify

    try:
        found = codec.decode(memo.read_bytes(), Outcome).result
        result = codec.decode(blobs.get(found), RunResult)
        if priced and any(of_price(verdict) for verdict in result.verdicts):
            return ""
        manifest = verify(result.artifact, blobs)
        for digest in (found, *(each.digest for record in (result, manifest) for each in references(record))):
            blobs.refresh(digest)
    except (FileNotFoundError, NotFound, Corrupt, msgspec.ValidationError, msgspec.DecodeError):
        return ""
    return found


def _written(text: str) -> str:
    """Text that can be written down: a user's code may say what no encoding has."""
    return text.encode("utf-8", "replace").decode()


def _write(path: Path, record: Record) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(codec.encode(record))
    temporary.replace(path)


def _stop(_number: int, _frame: FrameType | None) -> None:
    print("stopped", flush=True)
    raise Stopped(143)


if __name__ == "__main__":
    sys.exit(main())
