"""Which version answers a request: a pure function of the key, the rollout and the weights.

u = BLAKE2b(key, salt = rollout id) mod 10,000, and the challenger answers iff u < weight. A key that the challenger has keeps it as the
weight grows; another rollout deals the keys anew and independently.
"""

from __future__ import annotations

from hashlib import blake2b, sha256

from flyball.records.serving import Arm, ModelRoute

WHOLE = 10_000
"""Weights are basis points."""


def _place(key: str, salt: bytes) -> int:
    """The key's place in 0 … 9,999."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8, salt=salt).digest(), "big") % WHOLE


class Picker:
    """The arms of one route, ready to choose from. Challengers take the low places, the champion the rest."""

    def __init__(self, route: ModelRoute) -> None:
        self.champion: Arm | None = next((arm for arm in route.arms if arm.role == "champion"), None)
        # BLAKE2b takes 16 bytes of salt: they are the start of the salt's SHA-256
        self._salt = sha256(route.salt.encode()).digest()[:16]
        self._steps: list[tuple[int, Arm]] = []
        below = 0
        for arm in route.arms:
            if arm is not self.champion and arm.weight > 0:
                below += arm.weight
                self._steps.append((below, arm))

    def pick(self, key: str) -> Arm | None:
        """The arm that `key` belongs to; None when the route has no arm for it."""
        if self._steps:
            place = _place(key, self._salt)
            for below, arm in self._steps:
                if place < below:
                    return arm
        return self.champion
