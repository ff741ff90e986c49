"""Versions by what is known of them: `accuracy>0.7 state=eligible tag=region:eu`. Every term has to hold. Pure."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from flyball.declare.metrics import METRICS, metric_info
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.records.estimates import Estimate
from flyball.records.versions import VersionRow, VersionState

FORM = 'terms of NAME OP VALUE without blanks inside, such as "accuracy>0.7 state=eligible tag=region:eu"'
LONGEST = 500
_TERM = re.compile(r"([A-Za-z_][\w@.%-]*)(<=|>=|!=|=|<|>)(\S+)")
_AROUND = re.compile(r"\s*(<=|>=|!=|=|<|>)\s*")
_OPS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}
)
_MEANT: Mapping[str, VersionState] = MappingProxyType(
    {"released": VersionState.DEPLOYED, "live": VersionState.DEPLOYED, "passed": VersionState.ELIGIBLE, "failed": VersionState.REJECTED}
)
"""Words that people say for a state that is called otherwise: none of them is written nearly so."""

_WORDS = ("state", "tag", "run", "data", "features", "commit", "deprecated", "waived")


class Term(NamedTuple):
    """One condition."""

    name: str
    op: str
    value: str
    number: float = 0.0


Query = tuple[Term, ...]


def parse(text: str) -> Query:
    """The terms of a search; none for an empty text. Raises BadInput, which says what can be asked."""
    if len(text) > LONGEST:
        raise BadInput("the search is too long", why=f"{LONGEST} characters at most", fix="ask for less")
    words = text.split()
    # blanks around a sign are the likeliest slip: then all of the search is told as it is written
    closed = _AROUND.sub(r"\1", text).split()
    meant = " ".join(closed) if closed != words and all(_TERM.fullmatch(word) for word in closed) else ""
    return tuple(_term(word, meant) for word in words)


def _term(word: str, meant: str = "") -> Term:
    found = _TERM.fullmatch(word)
    if found is None:
        raise BadInput(
            f'"{word[:80]}" is no term of a search', why=f"a search is {FORM}", fix=f"write {meant}" if meant else "state=eligible"
        )
    name, op, value = found.groups()
    if name in _WORDS:
        return _of_word(name, op, value)
    if metric_info(name) is None:
        raise BadInput(
            f'"{name[:80]}" cannot be searched for',
            why="it is no metric, and none of what a version has",
            fix=near(name, [*_WORDS, *METRICS]),
        )
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadInput(f'"{word[:80]}" compares a metric with no number', why=f"a search is {FORM}", fix=f"{name}{op}0.7")
    return Term(name, op, value, number)


def _of_word(name: str, op: str, value: str) -> Term:
    if op not in ("=", "!="):
        raise BadInput(f'"{name}{op}{value[:40]}" compares what has no order', why="= and != are asked of it", fix=f"{name}={value[:40]}")
    if name == "state" and value not in set(VersionState):
        said = _MEANT.get(value.lower())
        fix = f'that is "{said}"; states: {", ".join(VersionState)}' if said is not None else near(value, list(VersionState))
        raise BadInput(f'"{value[:40]}" is no state of a version', why="it is never in it", fix=fix)
    if name in ("deprecated", "waived") and value not in ("yes", "no"):
        raise BadInput(f'"{name}={value[:40]}"', why="it is or it is not", fix=f"{name}=yes")
    return Term(name, op, value)


def matches(query: Query, row: VersionRow) -> bool:
    """Whether a version is what a search asks for. A metric that it does not know holds nothing."""
    return all(_holds(term, row) for term in query)


def _holds(term: Term, row: VersionRow) -> bool:
    if term.name not in _WORDS:
        found: Estimate | None = row.metrics.get(term.name)
        return found is not None and found.value is not None and _OPS[term.op](found.value, term.number)
    return _is(term, row) is (term.op == "=")


def _is(term: Term, row: VersionRow) -> bool:
    name, _, value = term.value.partition(":")
    match term.name:
        case "state":
            return row.state == term.value
        case "tag":
            return name in row.tags and value in ("", row.tags[name])
        case "run":
            return row.run == term.value or row.run.endswith(term.value)
        case "data":
            return name in row.data and row.data[name].startswith(value)
        case "features":
            return bool(row.features_digest) and row.features_digest.removeprefix("sha256:").startswith(term.value)
        case "commit":
            return bool(row.commit) and row.commit.startswith(term.value)
        case "deprecated":
            return bool(row.deprecated) is (term.value == "yes")
        case _:
            return any(verdict.outcome == "waived" for verdict in row.verdicts) is (term.value == "yes")
