"""The loop's ports over the real world: jobs on this machine, sources on disk, routes as files."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.clock import Instant, Span
from flyball.compute.local import LocalCompute
from flyball.data.erasures import Erasures
from flyball.data.rules import is_apart, is_pushed, is_timed
from flyball.data.sources.access import Killed
from flyball.declare import codec as declarations
from flyball.declare.data import Dataset
from flyball.declare.elsewhere import PREDICTION
from flyball.declare.model import Model
from flyball.errors import FlyballError
from flyball.ledger.ledger import SqlLedger
from flyball.loop.ports import CommandT, Decide
from flyball.loop.pushing import compact
from flyball.loop.reading import Code, Reader, applied
from flyball.records import codec
from flyball.records.base import Event, Receipt
from flyball.records.data import DatasetRow
from flyball.records.declarations import DeclarationRow
from flyball.records.evidence import Batch, Cursor, Evidence, Watch
from flyball.records.serving import SegmentRow
from flyball.records.training import RunSpec
from flyball.serving.layout import Layout, write_json
from flyball.store.blobs import Blobs, LocalBlobs
from flyball.training import job
from flyball.training.job import Observed

if TYPE_CHECKING:
    from flyball.data.against import Against

REST = 10
"""One part in so many of the time is spent on looks at what is pushed."""

TRIES = 3
"""How often in a row the process that reads a source may be killed before its data set is said to be refused."""


class FencedLedger(SqlLedger):
    """A ledger whose commands count only while no other control plane has taken over."""

    fence: int

    def execute(self, command: CommandT, decide: Decide[CommandT], *, fence: int | None = None) -> Receipt:
        """Carry out a command under this process's fence."""
        return super().execute(command, decide, fence=self.fence if fence is None else fence)


class LiveRuns:
    """Runs as jobs. `folder` is the project's `.flyball`."""

    def __init__(
        self, compute: LocalCompute, blobs: LocalBlobs, folder: Path, present: Callable[[str, str], str], *, costs: job.Costs | None = None
    ) -> None:
        """present: where the content of a data set (its name, the hash) lies now, of which some rows were erased."""
        self._compute, self._blobs, self._folder, self._present = compute, blobs, folder, present
        self._costs = costs
        self._told: Sequence[tuple[str, int]] = ()

    def submit(self, run: str, attempt: int, spec: str, model: Model) -> None:
        """Start an attempt."""
        train = model.train
        spec_of_job = job.job_spec(
            run,
            spec,
            blobs=self._blobs.root,
            home=self._folder,
            attempt=attempt,
            timeout=train.timeout if train else None,
            memory=train.memory if train else None,
            present=self._moved(spec),
            costs=self._costs,
        )
        self._compute.submit(spec_of_job)

    def _moved(self, spec: str) -> dict[str, str]:
        """Of the data sets that a run reads, those whose contents lie elsewhere by now, and where."""
        named = codec.decode(self._blobs.get(spec), RunSpec).datasets
        return {name: now for name, content in named.items() if (now := self._present(name, content)) != content}

    def observe(self, run: str, attempt: int) -> Observed:
        """What became of it."""
        seen = job.observe(self._compute, run, self._blobs)
        return seen if seen.attempt >= attempt else Observed(state="absent")

    def keep(self, runs: Sequence[tuple[str, int]]) -> None:
        """Renew leases, and tell the supervisor what is under way."""
        self._compute.keep([run for run, _ in runs])
        if runs != self._told:
            # a version's worker is warmed while the version is still being trained; without the file it only starts later
            with suppress(OSError):
                write_json(Layout(self._folder).runs, [run for run, _ in runs])
                self._told = list(runs)

    def cancel(self, run: str, attempt: int) -> None:  # noqa: ARG002 - a job's newest attempt is the one that runs
        """Ask for its end."""
        self._compute.cancel(run)

    def held(self) -> Sequence[str]:
        """The runs that have a job's folder."""
        return self._compute.keys()

    def forget(self, run: str) -> None:
        """Remove a run's folder."""
        self._compute.forget(run)


class LiveCounts:
    """Counts of the project's prediction log. What counts is loaded at the first look: most commands never look."""

    def __init__(self, folder: Path, blobs: Blobs, sealed: Callable[[], Sequence[SegmentRow]]) -> None:
        self._folder, self._blobs, self._sealed = folder, blobs, sealed
        self._evidence: Evidence | None = None

    def since(self, cursor: Cursor, until: Instant, watches: dict[str, Watch]) -> tuple[Batch, Cursor]:
        """Counts of everything that became visible in (cursor, until]."""
        if self._evidence is None:
            from flyball.serving.evidence import LiveEvidence

            self._evidence = LiveEvidence(self._folder, blobs=self._blobs, sealed=self._sealed)
        return self._evidence.since(cursor, until, watches)


