"""How long a version takes to answer, and how much memory its worker holds: `python -m flyball.serving.measuring FOLDER`, started by a training run.

The worker is the real one (its loop, its socket, its scorer, its online store) in a process of its own, with one caller who asks rows one by one. What it
serves is the run's own artifact, which nobody has signed yet: it is asked by this caller alone, and no gateway ever meets it.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
import sys
import time
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from flyball.records import codec
from flyball.records.path import PathAsked, PathSeen
from flyball.serving import wire

ASKED, SEEN, FAILED = "asked.json", "seen.json", "failed.txt"
_PARTS = "parts.json"

LEAST_CALLS: Final = 3
"""However slow: the two largest are then a lower end of a high percentile."""

_LEAST_OF_MEDIAN: Final = 6
"""From so many calls on, a median has an interval; made within this many times the budget."""

_LONGEST: Final = 3

_WARM: Final = 5
_SLOW_S: Final = 0.1

_LENGTH = struct.Struct("<I")


class _Told(msgspec.Struct):
    """What the worker's process leaves: of each call what each part took, and what each transform takes alone, in seconds."""

    parts: dict[str, list[float]]
    alone: dict[str, float]


def main(argv: list[str]) -> int:
    """Entry point: reads `asked.json` in the folder, and leaves `seen.json` or `failed.txt` there."""
    folder = Path(argv[0])
    asked = codec.decode((folder / ASKED).read_bytes(), PathAsked)
    lifeline, breath = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "w"))
        listener.listen(1)
        # before anything large is imported: what the worker holds is then its own
        worker = os.fork()
        if worker == 0:
            os.close(breath)
            os._exit(_serve(asked, listener, lifeline))
    os.close(lifeline)
    whole, why = _asked(asked, str(folder / "w"))
    # it reads the end of the pipe, and ends
    os.close(breath)
    _, status = os.waitpid(worker, 0)
    if status or not whole:
        if not (folder / FAILED).exists():
            (folder / FAILED).write_text(why or f"its process ended with status {status}")
        return 1
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    told = msgspec.json.decode((folder / _PARTS).read_bytes(), type=_Told)
    parts = {name: tuple(each * 1e3 for each in took[-len(whole) :]) for name, took in told.parts.items()}
    alone = {name: took * 1e3 for name, took in told.alone.items()}
    (folder / SEEN).write_bytes(codec.encode(PathSeen(whole=tuple(whole), parts=parts, alone=alone, memory=memory)))
    return 0


def _asked(asked: PathAsked, path: str) -> tuple[list[float], str]:
    try:
        return _ask(asked, path), ""
    except (OSError, ValueError) as error:
        return [], f"{type(error).__name__}: {error}"


def _ask(asked: PathAsked, path: str) -> list[float]:
    """Each row, or list, by itself, and again from the first when all were asked; what each call took, in ms. Raises OSError, ValueError for a row that is not answered."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.connect(path)
        packed = [msgspec.msgpack.encode(rows) for rows in _questions(asked)]
        # the first waits until the worker has loaded the model, and what is made once is made
        if _call(caller, 0, packed[0]) >= 0:
            for tag in range(1, _WARM):
                if _call(caller, tag, packed[tag % len(packed)]) > _SLOW_S:
                    break
        took: list[float] = []
        began = time.perf_counter()
        while _goes_on(len(took), (time.perf_counter() - began) / asked.budget_s, asked.calls):
            took.append(_call(caller, _WARM + len(took), packed[len(took) % len(packed)]) * 1e3)
        return took


def _goes_on(made: int, spent: float, most: int) -> bool:
    """Whether another call is made. `spent`: of the budget, as a share."""
    least = LEAST_CALLS if spent >= _LONGEST else _LEAST_OF_MEDIAN
    return made < least or (made < most and spent < 1)


def _questions(asked: PathAsked) -> list[tuple[Any, ...]]:
    """The rows of each call."""
    ends = list(accumulate(asked.lengths or (1,) * len(asked.rows)))
    return [asked.rows[start:end] for start, end in pairwise([0, *ends])]


def _call(caller: socket.socket, tag: int, packed: bytes) -> float:
    """Seconds until the answer is there."""
    began = time.perf_counter()
    caller.sendall(wire.question(tag, None, packed, shadow=False))
    frame = b""
    while len(frame) < _LENGTH.size or len(frame) < _LENGTH.size + _LENGTH.unpack_from(frame)[0]:
        data = caller.recv(1 << 20)
        if not data:
            raise ConnectionError("the worker ended")
        frame += data
    took = time.perf_counter() - began
    reply = wire.decode_reply(frame[_LENGTH.size :])
    if reply.error is not None:
        raise ValueError(f"a row of the hold-out is not answered: {reply.error}")
    return took


def _serve(asked: PathAsked, listener: socket.socket, lifeline: int) -> int:
    """The worker's process: serve until its caller has left, then say what each part took."""
    folder = Path(asked.folder)
    try:
        from flyball.serving.timing import timed
        from flyball.serving.worker import Worker

        scorer, history = timed(asked, folder)
        Worker(scorer, history, listener, lifeline).run()
        told = {"parts": scorer.took, "alone": scorer.alone(list(asked.rows[0]))}
        (folder / _PARTS).write_bytes(msgspec.json.encode(told))
    except Exception as error:  # noqa: BLE001 - the version's own code runs here: whatever it raises is why there are no figures
        (folder / FAILED).write_text(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
