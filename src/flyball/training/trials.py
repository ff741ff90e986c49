"""One trial of a search: a fit in small, judged on rows before the hold-out that it has not been given, not even to stop by.

The same function makes it in the run's own process and in a process beside it (`training/beside.py`), so that its outcome is the same.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import FrameType

import numpy as np

from flyball.declare.metrics import metric_info
from flyball.errors import BadInput
from flyball.records.training import Trial
from flyball.training.calls import OutOfTime, Parameters, Part, Pruned, RunLog
from flyball.training.fitting import Fitter
from flyball.training.judging import objective, score
from flyball.training.search import COMPLETE, FAILED, PRUNED, STOPPED, Asked, Former
from flyball.training.splits import Split

_ITS_OWN = ("fit-failed", "unusable-answers")
"""Codes of errors that another point may not have; any other would end every trial, and so ends the run."""


@dataclass
class TrialLog(RunLog):
    """The `run` of a trial: it ends the trial where its reports are below what others had reported by that step."""

    former: Former = field(default_factory=Former)
    sign: float = 1.0

    def report(self, step: int, value: float) -> None:
        """Tell how good the fit is, by the objective as people read it. Raises Pruned, BadInput."""
        super().report(step, value)
        self.reports[step] = turned = self.sign * float(value)
        best = max((each for each in self.reports.values() if not np.isnan(each)), default=turned)
        if self.former.hopeless(step, best):
            raise Pruned


@dataclass(frozen=True)
class Trials:
    """Makes the trials of one search. `cut`: the trials' own split (`Part.trial`, `splits.trial_split`); `fixed`: hyperparameters that are not searched."""

    fitter: Fitter
    cut: Split
    fixed: Parameters

    @cached_property
    def _validation(self) -> Part:
        return self.fitter.rows.part(self.cut.holdout, self.cut.end)

    @cached_property
    def sign(self) -> float:
        """1 where more of the objective is better, −1 where less is."""
        info = metric_info(objective(self.fitter.model))
        return -1.0 if info is not None and info.higher_is_better is False else 1.0

    def make(self, asked: Asked, former: Former, seconds: float | None = None) -> Trial:
        """One trial, which may take `seconds` (None: as long as it likes). Raises BadInput for what no other point would mend."""
        log = TrialLog(former=former, sign=self.sign)
        began, cpu = time.monotonic(), self.fitter.cpu_s
        value, state, why = None, COMPLETE, ""
        try:
            with _within(seconds):
                value = self._value(asked.point, log)
        except Pruned:
            state = PRUNED
        except OutOfTime:
            state, why = STOPPED, f"it took longer than {seconds:.3g} s: the rest is for the fits that follow"
        except BadInput as error:
            if error.code not in _ITS_OWN:
                raise
            state, why = FAILED, f"{error.what}; {error.why}"
        if value is not None and not np.isfinite(value):
            state, value, why = FAILED, None, "its objective is not defined on the validation rows"
        reports = {step: each for step, each in log.reports.items() if np.isfinite(each)}
        took = time.monotonic() - began
        return Trial(
            number=asked.number,
            parameters=dict(asked.point),
            state=state,
            value=value,
            seconds=round(took, 4),
            cpu_s=round(self.fitter.cpu_s - cpu, 4),
            why=why,
            reports=reports,
        )

    def _value(self, point: Parameters, log: RunLog) -> float:
        fitted = self.fitter.fit(self.cut, self.fixed | point, window="of the search", log=log)
        return score(self.fitter.model, self._validation, fitted.predict(self._validation.X), fitted.signature.classes)


@contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    """Raise OutOfTime in the main thread when the time is over; elsewhere, or without a time, nothing is watched."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    former = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
