"""Quantities as people write them, parsed when an object is made: "90s", "5%", "50MB", "0.40 EUR", "4/30d"."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flyball.clock import Span
from flyball.errors import BadInput, DeclarationError
from flyball.records.models import valid_name

_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?)\s*%")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)")
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MONEY = re.compile(r"(-?\d+(?:\.\d+)?)\s*([A-Z]{3})")
T = TypeVar("T")


def fill(target: object, values: Mapping[str, object]) -> None:
    """Set the fields of a frozen dataclass from its own `__init__`, which parses what it is given."""
    for name, value in values.items():
        object.__setattr__(target, name, value)


def near(word: str, options: Iterable[str]) -> str:
    """Say which option was probably meant, and list them: the text of a `fix`."""
    names = list(options)
    meant = _meant(word, names)
    guess = f'did you mean "{meant}"? ' if meant else ""
    shown = ", ".join(names[:8]) + (f", … ({len(names)})" if len(names) > 8 else "")
    if guess and len(names) == 1:
        return guess.rstrip()
    return f"{guess}{shown}" if names else "nothing is declared"


def _meant(word: str, names: list[str]) -> str:
    """The name that is written nearly so, else the only one that begins so (prod for production); empty for none."""
    written = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(word.casefold(), written, n=1, cutoff=0.6)
    longer = [name for name in names if len(word) > 1 and name.casefold().startswith(word.casefold())]
    return written[close[0]] if close else longer[0] if len(longer) == 1 else ""


def fail(argument: str, what: str, *, why: str = "", fix: str = "") -> DeclarationError:
    """Make the error of a bad argument, named."""
    return DeclarationError(f"{argument}: {what}", why=why, fix=fix)


def name_of(text: object, what: str) -> str:
    """Read a name of a thing. Raises DeclarationError."""
    if not isinstance(text, str):
        raise fail(f"{what} name", f"{text!r} is not text", fix=f'give the {what} a name such as "price-direction"')
    try:
        return valid_name(text, what)
    except BadInput as bad:
        raise DeclarationError(bad.what, why=bad.why, fix=bad.fix) from bad


def span(value: str | Span, argument: str, *, least: int | None = 0) -> Span:
    """Read a span; `least` is the smallest allowed (microseconds; None: any). Raises DeclarationError naming `argument`."""
    if isinstance(value, Span):
        parsed = value
    elif isinstance(value, str):
        try:
            parsed = Span.parse(value)
        except ValueError as bad:
            raise fail(argument, str(bad)) from bad
    else:
        raise fail(
            argument, f"{value!r} is not a time span", why="a bare number has no unit", fix='write a unit, such as "90s", "1h30m" or "30d"'
        )
    if least is not None and parsed < least:
        raise fail(argument, f"{parsed} is too short", why=f"it must be at least {Span(least)}")
    return parsed


def maybe_span(value: str | Span | None, argument: str, *, least: int | None = 1) -> Span | None:
    """Read a span that may be left out."""
    return None if value is None else span(value, argument, least=least)


def share(value: str | float, argument: str) -> float:
    """Read a share in 0…1: "5%" or 0.05. Raises DeclarationError."""
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value.strip())
        if match is None:
            raise fail(argument, f'"{value}" is not a share', fix='write a percentage such as "5%"')
        number = float(match.group(1)) / 100
    else:
        number = finite(value, argument)
    if not 0 <= number <= 1:
        raise fail(argument, f"{value} is not between 0% and 100%")
    return number


def size(value: str | int, argument: str) -> int:
    """Read a size in bytes: "16GB". Raises DeclarationError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or not isinstance(value, str):
        raise fail(argument, f'"{value}" is not a size', fix='write a number and a unit, such as "50MB" or "16GB"')
    return round(float(match.group(1)) * _BYTES[match.group(2)])


def is_size(text: str) -> bool:
    """Whether it reads as a size in bytes."""
    return _SIZE.fullmatch(text.strip()) is not None


def shown_size(number: float) -> str:
    """Write a size as people do, in the unit that `size` reads: `50 MB`.

    >>> shown_size(1_500_000)
    '1.5 MB'
    """
    unit, factor = next(((unit, factor) for unit, factor in reversed(_BYTES.items()) if number >= factor), ("B", 1))
    return f"{number / factor:.4g} {unit}"


@dataclass(frozen=True)
class Money:
    """An amount in a currency (ISO 4217)."""

    amount: float
    currency: str

    def __str__(self) -> str:
        """Write `4 EUR`."""
        return f"{self.amount:g} {self.currency}"


