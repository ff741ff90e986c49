"""Sums that are exactly rounded: the double nearest to the true sum (ties to even), whatever the order, as `math.fsum` gives it.

A double is a whole number times a power of two, so a sum of doubles is one as well. Two forms of it are kept here. A *total* is a Python
int, the sum times 2**1074: totals add up, so partial sums that were made anywhere merge without loss. `Sums` holds the running sums of
a column as a few 64-bit numbers a row: the sum of any stretch of rows is then one subtraction, and all stretches are done at once.

A mean is the rounded sum over the count, rounded once more. A sum of nothing is 0.0 and no sum is −0.0. A sum beyond the range of
doubles is infinite. NaN and infinite values have no place here: readers take NaN as missing and refuse what is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

SCALE: Final = 1074
"""The least double above 0 is 2**−1074: every double times 2**1074 is whole."""
_ONE: Final = 1 << SCALE
FEW: Final = 512
"""Stretches of so few rows in all are summed one by one: making arrays costs more than that."""
LIMBS: Final = 6
"""A column whose values lie farther apart than so many limbs hold (6 of 40 bits: 240 binary orders) is summed stretch by stretch."""


def of(values: Iterable[float]) -> int:
    """The total of finite numbers: their exact sum times 2**1074."""
    total = 0
    for value in values:
        numerator, denominator = float(value).as_integer_ratio()
        total += numerator << (SCALE + 1 - denominator.bit_length())
    return total


def value(total: int) -> float:
    """The double nearest to a total; infinite beyond the range of doubles."""
    try:
        return total / _ONE
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def pack(total: int) -> bytes:
    """A total as few bytes: how many zero bytes it ends with (2 bytes), then the rest, two's complement, least byte first."""
    zeros = 0 if not total else ((total & -total).bit_length() - 1) // 8
    body = total >> (8 * zeros)
    return zeros.to_bytes(2, "little") + body.to_bytes(body.bit_length() // 8 + 1, "little", signed=True)


def unpack(data: bytes) -> int:
    """The total that `pack` wrote."""
    return int.from_bytes(data[2:], "little", signed=True) << (8 * int.from_bytes(data[:2], "little"))


class Sums:
    """Running sums of a column of finite numbers, for the exact sums of any of its stretches."""

    def __init__(self, values: Floats) -> None:
        self._values = values
        parts = _split(values)
        self._width, self._base = (0, 0) if parts is None else parts[1:]
        zero = np.zeros(1, dtype=np.int64)
        self._runs = None if parts is None else [np.concatenate([zero, np.cumsum(limb)]) for limb in parts[0]]

    def of(self, low: Ints, high: Ints, others: Ints, bounds: Ints) -> Floats:
        """The sums of rows [low, high) together with rows others[bounds[i]:bounds[i + 1]], for each i."""
        if self._runs is None or (len(low) <= FEW and int((high - low).sum()) + len(others) <= FEW):
            return self._one_by_one(low, high, others, bounds)
        digits = []
        for run in self._runs:
            digit = run[high] - run[low]
            if len(others):
                more = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(run[others + 1] - run[others])])
                digit = digit + more[bounds[1:]] - more[bounds[:-1]]
            digits.append(digit)
        return _rounded(digits, self._width, self._base)

    def _one_by_one(self, low: Ints, high: Ints, others: Ints, bounds: Ints) -> Floats:
        out = np.empty(len(low))
        for place in range(len(low)):
            more = self._values[others[bounds[place] : bounds[place + 1]]].tolist() if len(others) else []
            out[place] = fsum([*self._values[low[place] : high[place]].tolist(), *more])
        return out


def fsum(values: list[float]) -> float:
    """`math.fsum`, which gives up where a part of the sum is beyond doubles: the sum itself need not be."""
    try:
        return math.fsum(values)
    except OverflowError:
        return value(of(values))


