"""One version, served: `python -m flyball.serving.worker --root .flyball --ref model@1.0.0 --artifact HASH`.

A plain loop over sockets, one thread: whatever can be read now is predicted as one batch. A batch that fails is asked again in halves, so
that only the guilty question fails. Shadow questions gather for a moment and are answered a little at a time: nobody waits for them, and
nobody waits long behind them. Code comes from the version's own snapshot, never from the working tree.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import polars as pl

from flyball.clock import Instant
from flyball.data.types import DTYPES
from flyball.errors import Corrupt, FlyballError, Unavailable
from flyball.features.assemble import Served, served
from flyball.features.skew import logged
from flyball.serving import ownenv, proofs, tracing, wire
from flyball.serving.environments import sentence
from flyball.serving.explaining import steps, too_many
from flyball.serving.faults import failed
from flyball.serving.history import History, store_of
from flyball.serving.layout import Layout, worker_name, write_json
from flyball.serving.tracing import Traces
from flyball.serving.vectors import Vectors, Views
from flyball.store.blobs import LocalBlobs
from flyball.training.artifact import load, manifest_of
from flyball.training.environment import differences
from flyball.training.estimators import preload
from flyball.training.explaining import Explainer, Explanation
from flyball.training.explaining import preload as preload_explanations
from flyball.training.predictor import Predictions, Predictor

_READ_BYTES = 1 << 20
_SEND_S = 5.0
"""A gateway that takes no bytes for this long is given up: the others must not wait for it."""

_DRAIN_S = 5.0
_REFRESH_S = 1.0
_VIEWS_S = 20.0
"""How long a worker waits at its start for views that are not in the online store yet."""

SHADOW_WAIT_S = 0.05
"""How long shadow questions gather: a batch costs hardly more than its first row."""

_SHADOWS = 64
"""Shadow questions answered at once: well below what a gateway lets a shadow have open, so that none is dropped while others gather."""

BEHIND = 1.5
"""How many times an answer's usual time a batch of shadow questions may take: in a small canary most questions are shadow ones, and a new
version must not look slow for them. No fixed time: on a busy machine a batch of one would take it too, and shadows would starve."""

_EXPLANATIONS = 64
"""Questions of explanations that wait at most, of all gateways: each has a few open, and a worker makes one after the other."""

_RECENT = 50
"""Answers over which their usual time is averaged."""

Answers = list[list[Any]]


class Scored(NamedTuple):
    """[value, score] a row; and where the model has views, which, each row's moment of prediction, and what they gave for it."""

    output: Answers
    views: Views | None = None
    moments: list[Instant] = []
    values: list[list[Any]] = []


class Scorer:
    """Rows in signature order → [value, score] a row."""

    def __init__(self, predictor: Predictor, history: History) -> None:
        self._predictor = predictor
        self._history = history
        self._horizon = int(predictor.model.framing.horizon)
        self._columns = [(field.name, DTYPES[field.type]) for field in predictor.signature.fields]
        self.split_ns = 0
        """When the features of the last batch were there, since 1970: kept where somebody traces (`is_traced`)."""
        self.is_traced = False

    def score(self, rows: list[list[Any]], times: list[Instant]) -> Scored:
        """One batch. Raises FlyballError when the model fails."""
        history = self._history
        found = self._served(rows, times)
        if self.is_traced:
            self.split_ns = time.time_ns()
        output = answers(self._predictor.predict(found.features))
        if history.views is None:
            return Scored(output)
        return Scored(output, history.views, [moment - self._horizon for moment in times], logged(found.views))

    @cached_property
    def explainer(self) -> Explainer:
        """Who says why the model answers as it does; made when somebody asks for the first time. Raises NotFound."""
        return Explainer(self._predictor)

    def explain(self, row: list[Any], moment: Instant) -> Explanation:
        """One row's answer and the reasons. Raises FlyballError."""
        return self.explainer.explain(self._served([row], [moment]).features)

    def _served(self, rows: list[list[Any]], times: list[Instant]) -> Served:
        columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if self._columns else []
        frame = pl.DataFrame([pl.Series(name, values, dtype) for (name, dtype), values in zip(self._columns, columns, strict=True)])
        return served(self._predictor.model, frame, times, self._history.prepared)

    def now(self) -> Instant:
        """The time T of a row whose caller gave none: what can be predicted at this moment."""
        return time.time_ns() // 1000 + self._horizon


