"""`model.fit()` and `model.frame()` in a notebook: the recorded run of `flyball train`, from the process that holds the model.

The code of a model that is declared in cells is written to a loop file of the project first (`loops/notebook_NAME.py`): a run, and every worker
after it, works from source, never from what a process happens to hold.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball.cli import common, train
from flyball.cli.apply import declare
from flyball.cli.cells import loop_text
from flyball.cli.common import HERE, Acting
from flyball.cli.look import look
from flyball.cli.output import Output
from flyball.declare import codec
from flyball.errors import BadInput, DeclarationError
from flyball.loop import orders, training
from flyball.records.declarations import DECLARATIONS
from flyball.records.training import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from flyball.declare.model import Model
    from flyball.records.estimates import Estimate, Verdict
    from flyball.records.training import RunResult
    from flyball.wiring import Wired


@dataclass(frozen=True)
class FittedRun:
    """A run that has ended with a version: `id`, `version` (`price@1.4.0`), and its result."""

    id: str
    version: str
    result: RunResult

    @property
    def metrics(self) -> dict[str, Estimate]:
        """Each metric on the hold-out, with its interval."""
        return self.result.metrics

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """How the gates judged it."""
        return self.result.verdicts

    def register(self) -> str:
        """The version that the run is registered as. Every run that succeeds is; the loop releases none of a notebook's by itself."""
        return self.version

    def __repr__(self) -> str:
        """Show the run in a line, its first metric and its verdicts."""
        name, found = next(iter(self.result.metrics.items()))
        judged = ", ".join(f"{each.outcome.value}: {each.check}" for each in self.verdicts) or "no gates"
        return f"{self.id} → {self.version}  {name} {found.value:.4g}  {judged}"


def fit(model: Model, parameters: dict[str, int | float | str | bool], project: Path = HERE) -> FittedRun:
    """Make a run of the model with these hyperparameters and follow it to its end; the rest is searched as it declares.

    Raises FlyballError as `flyball train` does: what the declaration, the data or the run itself lack.
    """
    with _project(model, project) as wired:
        declared = common.declared(wired, model.name)
        orders.check_parameters(declared, parameters)
        look(wired, declared)
        out = Output(as_json=False, quiet=True)
        run = train.start(wired, out, declared, parameters, None, Acting(reason="model.fit() in a notebook"), release=False)
        row = train.follow(wired, out, declared, run)
        if row.state is not RunState.SUCCEEDED:
            raise train.failed(wired, row)
        return FittedRun(row.run, f"{model.name}@{row.version}", wired.ports.library.result(row.result))


def frame(model: Model, project: Path = HERE) -> pl.DataFrame:
    """The rows that a run of the model would learn from now: its time, features and label. Raises FlyballError as `fit` does."""
    from flyball.training.rows import assemble
    from flyball.training.stored import Stored

    with _project(model, project) as wired:
        ports = wired.ports
        declared = common.declared(wired, model.name)
        look(wired, declared)
        spec = training.run_spec(ports, ports.ledger.state(), declared, "manual", ports.clock.now(), trials=0)
        rows = assemble(model, Stored(spec.datasets, wired.blobs, wired.layout.root / "scratch"), as_of=spec.as_of)
        return rows.frame.select("__time", *rows.features, "__y").rename({"__time": model.data.time or "row", "__y": model.label_column})


@contextmanager
def _project(model: Model, project: Path) -> Iterator[Wired]:
    """The project, in which the model is declared as this process holds it."""
    with common.opened(project) as wired:
        name, cells = _name_in_cells(model, wired.root)
        written = _write(wired.root, model.name, loop_text(cells, name)) if name else None
        compilation = declare(wired)
        row = wired.ports.ledger.state().get(DECLARATIONS, model.name)
        broken = [file for file in compilation.broken if file.stops(model.name)]
        if broken:
            if written is not None:
                # what was tried in cells is nobody's loop file
                written.restore()
            raise DeclarationError(f"{broken[0].file} cannot be used", fix="flyball check", problems=broken[0].problems)
        if not name and row is not None and codec.digests(codec.encode(model)).version != row.version_digest:
            raise BadInput(
                f'"{model.name}" is not what {row.file} declares',
                why="the file was changed since it was imported, or the model was changed after it",
                fix="import it again; or bind the changed model to a name in a cell, with a name of its own: .replace(name, …)",
            )
        yield wired


def _name_in_cells(model: Model, root: Path) -> tuple[str, list[str]]:
    """What the model is called in the notebook, and the cells so far; an empty name where a project's file declares it."""
    for module in list(sys.modules.values()):
        home = getattr(module, "__file__", None)
        inside = home is not None and module.__name__ != "__main__" and Path(home).resolve().is_relative_to(root.resolve())
        if inside and any(value is model for value in vars(module).values()):
            return "", []
    main = sys.modules["__main__"]
    names = [name for name, value in vars(main).items() if value is model and not name.startswith("_")]
    if not names:
        return "", []
    return names[0], _cells(main)


def _cells(main: Any) -> list[str]:
    """What was run: IPython keeps each cell's text in `In`; a script is one cell. Raises BadInput for code without a text."""
    entered = getattr(main, "In", None)
    if isinstance(entered, list):
        return [str(cell) for cell in entered]
    home = getattr(main, "__file__", None)
    if home is None:
        raise BadInput(
            "the code of this process has no source",
            why="a version carries the source of its code, and what is typed at Python's own prompt is not kept",
            fix="write the model in a notebook's cells, or in a loop file",
        )
    return [Path(home).read_text(encoding="utf-8")]


@dataclass(frozen=True)
class _Written:
    """A file that was written, and what it held before; None: it was not there."""

    path: Path
    former: str | None

    def restore(self) -> None:
        """As it was."""
        if self.former is None:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_text(self.former, encoding="utf-8")


def _write(root: Path, model: str, text: str) -> _Written:
    """Write the loop file of a model that is declared in cells; one that says the same is left alone."""
    path = root / "loops" / f"notebook_{model.replace('-', '_')}.py"
    whole = f'"""{model}, as cells of a notebook declare it: written by model.fit(), and written again by the next."""\n\n{text}'
    former = path.read_text(encoding="utf-8") if path.exists() else None
    if former != whole:
        path.parent.mkdir(exist_ok=True)
        path.write_text(whole, encoding="utf-8")
    return _Written(path, former)
