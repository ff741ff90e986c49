"""What an environment found when it tried a version as callers use it, before the next environment takes it."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Record


class IntegrationCheck(Record, frozen=True):
    """One thing that was tried, whether it held, and what was seen."""

    name: str
    passed: bool
    told: str


class Integration(Record, frozen=True):
    """The checks of a version in an environment, and when they came out so."""

    at: Instant
    checks: tuple[IntegrationCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every check held; nothing that was checked is no pass."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[IntegrationCheck, ...]:
        """What did not hold."""
        return tuple(check for check in self.checks if not check.passed)
