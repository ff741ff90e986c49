"""What a model's predictions cost, in words: the part of it that `status` and `monitor` tell. It is measured on Linux alone, and said nowhere else."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from flyball.cli.output import number
from flyball.clock import Instant
from flyball.loop.memory import load
from flyball.monitoring.usage import Price, price

if TYPE_CHECKING:
    from flyball.wiring import Wired


def cost_of(wired: Wired, model: str, now: Instant) -> Price | None:
    """What 1,000 predictions of the champion take; None where no worker was measured."""
    return price(load(wired.ports.memory).usage(model), now, hour_price=wired.ports.cpu_price, watts=wired.settings.cpu_watts)


def cost_text(found: Price) -> str:
    """One line of it."""
    # written out: it is a small part of a cent
    money = f", {Decimal(f'{found.money:.2g}'):f} {found.currency}" if found.money is not None else ""
    busy = f"; its worker takes {100 * found.busy:.2g}% of a processor" if found.busy else ""
    return f"1,000 predictions take {number(found.cpu_s)} CPU s, about {number(found.watt_hours)} Wh{money}{busy}"