_MOST_DIGITS = 1e15


def extreme(number: float | None) -> str:
    """How a figure is written for people that has no usual form; empty for one that has.

    >>> extreme(None), extreme(-math.inf), extreme(-1.5e200), extreme(12_000)
    ('?', '?', '−1.5e+200', '')
    """
    if number is None or not math.isfinite(number):
        return "?"
    return f"{number:.3g}".replace("-", "−", 1) if abs(number) >= _MOST_DIGITS else ""


def money(value: Any, argument: str) -> Money:
    """Read "0.40 EUR". Raises DeclarationError."""
    if isinstance(value, Money):
        return value
    match = _MONEY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise fail(argument, f"{value!r} is not an amount of money", fix='write an amount and a currency, such as "0.40 EUR"')
    return Money(float(match.group(1)), match.group(2))


@dataclass(frozen=True)
class Rate:
    """So much (`unit` is a currency, or empty for a count) in each `per`."""

    amount: float
    unit: str
    per: Span

    def __str__(self) -> str:
        """Write `4/30d` or `50 EUR/30d`."""
        return f"{self.amount:g}{' ' + self.unit if self.unit else ''}/{self.per}"


def rate(value: Any, argument: str, *, with_money: bool) -> Rate:
    """Read "4/30d" or, with money, "50 EUR/30d". Raises DeclarationError."""
    if isinstance(value, Rate):
        return value
    example = "50 EUR/30d" if with_money else "4/30d"
    head, slash, per = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not slash:
        raise fail(argument, f"{value!r} says no rate", fix=f'write an amount and a span, such as "{example}"')
    if with_money:
        amount = money(head, argument)
        return Rate(amount.amount, amount.currency, span(per, argument, least=1))
    if not head.strip().isdigit():
        raise fail(argument, f'"{head}" is not a count', fix=f'write such as "{example}"')
    return Rate(float(head), "", span(per, argument, least=1))


def finite(value: Any, argument: str) -> float:
    """Read a finite number. Raises DeclarationError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise fail(argument, f"{value!r} is not a finite number")
    return float(value)


def count(value: Any, argument: str, *, least: int = 0) -> int:
    """Read a whole number. Raises DeclarationError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise fail(argument, f"{value!r} is not a whole number of at least {least}")
    return value


def mapping(value: Any, argument: str) -> dict[str, Any]:
    """Read a mapping from names; None is an empty one. Raises DeclarationError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise fail(argument, f"{value!r:.80} is not a mapping", fix='write {"name": …}')
    return {text(key, argument): item for key, item in value.items()}


def items(value: Any, argument: str) -> tuple[Any, ...]:
    """Read a list of anything; None is an empty one. Raises DeclarationError."""
    if value is None:
        return ()
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise fail(argument, f"{value!r:.80} is not a list", fix="write a list: […]")
    return settled(value)


def settled(values: Iterable[Any]) -> tuple[Any, ...]:
    """Values in their order; those of a set, which has another one in every process, in one that they have everywhere."""
    if not isinstance(values, set | frozenset):
        return tuple(values)
    return tuple(sorted(values, key=lambda each: (type(each).__name__, each if isinstance(each, int | float | str) else str(each))))


def words(value: Any, argument: str) -> str:
    """Read a text, which may be empty. Raises DeclarationError."""
    if value is None:
        return ""
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise fail(
            argument, f"{value!r:.80} is not a text", why="half a character cannot be written to a file" if isinstance(value, str) else ""
        )
    return value


def names(value: str | Iterable[str] | None, argument: str) -> tuple[str, ...]:
    """Read one name or several. Raises DeclarationError."""
    found = (value,) if isinstance(value, str) else items(value, argument)
    for item in found:
        text(item, argument)
    return found


def text(value: Any, argument: str) -> str:
    """Read a printable text that is not empty. Raises DeclarationError."""
    found = words(value, argument)
    if not found or not found.isprintable():
        raise fail(argument, f"{value!r:.80} is not a name")
    return found


def maybe_text(value: str | None, argument: str) -> str:
    """Read a text that may be left out; empty text then."""
    return "" if value is None or value == "" else text(value, argument)


def one_of(value: Any, options: tuple[T, ...], argument: str) -> T:
    """Read one of a few words. Raises DeclarationError with a near one."""
    for option in options:
        if option == value:
            return option
    raise fail(argument, f'"{value}" is not known', fix=near(str(value), [str(option) for option in options]))