def answers(predictions: Predictions) -> Answers:
    """The wire's form of predictions: plain values with a probability, a list of them, or None."""
    values = predictions.value.tolist()
    if predictions.scores is not None:
        return [list(pair) for pair in zip(values, predictions.scores.tolist(), strict=True)]
    if predictions.score is not None:
        return [list(pair) for pair in zip(values, predictions.score.tolist(), strict=True)]
    return [[value, None] for value in values]


@dataclass(slots=True, eq=False)
class _Peer:
    """A connected gateway."""

    socket: socket.socket
    splitter: wire.Splitter


@dataclass(frozen=True, slots=True)
class _Explanation:
    """One that is being made: for whom, until when they wait, and the steps that are left."""

    peer: _Peer
    deadline_ns: int | None
    steps: Iterator[bytes | None]


_Asked: TypeAlias = list[tuple[_Peer, wire.Question]]


class Worker:
    """The loop. `stop` may be called from a signal handler."""

    def __init__(self, scorer: Scorer, history: History, listener: socket.socket, lifeline: int, traces: Traces | None = None) -> None:
        """traces: None where nobody asked for any."""
        self._scorer = scorer
        self._traces, scorer.is_traced = traces, traces is not None
        self._explanations: deque[_Explanation] = deque()
        self._history = history
        self._listener = listener
        self._lifeline = lifeline
        self._selector = selectors.DefaultSelector()
        self._peers: set[_Peer] = set()
        self._shadows: deque[tuple[_Peer, wire.Question]] = deque()
        self._at_once = 1
        self._shadows_due = 0.0
        self._usual_s: float | None = None
        self._stop_at: float | None = None
        # a signal does not end a select by itself
        self._woken, self._wake = socket.socketpair()

    def stop(self) -> None:
        """Take no new gateways; end when those connected have left, or after 5 s."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + _DRAIN_S
            # where it runs in another thread it may have seen that, and ended
            with contextlib.suppress(OSError):
                self._wake.send(b"x")

    def run(self) -> None:
        """Serve until stopped."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        if self._lifeline >= 0:
            self._selector.register(self._lifeline, selectors.EVENT_READ)
        looked = time.monotonic()
        while self._stop_at is None or (self._peers and time.monotonic() < self._stop_at):
            asked = self._read(self._patience())
            live = [one for one in asked if not one[1].shadow and not one[1].explain]
            if live:
                self._timed(live, usual=True)
            self._gather([one for one in asked if one[1].shadow])
            self._answer_shadows()
            self._explain([one for one in asked if one[1].explain])
            if time.monotonic() - looked > _REFRESH_S:
                looked = time.monotonic()
                self._history.refresh()
        for peer in list(self._peers):
            self._drop(peer)
        for one in (self._listener, self._woken, self._wake):
            one.close()

    def _read(self, timeout: float) -> _Asked:
        """Everything that can be read now; waits up to `timeout` for something."""
        asked: _Asked = []
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.data, _Peer):
                asked += self._receive(key.data)
            elif key.fileobj is self._woken:
                self._woken.recv(16)
            elif not os.read(self._lifeline, 4096):
                # the supervisor is dead: gateways drain and leave, then this worker may
                self._selector.unregister(self._lifeline)
                self.stop()
        return asked

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_SEND_S)
        peer = _Peer(connection, wire.Splitter())
        self._peers.add(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _drop(self, peer: _Peer) -> None:
        self._peers.discard(peer)
        self._selector.unregister(peer.socket)
        peer.socket.close()

    def _receive(self, peer: _Peer) -> list[tuple[_Peer, wire.Question]]:
        try:
            data = peer.socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            return [(peer, wire.decode_question(frame)) for frame in peer.splitter.feed(data)]
        except (OSError, ValueError, msgspec.MsgspecError):
            self._drop(peer)
            return []

    def _patience(self) -> float:
        """How long to wait for something to read, in seconds."""
        if self._explanations:
            return 0.0
        longest = _REFRESH_S if self._stop_at is None else 0.05
        return min(longest, self._until_shadows()) if self._shadows else longest

    def _until_shadows(self) -> float:
        return 0.0 if len(self._shadows) >= self._at_once else max(0.0, self._shadows_due - time.monotonic())

    def _gather(self, shadows: _Asked) -> None:
        if not self._shadows:
            self._shadows_due = time.monotonic() + SHADOW_WAIT_S
        self._shadows += shadows

    def _timed(self, asked: _Asked, *, usual: bool) -> float:
        """Answer, and say how long it took; `usual`: as answers do."""
        began = time.monotonic()
        self._answer(asked)
        took = time.monotonic() - began
        if usual:
            self._usual_s = took if self._usual_s is None else self._usual_s + (took - self._usual_s) / _RECENT
        return took

    def _answer_shadows(self) -> None:
        """Answer as many gathered shadow questions as may keep an answer waiting; the rest have their turn after the next read."""
        if not self._shadows or self._until_shadows() > 0:
            return
        batch = [self._shadows.popleft() for _ in range(min(self._at_once, len(self._shadows)))]
        # while nobody else asks, one shadow question says what an answer takes
        took = self._timed(batch, usual=len(batch) == 1)
        slow = self._usual_s is not None and took > BEHIND * self._usual_s
        self._at_once = max(1, 3 * self._at_once // 4) if slow else min(_SHADOWS, self._at_once + 1 + self._at_once // 4)

    def _answer(self, asked: _Asked) -> None:
        if not asked:
            return
        began_ns = time.time_ns() if self._traces is not None else 0
        replies: dict[_Peer, list[bytes]] = {}
        for (peer, _), frame in zip(asked, self._replies([question for _, question in asked], self._scorer.now()), strict=True):
            replies.setdefault(peer, []).append(frame)
        ended_ns = time.time_ns() if self._traces is not None else 0
        for peer, frames in replies.items():
            self._send(peer, b"".join(frames))
        if self._traces is not None:
            self._traces.batch([question for _, question in asked], began_ns, self._scorer.split_ns, ended_ns)

    def _send(self, peer: _Peer, data: bytes) -> None:
        try:
            peer.socket.sendall(data)
        except OSError:
            if peer in self._peers:
                self._drop(peer)

    def _explain(self, asked: _Asked) -> None:
        """One step of the oldest explanation that is wanted: no answer waits longer for it than for a batch."""
        for peer, question in asked:
            if len(self._explanations) < _EXPLANATIONS:
                made = steps(self._scorer, question, self._scorer.now())
                self._explanations.append(_Explanation(peer, question.deadline_ns, made))
            else:
                self._send(peer, too_many(question, len(self._explanations)))
        while self._explanations and not self._wanted(self._explanations[0]):
            self._explanations.popleft()
        if not self._explanations:
            return
        oldest = self._explanations[0]
        reply = next(oldest.steps)
        if reply is not None:
            self._explanations.popleft()
            self._send(oldest.peer, reply)

    def _wanted(self, one: _Explanation) -> bool:
        """Whether somebody still waits for it: its gateway has not left, and has not given it up."""
        return one.peer in self._peers and (one.deadline_ns is None or time.monotonic_ns() < one.deadline_ns)

    def _replies(self, questions: list[wire.Question], now: Instant) -> list[bytes]:
        """A reply to each question, predicted as one batch; where that fails, as two."""
        rows = [row for question in questions for row in question.rows]
        times = [moment for question in questions for moment in (question.times or [now] * len(question.rows))]
        try:
            found = self._scorer.score(rows, times)
        except Unavailable as problem:
            # what is not there for one question of a batch is there for none: halves would only ask again
            return [failed(question, problem) for question in questions]
        except Exception as problem:  # noqa: BLE001 - the user's transforms and model run here: any failure is an answer, never an end
            if len(questions) == 1:
                return [failed(questions[0], problem)]
            half = len(questions) // 2
            return self._replies(questions[:half], now) + self._replies(questions[half:], now)
        return list(_parts(questions, found))


def _parts(questions: list[wire.Question], found: Scored) -> Iterator[bytes]:
    """The reply to each question of a batch."""
    end = 0
    for question in questions:
        start, end = end, end + len(question.rows)
        output = found.output[start:end]
        if found.views is None:
            yield wire.reply(question.tag, None, output)
        else:
            vectors = Vectors(found.views.mark, found.moments[start:end], found.values[start:end])
            yield wire.reply_with(question.tag, output, found.views, vectors)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def prepare(layout: Layout, ref: str, artifact: str) -> tuple[Scorer, History]:
    """Load the artifact, if its signature and every hash hold, ask its golden rows again, and read what its windows need. Raises FlyballError."""
    proofs.check(ref, artifact, proofs.shown(layout, ref, artifact))
    blobs = LocalBlobs(layout.blobs)
    predictor = load(artifact, blobs, layout.run / "code")
    if predictor.model.name != ref.partition("@")[0]:
        raise Corrupt(f"artifact {artifact[:12]} is of model {predictor.model.name}, not {ref}")
    preload_explanations(predictor)
    history = History(predictor.model, partial(store_of, layout))
    history.refresh()
    until = time.monotonic() + _VIEWS_S
    while history.absent and time.monotonic() < until:
        # a route waits for its worker: it is better to take part with all values than to answer without
        time.sleep(0.05)
        history.refresh()
    return Scorer(predictor, history), history


def _told(options: argparse.Namespace, layout: Layout) -> bool:
    """Do the slow imports, then wait to be told what to serve; False if nobody will tell. From then on it writes to its own log."""
    preload()
    import flyball.ledger.note  # noqa: F401 - what checks a signature takes a while as well

    with os.fdopen(options.wait) as wait:
        line = wait.readline()
    if not line:
        return False
    told = msgspec.json.decode(line, type=dict[str, str])
    options.ref, options.artifact, options.socket = told["ref"], told["artifact"], Path(told["socket"])
    log = os.open(layout.output(worker_name(options.ref, options.artifact)), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    return True


def _again(options: argparse.Namespace) -> list[str]:
    """The arguments of the same worker, started anew."""
    argv = ["-P", "-m", "flyball.serving.worker", "--root", str(options.root), "--ref", options.ref, "--artifact", options.artifact]
    return [*argv, *(["--socket", str(options.socket)] if options.socket else []), "--pipe", str(options.pipe)]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="flyball.serving.worker")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--ref", default="")
    parser.add_argument("--artifact", default="")
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--pipe", type=int, default=0)
    parser.add_argument("--wait", type=int, help="a descriptor on which the other arguments will come as a line of JSON")
    options = parser.parse_args(argv)
    if options.wait is None and not (options.ref and options.artifact):
        parser.error("give --ref and --artifact, or --wait")
    layout = Layout(options.root)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.wait is not None and not _told(options, layout):
        return 0
    name = worker_name(options.ref, options.artifact)
    try:
        if ownenv.wanted(layout, options.ref, options.artifact):
            proofs.check(options.ref, options.artifact, proofs.shown(layout, options.ref, options.artifact))
            ownenv.enter(layout, options.ref, options.artifact, _again(options))
        scorer, history = prepare(layout, options.ref, options.artifact)
    except Exception as problem:  # noqa: BLE001 - the version's own code runs here: whatever it raises is why the rollout fails
        reason = str(problem) if isinstance(problem, FlyballError) else f"{type(problem).__name__}: {problem}"
        write_json(layout.failed(name), {"reason": reason})
        print(f"{options.ref} cannot be served: {reason}", file=sys.stderr, flush=True)
        return 1
    listener = _listen(options.socket or layout.socket(name))
    traces = tracing.connect(os.environ.get(tracing.VARIABLE, ""), "worker", options.ref)
    worker = Worker(scorer, history, listener, options.pipe, traces)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    layout.failed(name).unlink(missing_ok=True)
    differs = differences(manifest_of(options.artifact, LocalBlobs(layout.blobs)))
    if differs:
        print(sentence(options.ref, differs), flush=True)
    ready = {"pid": os.getpid(), "ref": options.ref, "artifact": options.artifact, "environment": list(differs)}
    write_json(layout.ready(name), ready)
    try:
        worker.run()
    finally:
        layout.ready(name).unlink(missing_ok=True)
        if traces is not None:
            traces.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
