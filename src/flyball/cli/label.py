"""`flyball label`: send what really happened."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output
from flyball.cli.predict import gateway, named, read_text
from flyball.errors import BadInput, NotFound, Problem, Refused, Unauthenticated, Unavailable
from flyball.serving.explain import once, zoned

app = common.app()
_MOST = 1_000
"""Labels of one request."""
_SHOWN = 20
"""Labels that are named one by one; of more there is nothing new to learn."""


@app.command()
def label(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="whose predictions they are about")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON, JSON lines or CSV with id and value; - is stdin")],
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Send labels to the gateway. Each names a prediction by its id.

    The exit code is 1 when any was refused, 3 when the gateway cannot take them now.
    """
    out = Output(as_json=as_json, quiet=quiet)
    name = common.model_name(model)
    labels_text = read_text(file)
    labels = _readable(labels_text, file, name, project, env)
    total: dict[str, Any] = {"accepted": 0, "duplicates": 0, "corrected": 0, "refused": []}
    with gateway(project, env) as client:
        if _is_csv(labels_text, file):
            labels = read_labels(labels_text, file, client.schema(name)["classes"])
        _all_finite(labels, file)
        for start in range(0, len(labels), _MOST):
            try:
                answer = client.label(name, labels[start : start + _MOST])
            except Unavailable as error:
                raise _cut_short(error, start, len(labels)) from None
            for count in ("accepted", "duplicates", "corrected"):
                total[count] += answer[count]
            total["refused"] += [one | {"index": one["index"] + start} for one in answer["refused"]]
    refused = total["refused"]
    for one in refused[:_SHOWN]:
        out.line(f"refused  label {one['index'] + 1}  {one['code']}: {one['detail']}" + (f"   → {one['fix']}" if one["fix"] else ""))
    if len(refused) > _SHOWN:
        out.line(f"refused  and {len(refused) - _SHOWN:,} more")
    out.line(", ".join([*(f"{count} {total[count]:,}" for count in ("accepted", "duplicates", "corrected")), f"refused {len(refused):,}"]))
    out.document(total)
    return 1 if refused else 0


def _readable(text: str, file: str, model: str, project: Path, env: str) -> list[dict[str, Any]]:
    """The labels of a file. Raises BadInput naming all that is wrong with it: where a gateway is up, values that are no class, too."""
    try:
        return read_labels(text, file)
    except BadInput:
        with suppress(NotFound, Refused, Unauthenticated, Unavailable), gateway(project, env) as client:
            read_labels(text, file, client.schema(model)["classes"])
        raise


def _cut_short(error: Unavailable, sent: int, count: int) -> Unavailable:
    """The error of a later request, with what became of the labels before it."""
    if not sent:
        return error
    return Unavailable(
        f"the last {count - sent:,} of {count:,} labels were not sent: {error.what}",
        why=error.why,
        fix=f"{error.fix}; those sent before count as duplicates then",
        code=error.code,
        retry_after=error.retry_after,
    )


def read_labels(text: str, name: str, classes: Sequence[int | str | bool] = ()) -> list[dict[str, Any]]:
    """The labels of a file in any of the three forms; in CSV a value that is one of `classes` stays what that is.

    Raises BadInput naming each bad line (the first 20). That a value is none of `classes` is told beside what else is wrong: alone it is the
    gateway's to refuse, which takes the others.
    """
    body = text.strip()
    csv_form = _is_csv(text, name)
    found = _csv(body, classes) if csv_form else _json(body, name)
    fix = "columns id and value, one label a line" if csv_form else '{"id": "…", "value": 1}'
    if not found:
        raise BadInput(f"{named(name)} holds no labels", fix="columns id and value, one label a line")
    if any(map(_wrong, found)):
        told = ((place, _wrong(one, classes)) for place, one in enumerate(found, 1))
        problems = [Problem(f"label {place}", wrong) for place, wrong in told if wrong]
        more = [Problem("", f"and {len(problems) - _SHOWN:,} more labels")] if len(problems) > _SHOWN else []
        what = f"{named(name)}: {len(problems)} of {len(found)} labels cannot be used"
        why = "a label needs an id and a value; its time, if it has one, is RFC 3339"
        raise BadInput(what, why=why, fix=f"{fix}; nothing was sent", problems=(*problems[:_SHOWN], *more))
    return found


