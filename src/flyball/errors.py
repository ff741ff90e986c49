"""One exception tree, and the one form in which every face tells an error. Each says what happened, why, and what to do.

FlyballError                 what, why, fix, code, title, retry
├── DeclarationError         a loop file cannot be used; `.problems` lists every reason at once      (422, exit 1)
├── BadInput                 a request, row or file is not what its contract says; `.problems`       (422 or 400, exit 1)
├── Unauthenticated          no token, or one that is not taken                                      (401, exit 1)
├── Refused                  a gate, role or freeze says no                                          (403, exit 1)
├── NotFound                 no such thing; the message carries a near name                          (404, exit 1)
├── Conflict                 the state has changed, or somebody else holds it                        (409, exit 1)
├── Unavailable              not now: `.retry_after` seconds                                         (503, exit 3)
│   ├── Busy                 something is under way that ends by itself                              (409, exit 3)
│   └── Unusable             not before a person mends it: a missing right, a wrong address          (503, exit 1)
├── Interrupted              ended by Ctrl-C before it was done                                      (499, exit 130)
└── Corrupt                  stored bytes are not what the ledger says                               (500, exit 1)
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, field
from typing import Any, Literal

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[\d*m)")

Retry = Literal["never", "later", "ask"]
"""Whether another try can help: `ask` is after a person has mended something."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `where` is `file:line  Thing "name"` or a JSON pointer into a request.

    `at` is a JSON pointer into the declaration that `where` names, such as `/gates/1`. `kind` is how a field of a request breaks its contract:
    "missing", "unknown", "type", "range" (bounds) or "value" (not one of those declared).
    """

    where: str
    what: str
    why: str = ""
    fix: str = ""
    at: str = ""
    kind: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Draw the problem as the CLI shows it: the fact, then why and fix, indented."""
        lines = [f"{self.where}  {self.what}" if self.where else self.what]
        if self.why:
            lines.append(f"    why  {self.why}")
        if self.fix:
            lines.append(f"    fix  {self.fix}")
        return "\n".join(lines)


def plain(text: str) -> str:
    """Text whose control characters are written out, but for ends of lines, tabs and our own colours: what a file, a caller or a user's code
    says is shown, not obeyed.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)


def line(text: str) -> str:
    """Text on one line, whatever a person wrote: what cannot be printed is written out."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """Text with every blank that it has, as for an id: what cannot be printed is written out.

    >>> escaped("order  17" + chr(7)) == "order  17" + chr(92) + "x07"
    True
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class Stopped(SystemExit):
    """The process was told to end: no error, and none of a user's own. What a user's function does by calling `sys.exit` is not this, and ends that alone."""


class FlyballError(Exception):
    """Base of every error that flyball raises on purpose. `title` is the same for all of a kind; what happened is in `what`."""

    code = "error"
    title = "Something failed"
    status = 500
    exit_code = 1
    retry: Retry = "never"

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str | None = None, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.problems = problems
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """Draw the error as the CLI shows it: every problem, else what, why and fix."""
        own = str(Problem("", self.what, self.why, self.fix))
        return "\n".join([own, *(str(problem) for problem in self.problems)])


class DeclarationError(FlyballError):
    """A loop file cannot be used as it stands."""

    code = "declaration"
    title = "The declaration cannot be used"
    status = 422


class BadInput(FlyballError):
    """Data, a row or an argument is not what its contract or signature says."""

    code = "bad-input"
    title = "The input is not what its contract says"
    status = 422


class Unauthenticated(FlyballError):
    """No token was given, or one that is not taken."""

    code = "unauthenticated"
    title = "There is no valid token"
    status = 401


class Refused(FlyballError):
    """A gate, a role or a freeze says no."""

    code = "refused"
    title = "A gate, a role or a freeze says no"
    status = 403


class NotFound(FlyballError):
    """There is no such thing."""

    code = "not-found"
    title = "There is no such thing"
    status = 404


class Conflict(FlyballError):
    """The state has changed, or somebody else holds it."""

    code = "conflict"
    title = "The state has changed, or somebody else holds it"
    status = 409


class Unavailable(FlyballError):
    """Not now; try again after `retry_after` seconds."""

    code = "unavailable"
    title = "Not now"
    status = 503
    exit_code = 3
    retry: Retry = "later"

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(what, why=why, fix=fix, code=code)
        self.retry_after = retry_after


class Busy(Unavailable):
    """Something is under way, such as a run, that ends by itself: after it the same can be done."""

    code = "busy"
    title = "Something is under way that ends by itself"
    status = 409

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str | None = None, retry_after: float = 10.0) -> None:
        super().__init__(what, why=why, fix=fix, code=code, retry_after=retry_after)


class Unusable(Unavailable):
    """What flyball rests on cannot be used before a person mends it: waiting alone does not help. Who waits all the same finds it mended."""

    code = "unusable"
    title = "It cannot be used as it is"
    exit_code = 1
    retry: Retry = "ask"


_FOR_A_PERSON = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def kind_of(error: OSError) -> type[Unavailable]:
    """What the system refused, as an error: Unusable where the right is missing or the disk is read-only, so that waiting does not help."""
    return Unusable if error.errno in _FOR_A_PERSON else Unavailable


class Interrupted(FlyballError):
    """Ended by Ctrl-C before it was done."""

    code = "interrupted"
    title = "It was interrupted"
    status = 499
    exit_code = 130


class Corrupt(FlyballError):
    """Stored bytes are not what the ledger says they are."""

    code = "corrupt"
    title = "Stored bytes are not what the ledger says"


def problem(error: FlyballError) -> dict[str, Any]:
    """The error as problem details (RFC 9457), whichever face tells it. `retry_after`, in seconds, stands where another try can help."""
    body: dict[str, Any] = {
        "type": f"/docs/errors#{error.code}",
        "code": error.code,
        "title": error.title,
        "status": error.status,
        "detail": f"{error.what}: {error.why}" if error.why else error.what,
        "fix": error.fix,
        "problems": [{"where": one.where, "what": one.what, "why": one.why, "fix": one.fix} for one in error.problems],
        "retry": error.retry,
    }
    return body | {"retry_after": error.retry_after} if isinstance(error, Unavailable) else body
