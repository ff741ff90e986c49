"""What is different between two declarations of one model, a line each: `rollout steps: canary 25% 6h → canary 10% 6h`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from flyball.declare.checks import AnyOf, Approval, Check, Drift
from flyball.declare.data import Dataset, Sql
from flyball.declare.functions import Function, is_expression, reference, roots
from flyball.declare.model import Model
from flyball.declare.units import Money, Rate
from flyball.records.rollouts import Step

_PRINTABLE = (Check, AnyOf, Approval, Drift, Money, Rate)


class Difference(NamedTuple):
    """One difference: `where`, by the names of the arguments that were declared (`train window`), and what stands there in the one and in the other.

    Of what is in one of them alone the other text is empty. `told`: what a line says in place of both texts.
    """

    where: str
    was: str
    now: str
    told: str = ""

    def __str__(self) -> str:
        """Write `train window: 120d → 90d`; `− x` and `+ x` are in one of them alone."""
        if self.told:
            return f"{self.where}: {self.told}"
        both = f"{self.was} → {self.now}" if self.was and self.now else f"− {self.was}" if self.was else f"+ {self.now}"
        return f"{self.where}: {both}"


def differences(old: Model, new: Model) -> tuple[Difference, ...]:
    """Every difference, by the name of the argument it was declared with. Empty if both declare the same. A data set's are told once."""
    return tuple(_compare("", old, new, set()))


def draw_step(step: Step) -> str:
    """Write a step as `shadow 12h` or `canary 25% 6h`."""
    weight = f" {step.weight / 100:g}%" if step.kind in ("canary", "ab_test") else ""
    wanted = f" {step.labels} labels" if step.labels else ""
    return f"{step.kind}{weight} {step.bake}{wanted}"


def _compare(path: str, old: Any, new: Any, seen: set[tuple[str, str]]) -> Iterator[Difference]:
    """`seen`: names of the data sets that were compared; views and labels read them too."""
    if isinstance(old, Function) and isinstance(new, Function):
        if old.digest != new.digest:
            told = f"{old.name} changed" if old.name == new.name else f"{old.name} → {new.name}"
            yield Difference(path, _function(old), _function(new), told)
    elif is_expression(old) and is_expression(new):
        if reference(old) != reference(new):
            yield Difference(path, _expression(old), _expression(new), "the expression changed")
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mappings(path, old, new, seen)
    elif _steps(old) and _steps(new) and (old or new):
        if old != new:
            was, now = (" → ".join(map(draw_step, each)) or "none" for each in (old, new))
            yield Difference(path, was, now, f"{was}   now   {now}")
    elif isinstance(old, tuple) and isinstance(new, tuple):
        yield from _tuples(path, old, new, seen)
    elif isinstance(old, Sql) and isinstance(new, Sql):
        yield from _queries(path, old, new)
    elif is_dataclass(old) and type(old) is type(new) and not isinstance(old, _PRINTABLE):
        yield from _fields(path, old, new, seen)
    elif type(old) is not type(new) or old != new:
        yield Difference(path, _draw(old), _draw(new))


def _fields(path: str, old: Any, new: Any, seen: set[tuple[str, str]]) -> Iterator[Difference]:
    if isinstance(old, Dataset) and isinstance(new, Dataset):
        if (old.name, new.name) in seen:
            return
        seen.add((old.name, new.name))
    for field in fields(old):
        yield from _compare(f"{path} {field.name}".strip(), getattr(old, field.name), getattr(new, field.name), seen)


def _queries(path: str, old: Sql, new: Sql) -> Iterator[Difference]:
    if old.text != new.text:
        yield Difference(f"{path} text", old.text, new.text)
    if old.url != new.url:
        was, now = _address(old), _address(new)
        yield Difference(f"{path} url", was, now, "" if was != now else "who is let in changed")


def _steps(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, Step) for item in value)


def _mappings(path: str, old: Mapping[str, Any], new: Mapping[str, Any], seen: set[tuple[str, str]]) -> Iterator[Difference]:
    for key in dict.fromkeys((*old, *new)):
        if key not in new:
            yield Difference(path, key, "")
        elif key not in old:
            yield Difference(path, "", key)
    for key in old:
        if key in new:
            yield from _compare(f"{path} {key}".strip(), old[key], new[key], seen)
    if set(old) == set(new) and list(old) != list(new):
        yield Difference(path, ", ".join(old), ", ".join(new), "in another order")


def _tuples(path: str, old: tuple[Any, ...], new: tuple[Any, ...], seen: set[tuple[str, str]]) -> Iterator[Difference]:
    if len(old) == len(new) and all(is_dataclass(item) and not isinstance(item, _PRINTABLE) for item in (*old, *new)):
        for before, after in zip(old, new, strict=True):
            yield from _compare(f"{path} {getattr(before, 'name', '')}".strip(), before, after, seen)
        return
    if _bounds(old) and _bounds(new):
        if old != new:
            yield Difference(path, *(f"({', '.join(map(_draw, each))})" for each in (old, new)))
        return
    was, now = [_draw(item) for item in old], [_draw(item) for item in new]
    yield from (Difference(path, item, "") for item in was if item not in now)
    yield from (Difference(path, "", item) for item in now if item not in was)
    if sorted(was) == sorted(now) and was != now:
        yield Difference(path, ", ".join(was), ", ".join(now), "in another order")


def _bounds(value: tuple[Any, ...]) -> bool:
    """Whether it is a pair of numbers: they belong together, as in `between`."""
    return len(value) == 2 and all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)


def _function(value: Function) -> str:
    return f"{value.name} ({value.digest.removeprefix('sha256:')[:8]})"


def _expression(value: Any) -> str:
    read = ", ".join(roots(value))
    return f"an expression{f' of {read}' if read else ''} ({reference(value).digest[:8]})"


def _draw(value: Any) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_draw, value))
    if isinstance(value, float):
        return f"{value:g}"
    if is_expression(value):
        return "an expression"
    if isinstance(value, Sql):
        return f"{value.text} at {_address(value)}"
    return str(value) if isinstance(value, (str, int, *_PRINTABLE)) else str(getattr(value, "name", value))


def _address(query: Sql) -> str:
    """Where a query is sent, without who is let in there: what is drawn is read by many."""
    return re.sub(r"://.*@", "://", query.url.partition("?")[0]) if isinstance(query.url, str) else f"secret {query.url.name}"