def _all_finite(labels: Sequence[Mapping[str, Any]], name: str) -> None:
    """Raise BadInput naming each label that is NaN or infinite (the first 20). A class that is called so is text."""
    from flyball.serving.client import FINITE, UNKNOWN, unsendable

    problems = unsendable(labels)
    if problems:
        more = [Problem("", f"and {len(problems) - _SHOWN:,} more")] if len(problems) > _SHOWN else []
        what = f"{named(name)}: {len(problems):,} of {len(labels):,} labels cannot be used"
        raise BadInput(what, why=FINITE, fix=UNKNOWN, problems=(*problems[:_SHOWN], *more))


def _is_csv(text: str, name: str) -> bool:
    form = Path(name).suffix.lower()
    return form == ".csv" or (not form and text.strip()[:1] not in ("{", "["))


def _wrong(label: object, classes: Sequence[int | str | bool] = ()) -> str:
    """What is wrong with a label, all of it; empty if nothing is."""
    if not isinstance(label, dict):
        return "it is no object"
    value, lacks = label.get("value"), [] if label.get("id") else ["id"]
    lacks += ["value"] if value is None else []
    wrong = [f"it has no {' and no '.join(lacks)}"] if lacks else []
    if value is not None and classes and not any(one == value and isinstance(one, str) == isinstance(value, str) for one in classes):
        wrong.append(f"its value {named(str(value))} is no class")
    if (untimely := _untimely(label.get("time"))) is not None:
        wrong.append(untimely)
    return ", ".join(wrong)


def _untimely(given: object) -> str | None:
    """What is wrong with a label's time; that it is none at all is right: it is the time at which it comes."""
    if given is None:
        return None
    try:
        zoned(str(given))
    except BadInput as error:
        return f"its time {error.what}"
    except (ValueError, OverflowError):
        return f"its time {named(str(given))} is none"
    return None


def _json(body: str, name: str) -> list[Any]:
    try:
        value = json.loads(body, object_pairs_hook=once)
    except ValueError:
        return _lines(body, name)
    if isinstance(value, dict):
        return list(value["labels"]) if isinstance(value.get("labels"), list) else [value]
    return value if isinstance(value, list) else []


def _lines(body: str, name: str) -> list[Any]:
    found = []
    for number, line in enumerate(body.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line, object_pairs_hook=once))
            except ValueError as error:
                raise BadInput(
                    f"line {number} of {named(name)} is not JSON", why=str(error), fix='one label a line: {"id": "…", "value": 1}'
                ) from None
    return found


def _csv(body: str, classes: Sequence[int | str | bool]) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(body))
    if rows.fieldnames:
        _check_header(rows.fieldnames)
    texts = frozenset(one for one in classes if isinstance(one, str))
    all_text = bool(classes) and len(texts) == len(classes)
    return [
        {name: cell if all_text or cell in texts else _value(name, cell) for name, cell in row.items() if cell not in ("", None)}
        for number, row in enumerate(rows, 2)
        if _whole(row, number)
    ]


def _check_header(names: Sequence[str]) -> None:
    """Raise BadInput where the columns of a CSV file do not say which cell is an id, and which a value."""
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise BadInput(f'the header names "{named(twice)}" twice', why="either cell may be meant", fix="name each column once")
    for wanted in ("id", "value"):
        if wanted not in names:
            raise BadInput(
                f'the header has no column "{wanted}"',
                why=f"it has {', '.join(named(name) for name in names[:8])}",
                fix="columns id and value, with commas between them; nothing was sent",
            )


def _whole(row: Mapping[str | None, Any], number: int) -> bool:
    """True. Raises BadInput for a line with more cells than the header has."""
    if None in row:
        raise BadInput(
            f"line {number} has more cells than the header", why="nobody can say which is which", fix="quote a cell that holds a comma"
        )
    return True


def _value(name: str, cell: Any) -> Any:
    """A cell as JSON would have it; ids and times stay text."""
    if name != "value":
        return cell
    if cell in ("true", "false"):
        return cell == "true"
    for kind in (int, float):
        try:
            # Python takes 1_000 as well, and nobody else does
            return kind(cell if "_" not in cell else "")
        except ValueError:
            continue
    return cell
