"""Write the pages of docs/ that say what the code says: `python scripts/generate_docs.py`. tests/test_docs.py fails when they differ."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from flyball.declare.metrics import METRICS, MetricInfo
from flyball.declare.rules_checks import PLANNED_METRICS
from flyball.governance.authority import JOBS
from flyball.loop.authority import TABLE
from flyball.records.base import Event, Record
from flyball.records.identity import Role
from flyball.records.vocabulary import KINDS
from flyball.serving.gauges import METRICS as EXPORTED

DOCS = Path(__file__).parent.parent / "docs"

_EVENTS = """# Events

Every event of the ledger: what it means and what it holds. `scripts/generate_docs.py` writes this page from `src/flyball/records/`.

An event lies in the ledger as `{"actor", "at", "command", "event": {"kind", …}, "v"}` ([ledger.md](ledger.md)); `v` is the version of
its kind, 1 unless it is said below, and events of former versions are read as if they had been written today. Moments (`Instant`) are
microseconds since 1970 in UTC, lengths of time (`Span`) microseconds. A `BlobHash` is the SHA-256 of a blob in hex, empty where
there is none; the blob of a `ManifestHash` names further ones, and `flyball audit verify` looks at all of them. `Personal` text is about
a person: the event holds its salted hash, and the text lies where it can be erased.
"""

_METRICS = """# Metrics

What `fb.metric(…)` may name. `scripts/generate_docs.py` writes this page from `src/flyball/declare/metrics.py`.

*Quality* needs labels, *prediction* the answers alone, *traffic* comes from the gateway. Every figure has a 95% interval; a share that
is bounded (0 to 1) may be tested live in a rollout where [rollouts.md](rollouts.md) says so.
"""

_PLANNED = """
Known by name and computed by nothing yet, so that a check on them is insufficient and `flyball check` says so: """


_EXPORTED = """# What `/metrics` tells

