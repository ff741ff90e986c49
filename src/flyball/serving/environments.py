"""Workers whose Python or libraries are not those that their version was made with: each says so when it is ready, and here it is read.

A warning and no refusal: the golden rows have passed, or the worker would not be ready.
"""

from __future__ import annotations

from flyball.serving.layout import Layout, read_json


def apart(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Version (`model@1.2.0`) that a worker is ready to serve → what that worker has otherwise, where anything is."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(layout.ready("x").parent.glob("*.ready")):
        told = read_json(path)
        if isinstance(told, dict) and told.get("environment"):
            found[str(told["ref"])] = tuple(str(each) for each in told["environment"])
    return found


def sentence(ref: str, differs: tuple[str, ...]) -> str:
    """What is said of such a worker."""
    return f"{ref} is served by another environment than it was made with: {', '.join(differs)}"
