"""References to what JSON cannot hold: a decoded declaration names a function or an expression, and never runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Function:
    """A function of a loop file by name, with the digest of its normalised source and of the project names it uses."""

    module: str
    name: str
    digest: str

    def __str__(self) -> str:
        """Write `module:name`."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Expression:
    """A Polars expression as the JSON it serialises to, and that text's digest."""

    text: str
    digest: str


@dataclass(frozen=True)
class Frame:
    """A frame that a data set was declared with. Only its digest is kept: rows are not part of a declaration."""

    digest: str


Code: TypeAlias = Callable[..., Any] | Function
"""A plain function, or its reference once decoded."""

Expr: TypeAlias = Any
"""A `polars.Expr`, or an `Expression` once decoded; declare never imports Polars, so the type is open."""


def is_expression(value: object) -> bool:
    """True of a Polars expression, recognised by what it can do, and of its reference."""
    return isinstance(value, Expression) or callable(getattr(getattr(value, "meta", None), "serialize", None))
