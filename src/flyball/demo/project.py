"""The demo's project on disk: the loop file, and the data set that an upstream job goes on writing.

Nothing here is special to the demo but the names: a user's project looks the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flyball.clock import Instant
from flyball.demo.world import Application

MODEL = "lending"
LOOP_FILE = "loop.py"
LABEL_DELAY_S = 1.0
"""`known_after` of the label in the loop file; labels are sent a little earlier, so that they are there in time."""

_ROUTINE = "HistGradientBoostingClassifier(max_iter=60, max_depth=4, min_samples_leaf=10, random_state=0)"
_HASTY = "GradientBoostingClassifier(n_estimators=40, max_depth=3, subsample=0.5, random_state=0)"
_WATCHED = (
    ('monitors=[fb.drift(), fb.metric("accuracy").over("1m") >= fb.at_release - 0.05]', "monitors=[]"),
    ('    retrain=fb.Retrain(when=[fb.drift()], cooldown="8s"),\n', ""),
)


class Matured(NamedTuple):
    """A decided application whose outcome is known by now, or never will be: `defaulted` is None for a refused one."""

    application: Application
    applied_at: Instant
    defaulted: bool | None


def loop_text(*, sabotage: bool = False) -> str:
    """The loop file; `sabotage` takes the monitors and the triggers of retraining out of it (the detector of loss is a setting)."""
    text = (Path(__file__).parent / "lending.py").read_text(encoding="utf-8")
    if sabotage:
        for watched, blind in _WATCHED:
            text = _changed(text, watched, blind)
    return text


def hasty_text(text: str) -> str:
    """The loop file after somebody replaced the estimator by one that is as good on every row known so far, and cannot take a missing income."""
    changed = _changed(text, _ROUTINE, _HASTY)
    changed = _changed(changed, "import HistGradientBoostingClassifier", "import GradientBoostingClassifier")
    return _changed(changed, "Boosted trees, which take a missing income as it is.", "Boosted trees of the older kind.")


def _changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"the loop file no longer has {old!r} once"
    return text.replace(old, new)


def write_project(root: Path, history: Sequence[Matured], *, sabotage: bool = False) -> None:
    """Make the project: settings, loop file, and the history that the first version learns from."""
    (root / "data").mkdir(parents=True)
    # one second stands for a day, so the loop looks more often than each second
    settings = "[settings]\ntick_ms = 250\n" + ("detector = 0\n" if sabotage else "")
    (root / "flyball.toml").write_text(settings, encoding="utf-8")
    (root / LOOP_FILE).write_text(loop_text(sabotage=sabotage), encoding="utf-8")
    write_rows(root, "history", history)


def write_rows(root: Path, name: str, rows: Sequence[Matured]) -> None:
    """What the upstream job hands over, one file at a time: whole or not at all."""
    import polars as pl

    numbers = dict.fromkeys(("amount", "income", "debt", "base_rate"), pl.Float64)
    columns = {column: [one.application.row[column] for one in rows] for column in (*numbers, "accounts", "purpose")}
    frame = pl.DataFrame(columns, schema_overrides={**numbers, "accounts": pl.Int64, "purpose": pl.String}).with_columns(
        pl.Series("applied_at", [one.applied_at for one in rows], pl.Int64).cast(pl.Datetime("us")),
        pl.Series("defaulted", [one.defaulted for one in rows], pl.Boolean),
    )
    scratch = root / "data" / f".{name}.tmp"
    frame.write_parquet(scratch)
    scratch.rename(root / "data" / f"{name}.parquet")
