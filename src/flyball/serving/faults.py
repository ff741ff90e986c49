"""What a worker replies where it has no answer: through no fault of the model's, by the question's, or with the model's own error."""

from __future__ import annotations

from flyball.errors import FlyballError, NotFound, Unavailable
from flyball.features.online.kept import NotKept
from flyball.serving import wire


def failed(question: wire.Question, problem: Exception) -> bytes:
    """The frame of the reply."""
    if isinstance(problem, Unavailable):
        return wire.no_answer(question.tag, problem.what, wire.Fault(problem.code, problem.why, problem.fix, problem.retry_after))
    if isinstance(problem, NotKept | NotFound):
        return wire.no_answer(question.tag, problem.what, wire.Fault(problem.code, problem.why, problem.fix))
    text = problem.what if isinstance(problem, FlyballError) else f"{type(problem).__name__}: {problem}"
    # half of a surrogate pair, which the model's own words may hold, is no text that could be sent
    text = text[:500].encode("utf-8", "replace").decode()
    return wire.reply(question.tag, text or "the model failed", None)