Every metric of `GET /metrics` ([http.md](http.md#metrics)), for Prometheus. `scripts/generate_docs.py` writes this page from `src/flyball/serving/gauges.py`.

What is the *gateway's* is summed over all of them, and at most a second old. What is the *loop's* is written by the control plane every five seconds, at
most 200 lines a model, of alerts, incidents and columns those that stand worst; while the loop is dead they stay as they were, and
`flyball_loop_age_seconds`, which gateways measure, grows. Moments are seconds since 1970: `time() - …` is an age. A model that is not declared any more
is told no more.

[`dashboards/flyball.json`](../dashboards/flyball.json) is a Grafana dashboard of them: import it, and choose the Prometheus data source.
"""


def events_page() -> str:
    """docs/events.md."""
    by_stage: dict[str, list[type[Event]]] = {}
    for kind in KINDS.values():
        by_stage.setdefault(kind.__module__.rpartition(".")[2], []).append(kind)
    lines = [_EVENTS]
    for stage, kinds in by_stage.items():
        lines.append(f"## {stage}\n")
        for kind in kinds:
            version = f"Version {kind.version_of_kind}. " if kind.version_of_kind > 1 else ""
            lines += [f"### `{kind.__struct_config__.tag}`\n", f"{version}{_doc(kind)}\n", *_fields(kind)]
    lines.append("## Values\n\nWhat the fields above are made of.\n")
    for value in sorted(_values(KINDS.values()), key=lambda one: (one.__name__, one.__module__)):
        lines += [f"### {value.__name__}\n", f"{_doc(value)}\n"]
        if issubclass(value, Record):
            lines += _fields(value)
        else:
            lines += [_words(member.value for member in value), ""]
    for name, words in sorted(_aliases({*KINDS.values(), *_values(KINDS.values())}).items()):
        lines += [f"### {name}\n", _words(words), ""]
    return "\n".join(lines)


def metrics_page() -> str:
    """docs/metrics.md."""
    lines = [_METRICS, "| metric | meaning | tasks | better | from |", "|---|---|---|---|---|"]
    lines += [_metric(info) for info in METRICS.values()]
    lines.append("| `recall_at_X%` | share of all positive rows found among the X% highest scores | binary | higher | quality |")
    lines.append(
        "| `ndcg_at_K` | discounted gain of a list's first K items, as a share of the best order's; mean over lists | ranking | higher | quality |"
    )
    lines.append(
        "| `recall_at_K` | share of a list's relevant items (label > 0) that are among its first K; mean over lists | ranking | higher | quality |"
    )
    return "\n".join([*lines, _PLANNED + ", ".join(f"`{name}`" for name in sorted(PLANNED_METRICS)) + ".", ""])


def _metric(info: MetricInfo) -> str:
    better = {True: "higher", False: "lower", None: "–"}[info.higher_is_better]
    return f"| `{info.name}` | {info.meaning} | {', '.join(sorted(info.tasks))} | {better} | {info.source} |"


def _doc(kind: type) -> str:
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", inspect.cleandoc(kind.__doc__ or ""))


def _fields(kind: type[Record]) -> list[str]:
    hints = {name: text for one in reversed(kind.__mro__) for name, text in vars(one).get("__annotations__", {}).items()}
    rows = []
    for field in msgspec.structs.fields(kind):
        default = "" if field.default is msgspec.NODEFAULT else f", default `{_value(field.default)}`"
        rows.append(f"- `{field.name}`: `{hints[field.name]}`{default}")
    return [*rows, ""]


def _value(default: object) -> str:
    return str(int(default)) if isinstance(default, int) and not isinstance(default, bool) else repr(default)


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _aliases(kinds: Iterable[type]) -> dict[str, tuple[str, ...]]:
    """Names that stand for one of several words, such as `Role`, as the annotations use them."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in kinds:
        for text in vars(kind).get("__annotations__", {}).values():
            for name in re.findall(r"[A-Z]\w+", text):
                alias = getattr(sys.modules[kind.__module__], name, None)
                if typing.get_origin(alias) is typing.Literal:
                    found[name] = typing.get_args(alias)
    return found


def _values(kinds: Iterable[type[Record]]) -> set[type[Record] | type[StrEnum]]:
    """Records and enums that these are made of, all the way down."""
    found: set[type[Record] | type[StrEnum]] = set()
    todo = [part for kind in kinds for hint in typing.get_type_hints(kind).values() for part in _parts(hint)]
    while todo:
        value = todo.pop()
        if value not in found:
            found.add(value)
            if issubclass(value, Record):
                todo += [part for hint in typing.get_type_hints(value).values() for part in _parts(hint)]
    return found


def _parts(hint: object) -> Iterator[type[Record] | type[StrEnum]]:
    if isinstance(hint, type) and issubclass(hint, Record | StrEnum):
        yield hint
    for argument in typing.get_args(hint):
        yield from _parts(argument)


def access_page() -> str:
    """docs/access.md: its words as they are, its tables from the code."""
    jobs = ["| job | roles |", "|---|---|", *(f"| `{job}` | {', '.join(roles)} |" for job, roles in JOBS.items())]
    names = [*(role.value for role in Role), "flyball itself"]
    commands = [f"| command | what it does | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for name, rule in TABLE.items():
        module, _, kind = name.rpartition(".")
        told = inspect.cleandoc(getattr(importlib.import_module(f"flyball.{module}"), kind).__doc__ or "").splitlines()[0]
        does = re.split(r"(?<=\.) ", told)[0]
        marks = ["yes" if given else "" for given in (*(role in rule.roles for role in Role), rule.loop)]
        commands.append(f"| `{kind}` | {does} | {' | '.join(marks)} |")
    text = (DOCS / "access.md").read_text()
    for mark, lines in {"jobs": jobs, "commands": commands}.items():
        text = re.sub(
            rf"<!-- {mark} -->\n.*?<!-- end -->",
            lambda _, m=mark, made=lines: "\n".join([f"<!-- {m} -->", *made, "<!-- end -->"]),
            text,
            flags=re.DOTALL,
        )
    return text


def exported_page() -> str:
    """docs/metrics-out.md."""
    lines = [_EXPORTED, "| metric | type | labels | says | from |", "|---|---|---|---|---|"]
    for name, told in EXPORTED.items():
        labels = " ".join(f"`{label}`" for label in told.labels) or "–"
        lines.append(f"| `{name}` | {told.kind} | {labels} | {told.says} | {told.of} |")
    return "\n".join([*lines, ""])


PAGES = {"metrics-out.md": exported_page, "events.md": events_page, "metrics.md": metrics_page, "access.md": access_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
