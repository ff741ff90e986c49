"""Pieces of Markdown that model cards are made of. What somebody wrote begins no heading, no list and no column. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flyball.clock import Span
from flyball.records.estimates import Estimate

NOT_SAID = "not said"


def rows(values: Mapping[str, str | Span]) -> Iterator[str]:
    """A list of names and values; what is missing is named, not left out."""
    for name, value in values.items():
        yield f"- {name}: {flat(str(value)) or NOT_SAID}"
    yield ""


def shown(found: Estimate | None) -> str:
    """An estimate in a cell of a table."""
    if found is None:
        return "–"
    if found.value is None:
        return cell(found.why or "not known")
    interval = "" if found.low is None or found.high is None else f" [{found.low:.4g}, {found.high:.4g}]"
    return f"{found.value:.4g}{interval}, n={found.n:,}"


def cell(text: str) -> str:
    """Text in a cell of a table."""
    return flat(text).replace("|", "\\|")


def flat(text: str) -> str:
    """Text in one line, which hides nothing of what follows."""
    return " ".join(text.split()).replace("<!--", "&lt;!--")