class LiveData:
    """Sources are read beside the loop: a large file never delays a tick.

    Where nothing short of reading tells that a source has changed, it is read again after half its `freshness`, else after `every`. What is pushed
    may change at every moment, and each look goes through all that the version holds: no more than one part in `REST` of the time is spent on it.
    """

    def __init__(
        self,
        reader: Reader,
        blobs: Blobs,
        now: Callable[[], Instant],
        every: Span,
        *,
        erasures: Callable[[str], Erasures],
        against: Callable[[], Against],
    ) -> None:
        """erasures: of a data set by name, what may not be held any more; asked only where a source has changed, for it reads them all.

        against: what a source's rows are compared with.
        """
        self._reader, self._blobs, self._erasures = reader, blobs, erasures
        self._against, self._now, self._every = against, now, every
        self._reading: dict[str, threading.Thread] = {}
        self._found: dict[str, Event | None] = {}
        self._failed: dict[str, BaseException] = {}
        self._next: dict[str, tuple[str, Instant]] = {}
        self._rest: dict[str, Instant] = {}
        self._killed: dict[str, int] = {}
        self._compacted: dict[str, str] = {}
        self._traced = ""

    def refresh(self, dataset: Dataset, row: DatasetRow | None, declared: DeclarationRow) -> Event | None:
        """What a look at the source found, once it is over; starts the next look when it is due. Raises what the look raised."""
        name = dataset.name
        self._compact(dataset, row)
        running = self._reading.get(name)
        if running is not None and running.is_alive():
            return None
        if name in self._failed:
            raise self._failed.pop(name)
        found = self._found.pop(name, None)
        if found is not None:
            return found
        if self._due(dataset):
            arguments = (dataset, row, applied(declared, self._blobs), declared.body)
            self._reading[name] = threading.Thread(target=self._look, args=arguments, name=f"read-{name}", daemon=True)
            self._reading[name].start()
        return None

    def _due(self, dataset: Dataset) -> bool:
        """Whether it is time for the next look: at a file always, for that costs next to nothing; at what must be read, after a while."""
        if not is_timed(dataset):
            return self._now() >= self._rest.get(dataset.name, 0)
        seen, at = self._next.get(dataset.name, ("", 0))
        mark = self._mark(dataset)
        if seen == mark and self._now() < at:
            return False
        self._next[dataset.name] = (mark, self._now() + (dataset.freshness // 2 if dataset.freshness else self._every))
        return True

    def _mark(self, dataset: Dataset) -> str:
        # what reads takes data frames along, and most commands look at no source
        from flyball.data.source import mark

        return mark(dataset, self._reader.root)

    def _look(self, dataset: Dataset, row: DatasetRow | None, code: Code, body: str) -> None:
        from flyball.data.refresh import refresh

        name, begun = dataset.name, self._now()
        try:
            apart = PREDICTION in dataset.columns and is_apart(declarations.decode(self._blobs.get(body).decode()), dataset)
            at = replace(self._reader.access(code), apart=apart)
            self._found[name] = refresh(dataset, at, self._blobs, row, lambda: self._erasures(name), self._against())
            self._killed.pop(name, None)
        except Killed as error:
            self._put_off(dataset, error)
        except FlyballError as error:
            self._failed[name] = error
        except OSError as error:
            # what is read lies on the disk on its way
            self._failed[name] = FlyballError(
                f'data set "{name}" was not read: {error.strerror or error}',
                why=f"{error.filename}" if error.filename else "",
                fix="see to the disk and its rights; the last good version stays in use, and it is tried again",
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours while one source is read must not end the loop of all models
            self._trace(traceback.format_exc())
            # what it says may hold a value of a row
            self._failed[name] = FlyballError(
                f'data set "{name}" was not read: {type(error).__name__}',
                why="a fault of flyball's own, not of the data; the last good version stays in use",
                fix="the control plane's log has the trace; please report it",
            )
        if is_pushed(dataset):
            longest = dataset.freshness // 2 if dataset.freshness else self._every
            self._rest[name] = self._now() + min((REST - 1) * (self._now() - begun), longest)

    def _put_off(self, dataset: Dataset, error: Killed) -> None:
        """What is to be tried again is, a few times soon; then it is refused, so that everybody sees it, and tried again as seldom as ever."""
        name = dataset.name
        self._killed[name] = tries = self._killed.get(name, 0) + 1
        if tries >= TRIES:
            # what reads takes data frames along, and most commands look at no source
            from flyball.data.refresh import not_read

            self._found[name] = not_read(dataset, self._reader.root, error)
        else:
            self._next[name] = (self._next.get(name, ("", 0))[0], self._now() + int(error.retry_after * 1_000_000))

    def _trace(self, text: str) -> None:
        """Leave a trace in the log, once as long as it stays the same."""
        if text != self._traced:
            self._traced = text
            print(text, file=sys.stderr, flush=True)

    def _compact(self, dataset: Dataset, row: DatasetRow | None) -> None:
        """Remove pushed rows that the newest version holds, once for each version."""
        mark = row.head.source_mark if row is not None and row.head is not None else ""
        if is_pushed(dataset) and self._compacted.get(dataset.name) != mark:
            compact(self._reader.pushed, dataset, row)
            self._compacted[dataset.name] = mark
