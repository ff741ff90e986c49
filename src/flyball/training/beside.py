"""Trials in processes beside the run's own: several at once, each with one thread, so that none changes another's outcome.

`python -m flyball.training.beside` makes trials in such a process: it reads what to search from its first line of input, then a trial a line, and
writes its outcome a line. It sees blobs and the rows in a file, never the working tree. Processes rather than threads: a fit holds the
interpreter, seeds global generators, and may crash.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from flyball.clock import Instant
from flyball.compute.guardian import ONE_THREAD, outside
from flyball.errors import BadInput, FlyballError
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.training import Trial
from flyball.training.search import FAILED, STOPPED, Asked, Former

if TYPE_CHECKING:
    from flyball.training.trials import Trials

GRACE_S = 5.0
"""How much longer than its time a trial's process may take before it is killed: it ends by itself, unless native code holds it."""


class Place(Record, frozen=True):
    """Where a process finds the code and the rows: folders and a file of this machine, and what the code is called."""

    blobs: str
    scratch: str
    code: str
    file: str
    model: str
    rows: str = ""


class _Search(Record, frozen=True):
    place: Place
    features: tuple[str, ...]
    label_delay: int
    arranged: bool
    seed: int
    as_of: Instant
    cut: tuple[int, ...]
    fixed: dict[str, int | float | str | bool]


class _Work(Record, frozen=True):
    number: int
    point: dict[str, int | float | str | bool]
    trials: int
    reports: dict[int, tuple[float, ...]]
    seconds: float | None


class _Done(Record, frozen=True):
    """A trial, or the error that ends the search."""

    trial: Trial | None = None
    what: str = ""
    why: str = ""
    fix: str = ""
    code: str = ""


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    asked: Asked
    until: float
    seconds: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def output(self) -> IO[bytes]:
        return cast("IO[bytes]", self.process.stdout)


class Beside:
    """`at_once` processes for the trials of one search. Close it when the search is over."""

    def __init__(self, trials: Trials, place: Place, at_once: int) -> None:
        rows = trials.fitter.rows
        path = Path(place.scratch) / f"rows-{os.getpid()}-{time.monotonic_ns()}.arrow"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._closing = ExitStack()
        self._closing.callback(path.unlink, missing_ok=True)
        rows.frame.write_ipc(path, compression="uncompressed")
        search = _Search(
            place=Place(
                blobs=place.blobs, scratch=place.scratch, code=place.code, file=place.file, model=place.model, rows=str(path.resolve())
            ),
            features=rows.features,
            label_delay=rows.label_delay,
            arranged=rows.arranged,
            seed=trials.fitter.seed,
            as_of=trials.fitter.as_of,
            cut=tuple(trials.cut),
            fixed=trials.fixed,
        )
        self._first_line, self._at_once, self._idle = codec.encode(search) + b"\n", at_once, list[subprocess.Popen[bytes]]()

    def __enter__(self) -> Beside:
        """Nothing is started before there is work."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End what waits for more work, and remove the file of rows."""
        for process in self._idle:
            _end(process)
        self._closing.close()

    def make(self, batch: Sequence[Asked], former: Former, share: Callable[[], float | None]) -> Iterator[Trial]:
        """The trials of a batch as they end, each in `share()` seconds from when it begins (None: as long as it likes). One whose process ends without a word has failed. Raises BadInput as `Trials.make` does."""
        waiting, running = list(batch), dict[int, _Child]()
        with selectors.DefaultSelector() as ready:
            try:
                while waiting or running:
                    while waiting and len(running) < self._at_once:
                        child = self._give(waiting.pop(0), former, share())
                        running[child.output.fileno()] = child
                        ready.register(child.output, selectors.EVENT_READ)
                    nearest = min(child.until for child in running.values())
                    seen = ready.select(None if nearest == float("inf") else max(0.0, nearest - time.monotonic()))
                    over = [key.fd for key, _ in seen] or [fd for fd, child in running.items() if child.until <= time.monotonic()]
                    for fd in over:
                        child = running.pop(fd)
                        ready.unregister(child.output)
                        yield self._take(child) if seen else _killed(child)
            finally:
                for child in running.values():
                    child.process.kill()
                    _end(child.process)

    def _give(self, asked: Asked, former: Former, seconds: float | None) -> _Child:
        process = self._idle.pop() if self._idle else self._start()
        reports = {step: tuple(values) for step, values in former.reports.items()}
        work = _Work(number=asked.number, point=asked.point, trials=former.trials, reports=reports, seconds=seconds)
        stdin = cast("IO[bytes]", process.stdin)
        # one that has ended is found out by reading its output
        with suppress(BrokenPipeError):
            stdin.write(codec.encode(work) + b"\n")
            stdin.flush()
        until = float("inf") if seconds is None else time.monotonic() + seconds + GRACE_S
        return _Child(process, asked, until, seconds)

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "flyball.training.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**outside(), **ONE_THREAD},
        )
        stdin = cast("IO[bytes]", process.stdin)
        with suppress(BrokenPipeError):
            stdin.write(self._first_line)
        return process

    def _take(self, child: _Child) -> Trial:
        line = child.output.readline()
        if not line.endswith(b"\n"):
            code = _end(child.process)
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return _without_a_word(child, FAILED, f"its process ended with {how} and left no reason; see the run's log")
        self._idle.append(child.process)
        done = codec.decode(line, _Done)
        if done.trial is None:
            raise BadInput(done.what, why=done.why, fix=done.fix, code=done.code)
        return done.trial


def _killed(child: _Child) -> Trial:
    child.process.kill()
    _end(child.process)
    return _without_a_word(child, STOPPED, f"it took longer than {child.seconds:.3g} s: the rest is for the fits that follow")


def _without_a_word(child: _Child, state: str, why: str) -> Trial:
    took = round(time.monotonic() - child.began, 4)
    return Trial(number=child.asked.number, parameters=dict(child.asked.point), state=state, seconds=took, why=why)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Close what connects us and wait for the process: it ends with its input."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            # what it was not sent, nobody waits for
            with suppress(BrokenPipeError):
                stream.close()
    return process.wait()


def main() -> int:
    """Entry point: make trials until the input ends."""
    # what a fit prints belongs into the run's log, not between the outcomes
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    trials = _trials(codec.decode(sys.stdin.buffer.readline(), _Search))
    for line in sys.stdin.buffer:
        work = codec.decode(line, _Work)
        try:
            made = trials.make(Asked(work.number, work.point), Former(work.trials, work.reports), work.seconds)
            done = _Done(trial=made)
        except FlyballError as error:
            done = _Done(what=error.what, why=error.why, fix=error.fix, code=error.code)
        out.write(codec.encode(done) + b"\n")
        out.flush()
    return 0


def _trials(search: _Search) -> Trials:
    import polars as pl

    from flyball.declare.code import load_model
    from flyball.store.blobs import LocalBlobs
    from flyball.training.artifact import unpack_code
    from flyball.training.fitting import FitCache, Fitter
    from flyball.training.rows import Assembled
    from flyball.training.splits import Split
    from flyball.training.trials import Trials

    place = search.place
    blobs, scratch = LocalBlobs(Path(place.blobs)), Path(place.scratch)
    model = load_model(unpack_code(place.code, blobs, scratch), place.file, place.model)
    rows = Assembled(pl.read_ipc(place.rows), search.features, search.label_delay, search.arranged)
    return Trials(Fitter(model, rows, search.seed, FitCache(4), search.as_of), Split(*search.cut), search.fixed)


if __name__ == "__main__":
    sys.exit(main())
