"""Measuring what a run takes, by what the system counts of its processes.

Energy is an estimate: CPU seconds at so many watts of a busy processor. A counter of the processor's own (RAPL) counts every process of the
machine, and only an administrator may read it, so it would be no measure of one run.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from flyball.declare.checks import AnyOf, Check
from flyball.declare.costs import price_setting
from flyball.declare.units import Money, money
from flyball.errors import BadInput
from flyball.records.cost import Cost
from flyball.records.estimates import Estimate
from flyball.training.evaluating import Found, Subject

NO_PRICE = f"no price is set: {price_setting()}"
WATTS = 10


@dataclass(frozen=True)
class Meter:
    """Counts from `began` CPU seconds of this process and its children on: 0 in a process that is the run's own.

    `at_once`: children that run together; `price` of an hour of CPU time.
    """

    began: float = 0.0
    at_once: int = 1
    watts: int = WATTS
    price: Money | None = None

    def read(self) -> Cost:
        """What was taken until now. A child counts when it has ended."""
        own, children = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cpu = max(0.0, own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime - self.began)
        peak = (own.ru_maxrss + self.at_once * children.ru_maxrss) * 1024
        return Cost(
            cpu_s=round(cpu, 3),
            peak_bytes=peak,
            energy_wh=round(cpu * self.watts / 3600, 6),
            energy_by=f"an estimate: {self.watts} W for a busy processor",
            money=None if self.price is None else round(cpu / 3600 * self.price.amount, 8),
            currency="" if self.price is None else self.price.currency,
            why=NO_PRICE if self.price is None else "",
        )


def meter_from_now(watts: int = WATTS, price: Money | None = None) -> Meter:
    """For a run in a process that does other things as well: what the process took before does not count."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Meter(sum(each.ru_utime + each.ru_stime for each in used), 1, watts, price)


def price_of(text: str) -> Money | None:
    """The price of an hour of CPU time that a setting gives; None where it is empty. Raises DeclarationError."""
    return money(text, "the setting cpu_hour_price") if text else None


UNTIL = "until its gates were judged"
"""What a gate can see of a run: the run goes on a little, and its cost is that of all of it."""

METRICS = ("train_cpu", "train_memory", "train_energy", "train_cost")


def cost(subject: Subject) -> Found:
    """The section `cost`: what the run has taken until it is judged. Raises BadInput where nobody measured it."""
    found = subject.cost
    if found is None:
        raise BadInput("what the run takes was not measured", why="it is measured by the run itself, before its gates are judged")
    asked = {part.unit for part in _parts(subject) if part.metric.name == "train_cost" and part.unit}
    other = sorted(asked - {found.currency}) if found.money is not None else []
    paid = Estimate(value=None, why=f"its bound is in {other[0]}, and the price of CPU time in {found.currency}") if other else None
    return Found(
        measured={
            "train_cpu": Estimate(value=found.cpu_s * 1000, why=UNTIL),
            "train_memory": Estimate(value=float(found.peak_bytes)),
            "train_energy": Estimate(value=found.energy_wh, why=f"{UNTIL}; {found.energy_by}"),
            "train_cost": paid or Estimate(value=found.money, why=found.why or UNTIL),
        }
    )


def _parts(subject: Subject) -> list[Check]:
    found: list[Check] = []
    for gate in subject.model.gates:
        parts = gate.checks if isinstance(gate, AnyOf) else (gate,)
        found += [part for part in parts if isinstance(part, Check)]
    return found
