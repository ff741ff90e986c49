"""Pieces of Markdown that model cards are made of. What somebody wrote begins no heading, no list and no column. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flyball.clock import Span
from flyball.declare.units import extreme
from flyball.records.estimates import Estimate

NOT_SAID = "not said"

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_BEGINS = re.compile(r"^[-#=+*_~`|>]")


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
    interval = "" if found.low is None or found.high is None else f" [{_figure(found.low)}, {_figure(found.high)}]"
    return f"{_figure(found.value)}{interval}, n={found.n:,}"


def _figure(value: float) -> str:
    """A figure of four digits; a larger one without an exponent, which people misread, unless nobody could count its digits."""
    return extreme(value) or (f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}")


def cell(text: str) -> str:
    """Text in a cell of a table."""
    return flat(text).replace("|", "\\|")


def flat(text: str) -> str:
    """Text in one line, which hides nothing of what follows."""
    return _untagged(" ".join(text.split()))


def paragraphs(text: str) -> str:
    r"""Text of several lines as what it is: no line of it begins a heading, a rule, a list, a table, a quote or code, which might not end with it.

    >>> paragraphs("fine\n## How it was judged\n```")
    'fine\n\\## How it was judged\n\\```'
    """
    return "\n".join(_BEGINS.sub(r"\\\g<0>", _untagged(line.strip())) for line in text.strip().splitlines())


def _untagged(text: str) -> str:
    """Without HTML: a comment or an element that is not closed hides what follows."""
    return _TAG.sub("&lt;", text)