def _split(values: Floats) -> tuple[list[Ints], int, int] | None:
    """`values` as (limbs, width, base): each value is the sum of limb k times 2**(base + k·width). None where LIMBS are too few.

    A limb is less than 2**width, with the sign of its value, and `width` leaves room for the sum of all rows in 64 bits.
    """
    width = min(40, 61 - len(values).bit_length())
    fraction, exponent = np.frexp(values)
    whole = np.abs(fraction * 2.0**53).astype(np.int64)
    some = whole > 0
    if not some.any():
        return [np.zeros(len(values), dtype=np.int64)], width, 0
    # the bit that each value begins with: zeros at its end count for nothing, so whole numbers need one limb
    zeros = np.frexp((whole & -whole).astype(np.float64))[1].astype(np.int64) - 1
    first = np.where(some, exponent - 53 + zeros, 0)
    whole >>= np.where(some, zeros, 0)
    base = int(first[some].min())
    top = int(exponent[some].max())
    count = -(-(top - base) // width)
    if count > LIMBS:
        return None
    negative = values < 0
    offset = np.where(some, first - base, 0)
    limbs = []
    for place in range(count):
        down = place * width - offset
        bits = np.where(down >= 0, whole >> np.clip(down, 0, 62), _up(whole, -down, width)) & ((1 << width) - 1)
        limbs.append(np.where(negative, -bits, bits))
    return limbs, width, base


def _up(whole: Ints, up: Ints, width: int) -> Ints:
    """`whole` times 2**up, as far as its lowest `width` bits are concerned."""
    within = (up > 0) & (up < width)
    kept = np.where(within, width - up, 0)
    return np.where(within, (whole & ((np.int64(1) << kept) - 1)) << np.where(within, up, 0), 0)


def _rounded(digits: list[Ints], width: int, base: int) -> Floats:
    """The doubles nearest to Σ digits[k]·2**(base + k·width), each digit any signed number below 2**62."""
    negative = _carried(digits, width)[-1] < 0
    if negative.any():
        digits = [np.where(negative, -digit, digit) for digit in digits]
    placed = _carried(digits, width)
    # two more places: the highest digit may be wider than `width`, and reading below the first digit finds zeros
    high = placed.pop()
    mask = (1 << width) - 1
    placed += [high & mask, high >> width]
    zero = np.zeros_like(high)
    count = len(placed)
    table = np.stack([zero, zero, *placed])
    top = np.zeros(len(high), dtype=np.int64)
    for place in range(count):
        top = np.where(placed[place] > 0, place, top)
    rows = np.arange(len(high))
    first, second, third = (table[top + 2 - back, rows] for back in range(3))
    size = np.frexp(first.astype(np.float64))[1].astype(np.int64)
    # 62 bits of the number, and whether anything lies below them: enough to round once, to 53
    room = 62 - size
    lead = first << room
    lead |= _shifted(second, room - width)
    lead |= _shifted(third, room - 2 * width)
    lost = _below(second, room - width) | _below(third, room - 2 * width)
    for place in range(count):
        lost |= (placed[place] > 0) & (place < top - 2)
    lead |= lost
    with np.errstate(over="ignore"):
        out = np.ldexp(lead.astype(np.float64), (base + top * width - room).astype(np.int32))
    return np.where(negative, -out, out)


def _carried(digits: list[Ints], width: int) -> list[Ints]:
    """The same number with every digit but the last in [0, 2**width)."""
    mask = (1 << width) - 1
    out, carry = [], np.zeros_like(digits[0])
    for digit in digits[:-1]:
        whole = digit + carry
        carry = whole >> width
        out.append(whole & mask)
    out.append(digits[-1] + carry)
    return out


def _shifted(digit: Ints, up: Ints) -> Ints:
    return np.where(up >= 0, digit << np.clip(up, 0, 62), digit >> np.clip(-up, 0, 62))


def _below(digit: Ints, up: Ints) -> npt.NDArray[np.bool_]:
    """Whether bits of `digit` are lost when it is shifted."""
    lost: npt.NDArray[np.bool_] = (up < 0) & ((digit & ((np.int64(1) << np.clip(-up, 0, 62)) - 1)) != 0)
    return lost
