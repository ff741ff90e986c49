"""The hyperparameters of a run: fixed as its spec says, the rest searched, in the time that the run has for it.

How a search is carried out (how many trials at once, what an earlier attempt has made already) never changes what it finds; only running out of
time does, and that is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.records import codec
from flyball.records.training import RunSpec, Trial
from flyball.training.beside import Beside, Place
from flyball.training.cost import Meter
from flyball.training.fitting import Fitter, train_of
from flyball.training.judging import objective
from flyball.training.rows import MIN_HOLDOUT, MIN_TRAIN
from flyball.training.search import COMPLETE, PRUNED, STOPPED, Asked, Evaluate, Former, Searched, search
from flyball.training.splits import Split
from flyball.training.trials import Trials

Tell = Callable[[int, int, str, float | None], None]
"""Takes trials done and wanted, the objective's name and its best value as people read it (None: there is none yet)."""


@dataclass(frozen=True)
class Conduct:
    """How a search is carried out. `until`: the moment of `time.monotonic` at which the run is ended; `kept`: the file that holds the trials which
    an earlier attempt at the run has made; `at_once` > 1 needs `place`. `say` takes a line for the run's log.
    """

    until: float = float("inf")
    at_once: int = 1
    kept: Path | None = None
    place: Place | None = None
    say: Callable[[str], None] = lambda _line: None
    meter: Meter | None = None
    """What counts the run's time and memory; None: its own share of this process, without a price."""


ALONE = Conduct()
"""One trial after the other in this process, for as long as they take."""


def hyperparameters(spec: RunSpec, fitter: Fitter, cut: Split, *, gap: Span, fits_after: int, tell: Tell, conduct: Conduct) -> Searched:
    """Fixed hyperparameters as the spec says, the rest searched, judged on the hold-out of `cut`, the trials' own split.

    `fits_after`: fits that the run makes when the search is over. Raises BadInput.
    """
    unknown = sorted(set(spec.parameters) - set(fitter.defaults))
    if unknown:
        raise BadInput(
            f'fit has no hyperparameter "{unknown[0]}"', why=f"it has {', '.join(fitter.defaults) or 'none'}", fix="name one of those"
        )
    fixed = dict(spec.parameters)
    space = {name: each for name, each in train_of(fitter.model).search.items() if name not in fixed}
    if not space or spec.trials < 1:
        return Searched(fixed)
    _check_rows(fitter, cut, gap)
    name = objective(fitter.model)
    with ExitStack() as closing:
        trials = Trials(fitter, cut, fixed)
        tell(0, spec.trials, name, None)
        beside = None
        if conduct.at_once > 1 and conduct.place is not None:
            beside = closing.enter_context(Beside(trials, conduct.place, conduct.at_once))
        found = search(
            space,
            _kept(conduct, partial(_evaluate, trials, beside, conduct, fits_after)),
            trials=spec.trials,
            seed=spec.seed,
            first=fitter.defaults,
            tell=lambda done, best: tell(done, spec.trials, name, trials.sign * best if np.isfinite(best) else None),
            ends=partial(_out_of_time, conduct, fits_after, spec.trials),
        )
    if found.ended:
        conduct.say(found.ended)
    if beside is not None:
        fitter.cpu_s += sum(trial.cpu_s for trial in found.trials)
    return Searched(fixed | found.best, found.trials, found.ended)


def _check_rows(fitter: Fitter, cut: Split, gap: Span) -> None:
    halves = "; fit stops by as many others, X_valid" if fitter.stops_by else ""
    for rows, least, what, why in (
        (
            cut.end - cut.holdout,
            MIN_HOLDOUT,
            "to judge on",
            f"hyperparameters are judged on the rows just before the hold-out, never on the hold-out{halves}",
        ),
        (
            cut.stop - cut.valid if fitter.stops_by else MIN_HOLDOUT,
            MIN_HOLDOUT,
            "for fit to stop by (X_valid)",
            "a trial is not judged on the rows that its fit stops by: they are two halves of the validation",
        ),
        (
            fitter.learns(cut),
            MIN_TRAIN,
            "to fit on",
            f"labels take {gap} from the moment of prediction: rows within that of the validation are not known",
        ),
    ):
        if rows < least:
            raise BadInput(
                f'model "{fitter.model.name}": the search has {rows} rows {what}, and needs {least}',
                why=why,
                fix=f"widen train window, or search nothing: flyball train {fitter.model.name} --trials 0",
                code="too-few-rows",
            )


def _share(conduct: Conduct, fits_after: int) -> float | None:
    """Seconds that a trial may take now: each fit after the search learns from more rows, and is given twice as long as a trial."""
    left = conduct.until - time.monotonic()
    return None if left == float("inf") else left / (1 + 2 * fits_after)


def _out_of_time(conduct: Conduct, fits_after: int, wanted: int, done: Sequence[Trial]) -> str:
    share = _share(conduct, fits_after)
    longest = max((trial.seconds for trial in done), default=0.0)
    if share is None or not done or (longest < share and share > 0):
        return ""
    return (
        f"the search ended after {len(done)} of {wanted} trials and took the best so far: the longest took {longest:.3g} s, and what is left of "
        f"train timeout is for the {fits_after} fits that follow"
    )


def _evaluate(
    trials: Trials, beside: Beside | None, conduct: Conduct, fits_after: int, batch: Sequence[Asked], former: Former
) -> Iterable[Trial]:
    if beside is not None:
        yield from beside.make(batch, former, partial(_share, conduct, fits_after))
        return
    for asked in batch:
        yield trials.make(asked, former, _share(conduct, fits_after))


def _kept(conduct: Conduct, evaluate: Evaluate) -> Evaluate:
    """The same, where trials that an earlier attempt has made are taken from its file, and what is made now is added to it."""

    def made(batch: Sequence[Asked], former: Former) -> Iterable[Trial]:
        earlier = _read(conduct.kept) if conduct.kept is not None else {}
        again = [each for each in batch if each.number in earlier and earlier[each.number].parameters == each.point]
        if again:
            conduct.say(f"trial{'s' if len(again) > 1 else ''} {', '.join(str(each.number) for each in again)}: made by an earlier attempt")
        yield from (earlier[each.number] for each in again)
        new = [each for each in batch if each not in again]
        for trial in evaluate(new, former) if new else ():
            if trial.state not in (COMPLETE, PRUNED):
                conduct.say(f"trial {trial.number} {trial.state}: {trial.why}")
            # one that had no time may have it in the next attempt
            if conduct.kept is not None and trial.state != STOPPED:
                _append(conduct.kept, trial)
            yield trial

    return made


def _read(path: Path) -> dict[int, Trial]:
    """The trials in a file by their number, up to a line that was cut off."""
    found: dict[int, Trial] = {}
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            trial = codec.decode(line, Trial)
        except (msgspec.ValidationError, msgspec.DecodeError):
            break
        found[trial.number] = trial
    return found


def _append(path: Path, trial: Trial) -> None:
    """Add a line with one write, so that a killed process leaves a whole line or a torn one at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(codec.encode(trial) + b"\n")
