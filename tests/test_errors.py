"""One form of an error, whichever face tells it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball import errors
from flyball.cli.main import report, system_error
from flyball.errors import BadInput, FlyballError, NotFound, Problem, Unavailable, Unusable
from flyball.loop.subjectkey import _unusable
from flyball.serving import problems
from flyball.store.blobs import _cannot_read, _cannot_write

ERRORS = [
    NotFound('no model "demnd" is declared', why="models: demand", fix='did you mean "demand"?'),
    BadInput("the row has a problem", problems=(Problem("/row/x", "the field is missing", "the signature names it", 'send "x"'),)),
    Unavailable("no label was taken", why="the disk is full", fix="make room", retry_after=30),
    Unusable("the database cannot be used", why="permission denied", fix="grant it", retry_after=30),
    problems.Unparsable("the body is not JSON"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_the_command_line_and_the_gateway_tell_an_error_in_the_same_form(error: FlyballError, capsys: pytest.CaptureFixture[str]) -> None:
    report(error, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(problems.body(error))
    assert list(told)[:8] == ["type", "code", "title", "status", "detail", "fix", "problems", "retry"]
    assert error.what in told["detail"]
    assert error.why in told["detail"]
    assert told.get("retry_after") == (30 if isinstance(error, Unavailable) else None)


def kinds(base: type[FlyballError]) -> Iterator[type[FlyballError]]:
    yield base
    for one in base.__subclasses__():
        yield from kinds(one)


def test_every_kind_of_error_has_a_title_of_its_own() -> None:
    found = [kind for kind in kinds(FlyballError) if kind.__module__ in (errors.__name__, problems.__name__)]
    assert len({kind.title for kind in found}) == len({kind.code for kind in found}) == len(found)


@pytest.mark.parametrize(("seconds", "header"), [(0.2, b"1"), (1.0, b"1"), (1.45, b"2"), (2.5, b"3"), (30, b"30")])
def test_nobody_is_told_to_come_back_too_early(seconds: float, header: bytes) -> None:
    assert problems.headers(Unavailable("not now", retry_after=seconds)) == [(b"retry-after", header)]


def test_what_a_person_must_mend_is_no_reason_to_wait_on_the_command_line_and_503_to_a_caller() -> None:
    error = Unusable("the database cannot be used", retry_after=30)
    assert isinstance(error, Unavailable), "whoever goes on by waiting finds it mended"
    assert (error.exit_code, error.status, error.retry) == (1, 503, "ask")
    assert problems.headers(error) == [(b"retry-after", b"30")]


REFUSED = [
    (errno.EACCES, Unusable),
    (errno.EPERM, Unusable),
    (errno.EROFS, Unusable),
    (errno.ENOSPC, Unavailable),
    (errno.EIO, Unavailable),
]


@pytest.mark.parametrize(("number", "kind"), REFUSED)
def test_waiting_is_advised_for_what_the_system_refuses_only_where_it_helps(number: int, kind: type[Unavailable]) -> None:
    error = OSError(number, os.strerror(number), "/x")
    told = [system_error(error), _cannot_read("a" * 64, error), _cannot_write(Path("/x"), error), _unusable(Path("/x/key"), error)]
    assert [type(each) for each in told] == [kind] * 4


def test_who_was_too_slow_may_send_it_again() -> None:
    error = problems.TooSlow("the body did not come to its end", fix="send it again")
    told = json.loads(problems.body(error))
    assert (told["status"], told["retry"], problems.headers(error)) == (408, "later", [(b"retry-after", b"1")])
