"""What `flyball check` says of routes: those that a playbook names and that are not declared, and secrets that are not set here."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.data.sources.secrets import Secrets
from flyball.declare.routes import Routes
from flyball.errors import BadInput, Problem

NONE = "routes   none are declared: nobody is told of incidents (docs/alerts.md)"
"""What is said once where a project has no route."""


def unknown_route(named: str, routes: Sequence[Routes], place: str) -> tuple[Problem, ...]:
    """A warning of a playbook that names a route that there is in no environment. `routes`: those of each."""
    wrong = [why for each in routes if (why := each.unknown(named))]
    if len(wrong) < len(routes) or not wrong:
        return ()
    return (
        Problem(place, f'playbook route="{named}": {wrong[0]}', "its incidents would go where nobody expects them", routes[0].near(named)),
    )


def missing_secrets(routes: Routes, secrets: Secrets) -> list[Problem]:
    """A warning for each secret of a route that is not set where this runs: where flyball runs it may be."""
    found = []
    for route in routes.routes.values():
        for name in route.secrets:
            try:
                secrets.get(name)
            except BadInput as error:
                what = f'the route "{route.name}" needs the secret {name}, which is not set here'
                found.append(Problem(f"[routes.{route.name}]", what, error.why, f"{error.fix}; until then its messages wait"))
    return found
