"""What opening a project brings with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.records import codec
from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving.layout import Layout
from flyball.serving.table import RoutesFile, read_routes
from flyball.wiring import open_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flyball.toml").write_text("")
    return tmp_path


def test_the_control_plane_tells_the_gateways_at_once_where_nothing_is_served(project: Path) -> None:
    open_project(project).close()
    routes = Layout(project / ".flyball").routes
    assert not routes.exists(), "only who runs the loop can know"
    open_project(project, claim=True).close()
    told = read_routes(routes.read_bytes())
    assert (told.table.models, told.starting) == ({}, {})
    assert told.stamp, "it is another one than a gateway has before it is told"


def test_a_record_that_knows_of_nothing_takes_no_route_away(project: Path) -> None:
    layout = Layout(project / ".flyball")
    layout.prepare()
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    route = ModelRoute(signature=Signature(task="binary", fields=(), classes=(0, 1)), arms=(arm,))
    served = codec.encode(RoutesFile(stamp=1, table=RouteTable(epoch=1, models={"price": route})))
    layout.routes.write_bytes(served)
    open_project(project, claim=True).close()
    assert layout.routes.read_bytes() == served
