"""What the package imports, it asks for itself: what comes with another library today may not come with it tomorrow."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported() -> Iterator[str]:
    """The first part of every module's name that the package imports."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (one.name.partition(".")[0] for one in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module.partition(".")[0]


def asked_for() -> set[str]:
    """The libraries that come with the package, or with one of its extras for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for name, extra in project["optional-dependencies"].items() if name != "dev" for one in extra]
    return {re.split(r"[\[><=~!]", one)[0].lower() for one in (*project["dependencies"], *extras)}


def test_every_library_that_the_package_imports_is_a_dependency_of_its_own() -> None:
    homes = packages_distributions()
    foreign = set(imported()) - set(sys.stdlib_module_names) - {"flyball"}
    # a library may be installed under another name that holds the same module, as xgboost-cpu does
    homes_of = {name: {name.lower(), *(home.lower() for home in homes.get(name, ()))} for name in foreign}
    # one that is asked for in parts need not be installed here to be known: opentelemetry-sdk is of opentelemetry
    homes_of |= {name: known | {one for one in asked_for() if one.startswith(f"{name.lower()}-")} for name, known in homes_of.items()}
    assert [name for name in sorted(foreign) if not homes_of[name] & asked_for()] == []


def test_every_dependency_is_pinned() -> None:
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert sorted(asked_for() - pinned) == []
