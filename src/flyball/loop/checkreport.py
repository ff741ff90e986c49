"""What `flyball check` found, as Markdown for a pull request: `--ci`. Pure.

Whatever users wrote stands in code spans and fences, so that no name or message becomes a heading, a link or a mention of somebody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from flyball.declare import codec
from flyball.errors import Problem
from flyball.loop.checking import CheckReport, ModelReport, counted, fields_text

MOST = 40
"""Items that one list shows: a comment has a size, and a reader an end."""


def to_markdown(checked: CheckReport) -> str:
    """The whole report. What stops the change comes first."""
    parts: list[str] = [f"## flyball check: {_sums(checked)}", ""]
    if checked.problems:
        parts += ["Problems stop this change: nothing of what they name can be applied.", "", *_told(checked.problems, "problem")]
    parts += _told(checked.doubts, "warning")
    for model in checked.models:
        parts += _model(model)
    parts += [f"- {code(name)} is applied, and no loop file declares it any more; it goes on as it was" for name in checked.gone]
    return "\n".join(parts).rstrip() + "\n"


def _sums(checked: CheckReport) -> str:
    sums = (len(checked.models), "models"), (len(checked.problems), "problems"), (len(checked.warnings), "warnings")
    return ", ".join(counted(number, name) for number, name in sums)


def _model(model: ModelReport) -> Iterator[str]:
    yield f"### {code(model.name)} in {code(f'{model.file}:{model.line}')}"
    yield ""
    yield f"**When applied:** {model.when_applied}."
    yield ""
    new = "new" in model.changed
    for kind, digest in (("version", model.version_digest), ("policy", model.policy_digest)):
        yield f"- {kind} {code(codec.short(digest))}: {'new' if new else 'changed' if kind in model.changed else 'as it was'}"
    yield from _list((f"- changed: {code(one)}" for one in model.differences), "more changes")
    for one in model.request_changes:
        yield f"- **a request changes:** {code(one)}"
    if model.request:
        yield f"- a request: {code(fields_text(model.request))}"
    yield from (f"- in force: {code(one)}" for one in model.implied)
    if model.window:
        yield f"- releases go forward in the change window {code(model.window)}"
    yield ""
    if model.power:
        yield "<details><summary>Power: what its checks can see</summary>"
        yield ""
        yield from _list((f"- {code(line.text)}" for line in model.power), "more lines")
        yield ""
        yield "</details>"
        yield ""
    yield from _told(model.warnings, "warning")


def _told(found: Sequence[Problem], kind: str) -> Iterator[str]:
    if not found:
        return
    shown = "\n\n".join(str(one) for one in found[:MOST])
    more = f"\n\nand {len(found) - MOST} more: flyball check lists them" if len(found) > MOST else ""
    yield f"**{counted(len(found), f'{kind}s')}**"
    yield ""
    yield from _fenced(shown + more)
    yield ""


def _list(lines: Iterator[str], more: str) -> Iterator[str]:
    listed = list(lines)
    yield from listed[:MOST]
    if len(listed) > MOST:
        yield f"- and {len(listed) - MOST} {more}"


def _fenced(text: str) -> Iterator[str]:
    fence = "`" * max(3, _longest(text) + 1)
    yield f"{fence}text"
    yield from text.splitlines()
    yield fence


def code(text: str) -> str:
    """Text as a code span, whatever is in it.

    >>> code("a `b` @c")
    '``a `b` @c``'
    """
    flat = " ".join(text.split())
    mark = "`" * (_longest(flat) + 1)
    # at the ends, a backtick of the text would count to the marks
    pad = " " if flat[:1] == "`" or flat[-1:] == "`" or not flat else ""
    return f"{mark}{pad}{flat}{pad}{mark}"


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
