"""`flyball backtest`: the declared loop over history in virtual time, beside never retraining and fixed schedules."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import Json, Quiet
from flyball.cli.document import deaf
from flyball.cli.output import Bar, Output, number
from flyball.clock import Span
from flyball.compute.guardian import ONE_THREAD
from flyball.declare.project import find_project
from flyball.declare.units import near
from flyball.errors import BadInput, DeclarationError, NotFound, Problem, Unavailable
from flyball.loop.compiling import run_child
from flyball.records.declarations import Compiled

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from flyball.loop.backtest import Result

app = common.app()

_POLL_S = 0.2


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed: a model of a loop file on rows. It is told to other processes, which load both anew: the rows from `ready`."""

    root: Path
    file: str
    model: str
    data: Path | None
    approval: Span
    ready: Path | None = None


@app.command()
def backtest(
    loopfile: Annotated[Path, typer.Argument(metavar="LOOPFILE", help="the loop file; flyball need not have seen it before")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="the history: a file with the data set's columns; else its own source is read",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="which model, where the file has several")] = "",
    policy: Annotated[
        list[str] | None, typer.Option("--policy", metavar="NAME", help="only this policy; may be given again", show_default=False)
    ] = None,
    approval: Annotated[str, typer.Option("--approval", metavar="SPAN", help="how long a person takes to answer a proposal")] = "1d",
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, max=64, help="processes at a time")] = 2,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Rehearse the declared policy, never retraining, and schedules of 14 to 90 days on the same rows; show what each came to.

    Every policy starts from the same first version. The loop, its monitors, gates and rollouts are those that run live.
    """
    out = Output(as_json=as_json, quiet=quiet)
    what = _rehearsal(loopfile, model, data, approval)
    for name, value in {**ONE_THREAD, "POLARS_MAX_THREADS": "1"}.items():
        os.environ.setdefault(name, value)
    # a loop file's own prints must not mix with the result
    with contextlib.redirect_stdout(sys.stderr):
        from flyball.loop.backtest import baselines
        from flyball.loop.history import keep_rows, load_history

        declared, history = load_history(what.root, what.file, what.model, what.data)
        names = _chosen(declared, policy or [])
        simple = baselines(declared, history)
        bar = Bar(out, "rehearse")
        rows = len(history.rows.times)
        with tempfile.TemporaryDirectory(prefix="flyball-rows-") as folder:
            keep_rows(history, Path(folder))
            what = replace(what, ready=Path(folder))
            found = _rehearse(what, names, jobs, lambda share: bar.show(share, f"{rows:,} rows, {len(names)} policies"))
        bar.end()
    metric = "accuracy" if declared.task in ("binary", "multiclass") else "mae"
    _show(out, metric, simple, found)
    out.document(
        {
            "model": what.model,
            "rows": rows,
            "data": None if data is None else str(data),
            "metric": metric,
            "baselines": simple,
            "policies": {one.name: _told(metric, one) for one in found},
        }
    )
    return 0


def _rehearsal(loopfile: Path, model: str, data: Path | None, approval: str) -> Rehearsal:
    """Check what was asked for, before anything long begins. Raises NotFound, BadInput, DeclarationError."""
    for path in (loopfile, data):
        if path is not None and not path.is_file():
            raise NotFound(f"{path} does not exist" if not path.exists() else f"{path} is no file", fix="name a file")
    waits = common.span("--approval", approval, example="1d")
    path = loopfile.resolve()
    root = _root(path)
    file = path.relative_to(root).as_posix()
    # a child imports it first: whatever is wrong with the file is told as `check` tells it
    compiled = run_child(root, file)
    if compiled["problems"]:
        raise DeclarationError(f"{file} cannot be used", problems=tuple(Problem(**item) for item in compiled["problems"]))
    names = [Compiled(**entry).model for entry in compiled["models"]]
    if model and model not in names:
        raise NotFound(f'{file} declares no model "{model}"', fix=near(model, names))
    if not model and len(names) != 1:
        what = f"{file} declares {len(names)} models" if names else f"{file} declares no model"
        raise BadInput(what, why="one model is rehearsed at a time", fix=f"--model {names[0]}" if names else "declare an fb.Model")
    return Rehearsal(root, file, model or names[0], None if data is None else data.resolve(), waits)


def _root(path: Path) -> Path:
    """The project's folder; for a loop file outside any project, the folder it would be in."""
    with contextlib.suppress(NotFound):
        return find_project(path.parent)
    return path.parent.parent if path.parent.name == "loops" else path.parent


