"""The files of a new project, as text."""

from __future__ import annotations

LOOP = '''"""How much power will the town need in six hours?"""

import flyball as fb
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

town = fb.Dataset(
    "town",
    source="data/demand.csv",
    time="ts",
    min_rows=1_000,
    columns={
        "hour": fb.column(int, between=(0, 23), known_after="-7d"),
        "weekday": fb.column(int, between=(1, 7), known_after="-7d"),
        # a forecast: it is there a day before the hour it is about
        "temperature": fb.column(float, between=(-40, 50), known_after="-1d"),
        "demand": fb.column(float, between=(0, 500)),
    },
)
recent = fb.FeatureView(
    "recent",
    town,
    features={
        "demand_now": fb.window("1h").last("demand"),
        "demand_day": fb.window("1d").mean("demand"),
        "demand_week": fb.window("7d").mean("demand"),
    },
)


def fit(X: pl.DataFrame, y: pl.Series, *, max_depth: int = 6, learning_rate: float = 0.1) -> object:
    return HistGradientBoostingRegressor(max_depth=max_depth, learning_rate=learning_rate, random_state=0).fit(X, y)


demand = fb.Model(
    "demand",
    task="regression",
    data=town,
    label="demand",
    features=[recent],
    owner="you",
    framing=fb.Framing("buy the right amount of power", horizon="6h", act_within="1h", kpi="cost of imbalance", risk="low"),
    transforms={"rising": pl.col("demand_now") - pl.col("demand_day")},
    train=fb.Train(fit, search={"max_depth": fb.integers(2, 8)}, trials=6, window="120d", holdout="7d"),
    gates=[fb.metric("mae") <= fb.baseline, fb.metric("mae") <= fb.champion * 1.05],
    rollout=fb.Rollout(guards=[fb.metric("mae") <= fb.champion * 1.10, fb.metric("latency_p99") <= "100ms"], evidence="gate")
    .shadow("6h")
    .canary("25%", "6h"),
    monitors=[fb.drift(), fb.metric("mae").over("7d") <= fb.at_release * 1.5],
    retrain=fb.Retrain(when=[fb.metric("mae") > fb.at_release], every="30d", cooldown="10d"),
    autonomy="act",
)
'''

TOML = """# flyball looks for loop.py and loops/**.py beside this file. Settings (all have defaults):
[settings]
# port = 7117
"""

README = """# A model that is kept true

`loop.py` declares one model, `demand`, and everything that keeps it true. `data/demand.csv` is a made-up year of hourly demand with a
yearly and a daily cycle; after 250 days cold begins to raise demand twice as much, as if more heating had become electric.

```sh
flyball check --data          # every problem at once; the rows against their contract
flyball train demand          # a run, its gates, a version
flyball up                    # gateways, workers and the loop, until Ctrl-C
```

and in another terminal:

```sh
flyball status
echo '{"hour": 18, "weekday": 3, "temperature": 4.5}' | flyball predict demand -
flyball backtest loop.py --data data/demand.csv
flyball audit verify
```

New rows go to the end of `data/demand.csv`: the file is read again when it changes. Change `loop.py` while flyball is up and it is
applied: another `fit` makes a candidate, another gate judges the next one.
"""

GITIGNORE = ".flyball/\n__pycache__/\n"

FILES = {"flyball.toml": TOML, "loop.py": LOOP, "README.md": README, ".gitignore": GITIGNORE}
"""Path in the project → text."""
