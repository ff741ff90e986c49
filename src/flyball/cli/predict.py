"""`flyball predict`: ask the gateway."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output, number
from flyball.errors import BadInput, Unavailable
from flyball.serving.explain import once

if TYPE_CHECKING:
    from flyball.serving.client import GatewayClient

app = common.app()
_MOST = 500
"""Rows of one request."""

_MOST_EXPLAINED = 100
"""Rows of one request for explanations."""


@app.command()
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL[@V]", help="whom to ask; without a version, as any caller would")],
    row: Annotated[
        str, typer.Argument(metavar="[ROW.json|-]", help="one row, a list of rows, or of a ranking row and items, as JSON; - is stdin")
    ] = "-",
    *,
    key: Annotated[str, typer.Option("--key", metavar="TEXT", help="the caller's key: a rollout keeps it with one version")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="say what each feature has to do with the answer; nothing is logged")] = False,
    moment: Annotated[str, typer.Option("--time", metavar="T", help="the time that the row is about, as RFC 3339")] = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Send rows to the gateway and show its answers. They are logged, as everybody's are; explanations are not."""
    out = Output(as_json=as_json, quiet=quiet)
    ref = common.reference(model)
    if moment:
        common.moment("--time", moment)
    rows = _rows(read_text(row), row)
    if not isinstance(rows, dict) and (key or moment):
        raise BadInput("--key and --time are for one row", why=f"{row} holds a list of rows", fix="send the rows one by one")
    listed = isinstance(rows, dict) and isinstance(rows.get("items"), list)
    if listed and explain:
        why = "the items of one list are explained together"
        raise BadInput("--explain is for rows", why=why, fix=f"POST /models/{ref}/explain with row and items")
    with gateway(project, env) as client:
        if explain:
            found = _explained(client, str(ref), [rows] if isinstance(rows, dict) else rows, key or None, moment or None)
            _tell(out, found)
            out.document(found)
            return 0
        if isinstance(rows, dict) and listed:
            answer = _ranked(client, str(ref), rows, key or None, moment or None)
        elif isinstance(rows, dict):
            answer = client.predict(str(ref), rows, key=key or None, time=moment or None)
        else:
            answer = _many(client, str(ref), rows)
    version = f"{answer['model']}@{answer['version']}"
    fallback = f"   fallback: {answer['fallback']}" if answer.get("fallback") else ""
    for one in answer["predictions"]:
        if "items" in one:
            out.line(f"{version}   id {one['id']}{fallback}")
            out.table(
                ("PLACE", "ITEM", "SCORE"),
                [(str(place), str(each["item"]), number(each["score"])) for place, each in enumerate(one["items"], 1)],
            )
            continue
        score = f"score {number(one['score'])}   " if isinstance(one.get("score"), int | float) else ""
        out.line(f"{_value(one['value'])}   {score}{version}   id {one['id']}{fallback}")
    out.document(answer)
    return 0


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _ranked(client: GatewayClient, ref: str, listed: dict[str, Any], key: str | None, moment: str | None) -> dict[str, Any]:
    """The answer to a list. Raises BadInput for more than it is made of, which the gateway would have no place for."""
    strange = sorted(set(listed) - {"row", "items"})
    if strange:
        raise BadInput(f'a list has no "{strange[0]}"', why="it has row and items", fix='write {"row": {…}, "items": [{"item": …}, …]}')
    return client.rank(ref, listed.get("row", {}), listed["items"], key=key, time=moment)


def _many(client: GatewayClient, ref: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    answers = [client.predict_rows(ref, rows[start : start + _MOST]) for start in range(0, len(rows), _MOST)]
    return answers[0] | {"predictions": [one for answer in answers for one in answer["predictions"]]}


def _explained(client: GatewayClient, ref: str, rows: list[dict[str, Any]], key: str | None, moment: str | None) -> dict[str, Any]:
    parts = [
        client.explain(ref, rows[start : start + _MOST_EXPLAINED], key=key, time=moment) for start in range(0, len(rows), _MOST_EXPLAINED)
    ]
    return parts[0] | {"explanations": [one for part in parts for one in part["explanations"]]}


def _tell(out: Output, found: dict[str, Any]) -> None:
    """Each row with what its features have to do with its answer, the largest first."""
    for one in found["explanations"]:
        score = f"score {number(one['score'])}   " if "score" in one else ""
        version = one.get("version", found["version"])
        added = f"{number(one['base'])} + contributions = {number(one['output'])} ({one['space']}, by {one['method']})"
        out.line(f"{_value(one['value'])}   {score}{found['model']}@{version}   {added}")
        rows = [(each["feature"], _value(each["value"]), f"{each['contribution']:+.4g}") for each in one["contributions"]]
        out.table(("FEATURE", "VALUE", "CONTRIBUTION"), rows)


def _rows(text: str, name: str) -> dict[str, Any] | list[dict[str, Any]]:
    try:
        value = json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        raise BadInput(f"{named(name)} is not JSON", why=str(error), fix='write one row: {"field": value, …}') from None
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return value
    raise BadInput(f"{named(name)} holds no row", why="a row is a JSON object; several are a list of them", fix='write {"field": value, …}')


def named(name: str) -> str:
    """A file as messages call it."""
    return "stdin" if name == "-" else name


def read_text(name: str) -> str:
    """The text of a file, or of stdin for "-". Raises BadInput."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(
            f"{name} cannot be read", why=error.strerror or str(error), fix="name a file that you may read, or - for stdin"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{named(name)} is not UTF-8 text", why=str(error), fix="write it as UTF-8") from None


def gateway(project: Path, env: str) -> GatewayClient:
    """A client of the project's gateways. Raises NotFound outside a project, Unavailable where it is not up."""
    from flyball.declare.project import find_project
    from flyball.serving.address import is_loopback, url_of
    from flyball.serving.client import GatewayClient
    from flyball.serving.layout import Layout, read_json, state_folder

    root = find_project(project)
    told = read_json(Layout(state_folder(root, env)).gateways)
    if not isinstance(told, dict):
        raise Unavailable(f"flyball is not up in {root}", why="no gateway listens", fix="start it: flyball up")
    host, token = str(told.get("host", "127.0.0.1")), ""
    if not is_loopback(host):
        from flyball.wiring import secret

        token = secret(root, env)
    return GatewayClient(url_of(host, told["port"]), token=token)
