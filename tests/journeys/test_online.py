"""Values of feature views in serving: new rows are seen without a restart, and a store that goes away costs answers their values, not their callers."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from flyball.serving.layout import read_json
from flyball.store.online_address import FILE

from .kit import champion_is, eventually

pytestmark = pytest.mark.process

VIEW = {
    '    "age": fb.column('[4:]: '"who": fb.column(str), "age": fb.column(',
    "def fit(": 'habits = fb.FeatureView("habits", loans, entity="who", features={"times": fb.window("60d").count(), "newest": "amount"})\n\n\ndef own(model, X):\n    return ((X["times"] + 1) / 1000).to_numpy()\n\n\ndef fit(',
    'label="good", owner': 'label="good", features=[habits], owner',
    ".fit(X, y)": ".fit(X.fill_null(0.0), y)",
    "train=fb.Train(fit,": "train=fb.Train(fit, predict=own,",
    'gates=[fb.metric("accuracy") >= 0.6]': "gates=[]",
}


def rows(project, more=()):
    """600 loans of ana and bo in turn, and more of ana's."""
    project.data()
    path = project.root / "data" / "loans.csv"
    head, *lines = path.read_text().splitlines()
    made = [f"{line},{'ana' if place % 2 else 'bo'}" for place, line in enumerate(lines)]
    made += [
        f"{amount},40,1,{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() - 600 + place))},ana"
        for place, amount in enumerate(more)
    ]
    project.write("data/loans.csv", "\n".join([f"{head},who", *made]) + "\n")


def times(up, who="ana", model="credit"):
    """How often the views say that somebody was seen, as the model's own answer says; the whole answer."""
    answer = up.http.post(f"/models/{model}/predict", json={"row": {"amount": 5.0, "age": 30, "who": who}})
    found = answer.json()
    score = found["predictions"][0].get("score") if answer.status_code == 200 else None
    return None if score is None else round(score * 1000) - 1, answer


def metric(up, name, **labels):
    for line in up.http.get("/metrics").text.splitlines():
        if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items()):
            return float(line.rpartition(" ")[2])
    return None


def features(project, *words):
    ended = subprocess.run(
        [sys.executable, "-c", "from flyball.cli import main; main()", "features", *words, "--json", "--project", str(project.root)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_new_rows_are_seen_by_the_worker_that_runs(project, start):
    rows(project)
    project.loop(change=VIEW)
    up = start()
    champion_is(project, "1.0.0")
    eventually(lambda: times(up)[0] == 300, lambda: f"{times(up)[1].text}\n{project.story()}")
    assert times(up, "nobody")[0] == 0
    worker = up.pid("credit@1.0.0")
    rows(project, more=[1.0, 2.0, 3.0])
    eventually(lambda: times(up)[0] == 303, lambda: f"{times(up)[1].text}\n{project.story()}")
    assert times(up, "bo")[0] == 300
    assert up.pid("credit@1.0.0") == worker
    assert 500 < metric(up, "flyball_feature_age_seconds", view="habits") < 800, "the newest row is ten minutes old"
    [view] = features(project, "list")["views"]
    assert (view["view"], view["state"], view["rows"], view["lag"]) == ("habits", "live", 603, 0)
    row = {"amount": 5.0, "age": 30, "who": "ana"}
    old = up.http.post("/models/credit/predict", json={"row": row, "time": "2020-01-01T00:00:00Z"})
    assert (old.status_code, old.json()["code"]) == (422, "not-kept"), old.text
    assert 'view "habits" keeps no rows online for 2020-01-01' in old.json()["detail"]
    early = up.http.post("/models/credit/explain", json={"row": row, "time": "2020-01-01T00:00:00Z"})
    assert (early.status_code, early.json()["code"]) == (422, "not-kept"), early.text
    told = up.http.post("/models/credit/explain", json={"row": row}).json()["explanations"][0]
    assert told["contributions"][0]["feature"] == "times", "what the model looks at: a view's value"
    assert told["contributions"][0]["value"] == 303, "as it is now"
    assert [one["contribution"] for one in told["contributions"][1:]] == [0.0] * (len(told["contributions"]) - 1)
    assert told["output"] == pytest.approx(0.304)
    code, err = up.stop()
    assert (code, "Traceback" in err) == (0, False), err


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, project):
    """(how it goes away, how it comes back)."""
    if request.param == "sqlite":
        file = project.root / ".flyball" / FILE

        def away():
            file.rename(file.with_suffix(".away"))
            # nobody can make another one there
            file.mkdir()

        def back():
            file.rmdir()
            file.with_suffix(".away").rename(file)

        return away, back
    postgres = request.getfixturevalue("postgres")
    project.write("flyball.toml", f'[settings]\ntick_ms = 200\nonline_url = "{postgres.database()}"\n')
    return postgres.stop, postgres.start


def test_a_store_that_goes_away_and_comes_back(store, project, start):
    away, back = store
    rows(project)
    project.loop(change=VIEW)
    project.loop("backed", change={**VIEW, "autonomy=": "fallback=1, autonomy="})
    up = start()
    for model in ("credit", "backed"):
        champion_is(project, "1.0.0", model)
        eventually(lambda model=model: times(up, model=model)[0] == 300, lambda model=model: times(up, model=model)[1].text)
    away()
    try:
        began = time.monotonic()
        answer = eventually(lambda: (found := times(up)[1]).status_code == 503 and found, lambda: times(up)[1].text)
        assert time.monotonic() - began < 10
        assert answer.json()["code"] == "unavailable"
        assert answer.json()["retry"] == "later"
        assert int(answer.headers["retry-after"]) >= 1
        _, degraded = times(up, model="backed")
        assert degraded.status_code == 200
        assert degraded.json()["fallback"] == "value"
        assert degraded.json()["predictions"][0]["value"] == 1
        assert metric(up, "flyball_requests_total", model="backed", status="fallback") >= 1
        tick = read_json(project.layout.run / "loop.json")["at"]
        eventually(lambda: read_json(project.layout.run / "loop.json")["at"] > tick, "the loop stands still without the store")
    finally:
        back()
    for model in ("credit", "backed"):
        eventually(lambda model=model: times(up, model=model)[0] == 300, lambda model=model: times(up, model=model)[1].text)
        assert "fallback" not in times(up, model=model)[1].json()
    rows(project, more=[1.0])
    eventually(lambda: times(up)[0] == 301, lambda: f"{times(up)[1].text}\n{project.output('control')[-2000:]}")
    code, err = up.stop()
    assert (code, "Traceback" in err) == (0, False), err
