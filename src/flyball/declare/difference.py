"""What is different between two declarations of one model, a line each: `rollout steps: canary 25% 6h → canary 10% 6h`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from flyball.declare.checks import AnyOf, Approval, Check, Drift
from flyball.declare.data import Sql
from flyball.declare.functions import Function, is_expression, reference
from flyball.declare.model import Model
from flyball.declare.units import Money, Rate
from flyball.records.rollouts import Step

_PRINTABLE = (Check, AnyOf, Approval, Drift, Money, Rate)


def differences(old: Model, new: Model) -> tuple[str, ...]:
    """Every difference, by the name of the argument it was declared with. Empty if both declare the same."""
    return tuple(_compare("", old, new))


def draw_step(step: Step) -> str:
    """Write a step as `shadow 12h` or `canary 25% 6h`."""
    weight = f" {step.weight / 100:g}%" if step.kind in ("canary", "ab_test") else ""
    wanted = f" {step.labels} labels" if step.labels else ""
    return f"{step.kind}{weight} {step.bake}{wanted}"


def _compare(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Function) and isinstance(new, Function):
        if old.digest != new.digest:
            yield f"{path}: {old.name} changed" if old.name == new.name else f"{path}: {old.name} → {new.name}"
    elif is_expression(old) and is_expression(new):
        if reference(old) != reference(new):
            yield f"{path}: the expression changed"
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _mappings(path, old, new)
    elif _steps(old) and _steps(new) and (old or new):
        if old != new:
            yield f"{path}: {' → '.join(map(draw_step, old)) or 'none'}   now   {' → '.join(map(draw_step, new)) or 'none'}"
    elif isinstance(old, tuple) and isinstance(new, tuple):
        yield from _tuples(path, old, new)
    elif isinstance(old, Sql) and isinstance(new, Sql):
        if old.text != new.text:
            yield f"{path} text: {old.text} → {new.text}"
        if old.url != new.url:
            was, now = _address(old), _address(new)
            yield f"{path} url: {was} → {now}" if was != now else f"{path} url: who is let in changed"
    elif is_dataclass(old) and type(old) is type(new) and not isinstance(old, _PRINTABLE):
        for field in fields(old):
            yield from _compare(f"{path} {field.name}".strip(), getattr(old, field.name), getattr(new, field.name))
    elif type(old) is not type(new) or old != new:
        yield f"{path}: {_draw(old)} → {_draw(new)}"


def _steps(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, Step) for item in value)


def _mappings(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*old, *new)):
        if key not in new:
            yield f"{path}: − {key}"
        elif key not in old:
            yield f"{path}: + {key}"
    for key in old:
        if key in new:
            yield from _compare(f"{path} {key}".strip(), old[key], new[key])
    if set(old) == set(new) and list(old) != list(new):
        yield f"{path}: in another order"


def _tuples(path: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> Iterator[str]:
    if len(old) == len(new) and all(is_dataclass(item) and not isinstance(item, _PRINTABLE) for item in (*old, *new)):
        for before, after in zip(old, new, strict=True):
            yield from _compare(f"{path} {getattr(before, 'name', '')}".strip(), before, after)
        return
    was, now = [_draw(item) for item in old], [_draw(item) for item in new]
    yield from (f"{path}: − {item}" for item in was if item not in now)
    yield from (f"{path}: + {item}" for item in now if item not in was)
    if sorted(was) == sorted(now) and was != now:
        yield f"{path}: in another order"


def _draw(value: Any) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_draw, value))
    if is_expression(value):
        return "an expression"
    if isinstance(value, Sql):
        return f"{value.text} at {_address(value)}"
    return str(value) if isinstance(value, (str, int, float, *_PRINTABLE)) else str(getattr(value, "name", value))


def _address(query: Sql) -> str:
    """Where a query is sent, without who is let in there: what is drawn is read by many."""
    return re.sub(r"://.*@", "://", query.url.partition("?")[0]) if isinstance(query.url, str) else f"secret {query.url.name}"
