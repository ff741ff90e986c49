"""The same projects and processes as in the journeys."""

from __future__ import annotations

from ..journeys.conftest import project, start  # noqa: TID252 - one way to start a whole project

__all__ = ["project", "start"]
