"""docs/api.md is held to the table of routes: what is there is told, with a call, and nothing else is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.api.asking import PREFIX
from flyball.api.routes import ADMIN, NOT_OFFERED, OPEN, READ, RECORD, ROUTES, SIGNED, Route
from flyball.loop.authority import TABLE
from flyball.records.identity import Role

TEXT = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text()


def who(route: Route) -> str:
    if route.needs == OPEN:
        return "everybody"
    if route.needs == READ:
        return "every role"
    if route.needs == RECORD:
        return "every role, for all models"
    if route.needs == SIGNED:
        return "whoever signs as the route ([alerts.md](alerts.md))"
    if route.needs == ADMIN:
        return "admin"
    roles = [role for role in Role if role in TABLE[route.needs].roles]
    # a verdict is open to all by the table, and then the version's own gates choose
    return "whom its gates ask for ([access.md](access.md))" if roles == list(Role) else ", ".join(roles)


def calls() -> Iterator[tuple[str, str]]:
    """(method, path) of every curl of the page."""
    for line in TEXT.splitlines():
        if line.startswith("curl "):
            words = shlex.split(line)
            url = next(word for word in words if word.startswith("localhost:7117"))
            method = words[words.index("-X") + 1] if "-X" in words else "GET"
            yield method, url.removeprefix(f"localhost:7117{PREFIX}").partition("?")[0]


def test_the_table_is_that_of_the_routes() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /\S*)` \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
    assert [(route, told) for route, _, told in rows] == [
        *((str(route), who(route)) for route in ROUTES),
        ("GET /openapi.json", "everybody"),
    ]
    assert all(does for _, does, _ in rows)


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_route_has_a_call(route: Route) -> None:
    pattern = re.sub(r"\{\w+\}", "[^/]+", route.path)
    assert any(method == route.method and re.fullmatch(pattern, path) for method, path in calls())


def test_what_is_not_offered_is_said() -> None:
    for first in NOT_OFFERED:
        assert f"`/{first}`" in TEXT
