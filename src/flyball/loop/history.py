"""A loop file and a file of rows, made ready to rehearse on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from flyball.data.against import Against
from flyball.data.commit import commit
from flyball.data.source import in_order, mark, stream
from flyball.declare.code import load_model
from flyball.declare.model import Model
from flyball.errors import BadInput, Problem
from flyball.loop.backtest import History, check_length
from flyball.store.blobs import LocalBlobs
from flyball.training.rows import assemble

_ALWAYS = 2**52
"""Everything in the file is known by then; what a run may see of it is decided later, by its own moment."""


def load_history(root: Path, file: str, name: str, data: Path) -> tuple[Model, History]:
    """Import model `name` of the loop file `file` (relative to `root`), with real functions, and assemble the rows of `data` for it.

    `data` stands in for the source of the model's own data set. Raises BadInput for rows that do not hold the contract, or too few of
    them; NotFound for a model that is not there; and whatever the loop file raises.
    """
    model = load_model(root, file, name)
    if model.train is None:
        raise BadInput(f'model "{name}" cannot be rehearsed', why="it declares no train=", fix="declare train=fb.Train(fit)")
    others = sorted({view.data.name for view in model.features} - {model.data.name})
    if others:
        raise BadInput(
            f'model "{name}" cannot be rehearsed on one file',
            why=f"its features also read {', '.join(others)}",
            fix="leave those views out",
        )
    dataset = replace(model.data, source=str(data.resolve()))
    batches = list(stream(dataset, root))
    checker = Against().checker(dataset, root, None, None, lambda: batches)
    for batch in batches:
        checker.add(batch)
    broken = [found.text for found in checker.findings() if found.severity == "block"]
    if broken:
        raise BadInput(
            f'{data} does not hold the contract of data set "{dataset.name}"', problems=tuple(Problem("", item) for item in broken[:20])
        )
    frame = in_order(dataset, batches)
    with TemporaryDirectory(prefix="flyball-history-") as folder:
        version = commit(model.data, frame, LocalBlobs(Path(folder)), None, mark(dataset, root))
    frames = {dataset.name: frame}
    history = History(frames, assemble(model, frames, as_of=_ALWAYS), version)
    check_length(history)
    return model, history
