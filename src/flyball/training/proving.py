"""Proof, before anything is fitted, that transforms and views make of a row what they make of it alone.

`flyball check` proves the same, but nobody has to call it: a version whose features depend on the rows beside them is judged on others than
those it will be served.
"""

from __future__ import annotations

from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.features.rowwise import prove
from flyball.features.viewproof import prove_view
from flyball.training.stored import Stored


def check_row_by_row(model: Model, frames: Stored) -> None:
    """Raise BadInput (code "not-row-by-row") for a transform, or an expression of a view, that gives other values among some of the run's own rows than alone."""
    found = [problem for view in model.features for problem in prove_view(view, frames.some(view.data.name))]
    # a transform on values that are no values proves nothing
    found += [] if found or not model.transforms else prove(model, frames.some(model.data.name))
    if found:
        first, *more = found
        raise BadInput(
            f"{first.where}: {first.what}",
            why=first.why or "a caller sends one row, and a version must be served what it was fitted on",
            fix=first.fix or "compute it from the row's own columns",
            code="not-row-by-row",
            problems=tuple(more),
        )