def _chosen(model: Any, wanted: Sequence[str]) -> list[str]:
    from flyball.loop.backtest import policies

    known = [policy.name for policy in policies(model)]
    for name in wanted:
        if name not in known:
            raise NotFound(f'no policy "{name}"', fix=near(name, known))
    return [name for name in known if name in wanted] if wanted else known


def _rehearse(what: Rehearsal, names: list[str], jobs: int, show: Callable[[float], None]) -> list[Result]:
    """Every policy's result, in the order of `names`. Processes have one thread each."""
    spawn = multiprocessing.get_context("spawn")
    shares: Queue[tuple[str, float]] = spawn.Queue()
    seen = dict.fromkeys(names, 0.0)
    with _pool(ProcessPoolExecutor(min(jobs, len(names)), mp_context=spawn, initializer=_prepare, initargs=(what, shares))) as pool:
        # the declared policy and close schedules take longest, so they go first
        # they never hear Ctrl-C: ending them is this process's business
        with deaf():
            waiting = {pool.submit(_one, name): name for name in sorted(names, key=_length, reverse=True)}
        found: dict[str, Result] = {}
        while len(found) < len(names):
            with contextlib.suppress(TimeoutError):
                for future in as_completed([each for each in waiting if waiting[each] not in found], timeout=_POLL_S):
                    found[waiting[future]] = _result(future.result)
                    seen[waiting[future]] = 1.0
            while not shares.empty():
                name, share = shares.get()
                seen[name] = max(seen[name], share)
            show(sum(seen.values()) / len(names))
    return [found[name] for name in names]


def _result(get: Callable[[], Result]) -> Result:
    try:
        return get()
    except BrokenProcessPool:
        raise Unavailable(
            "a process that rehearsed a policy ended", why="out of memory, most often", fix="--jobs 1, or a shorter history"
        ) from None


@contextlib.contextmanager
def _pool(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once when this one is interrupted: what they do is worth nothing then."""
    try:
        yield pool
    except BaseException:  # Ctrl-C too: whatever it is goes on upwards
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _length(name: str) -> tuple[bool, float]:
    return name == "declared", -Span.parse(name.removeprefix("every_")).seconds if name.startswith("every_") else -math.inf


_STATE: dict[str, Any] = {}
"""What a rehearsing process has loaded; one process rehearses one thing."""


def _prepare(what: Rehearsal, shares: Queue[tuple[str, float]]) -> None:
    """Load everything in a process that was just started; its fits are remembered from one policy to the next."""
    from flyball.loop.backtest import policies
    from flyball.loop.history import load_history
    from flyball.training.fitting import FitCache

    sys.stdout = sys.stderr
    model, history = load_history(what.root, what.file, what.model, what.data, ready=what.ready)
    known = {policy.name: policy for policy in policies(model)}
    _STATE.update(policies=known, history=history, approval=what.approval, cache=FitCache(), shares=shares)


def _one(name: str) -> Result:
    from flyball.loop.backtest import rehearse

    def progress(share: float) -> None:
        _STATE["shares"].put((name, share))

    return rehearse(_STATE["policies"][name], _STATE["history"], cache=_STATE["cache"], approval=_STATE["approval"], progress=progress)


def _told(metric: str, one: Result) -> dict[str, Any]:
    value = None if math.isnan(one.quality) else round(one.quality, 6)
    counts = {name: each for name, each in asdict(one).items() if name not in ("name", "quality")}
    return {metric: value} | {name: round(each, 3) if isinstance(each, float) else each for name, each in counts.items()}


def _show(out: Output, metric: str, simple: dict[str, float], found: list[Result]) -> None:
    head = ("POLICY", metric.upper(), "ANSWERED", "RETRAINS", "RELEASED", "REJECTED", "ALERTS", "ROLLBACKS", "CPU")
    cells = [[name, _quality(value), "", "", "", "", "", "", ""] for name, value in simple.items()]
    cells += [
        [
            one.name,
            _quality(one.quality),
            *(f"{count:,}" for count in (one.answered, one.retrains, one.released, one.rejected, one.alerts, one.rollbacks)),
            f"{number(one.elapsed_s)} s",
        ]
        for one in found
    ]
    out.table(head, cells)


def _quality(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
