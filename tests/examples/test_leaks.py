"""The loop whose label stands in the same row as the price it is made from is flagged as leaking; honest loops are not."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flyball.cli.init import rows
from flyball.cli.init_text import FILES
from flyball.loop.checking import CheckReport, check_project

ROOT = Path(__file__).parent.parent.parent
HORIZON = 'horizon="4h", act_within="1h", '
pytestmark = pytest.mark.process


def leaks(checked: CheckReport) -> list[str]:
    assert [str(problem) for problem in checked.problems] == []
    return [f"{warning.what} | {warning.why}" for warning in checked.warnings if warning.what.startswith("leak")]


def project(root: Path, loop: str, **data: bytes | str) -> Path:
    """A project of one loop file and its data files (`__` for the slash)."""
    (root / "data").mkdir(parents=True)
    (root / "flyball.toml").touch()
    (root / "loop.py").write_text(loop)
    for name, content in data.items():
        file = root / "data" / name.replace("__", "/").replace("_csv", ".csv").replace("_parquet", ".parquet")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def market(days: int = 120) -> str:
    """Half-hourly prices with a daily cycle and shocks; `up` says whether the price stands above the mean of the day before it."""
    rng = np.random.default_rng(0)
    n = days * 48
    shocks = np.zeros(n)
    for place in range(1, n):
        shocks[place] = 0.9 * shocks[place - 1] + rng.normal(0, 0.03)
    price = np.clip(0.4 + 0.1 * np.sin(np.arange(n) / 48 * 2 * np.pi) + shocks, 0, 1)
    frame = pl.DataFrame({"nswprice": price, "nswdemand": np.clip(price + rng.normal(0, 0.1, n), 0, 1)})
    frame = frame.with_columns(
        pl.datetime_range(pl.datetime(1996, 5, 7), pl.datetime(1996, 5, 7) + pl.duration(minutes=30 * (n - 1)), "30m", eager=True)
        .dt.strftime("%Y-%m-%dT%H:%M:%S")
        .alias("ts"),
        ((pl.int_range(n) // 48) % 7 + 1).alias("day"),
        (pl.int_range(n) % 48 / 47).alias("period"),
        pl.lit(0.3).alias("vicprice"),
        pl.lit(0.3).alias("vicdemand"),
        pl.lit(0.3).alias("transfer"),
        (pl.col("nswprice") > pl.col("nswprice").rolling_mean(48, min_samples=1)).cast(pl.Int64).alias("up"),
    )
    return frame.write_csv()


def original(transforms: str = "") -> str:
    """The electricity loop as it is usually posed: each row's own columns, and nothing ahead."""
    text = (ROOT / "examples" / "electricity" / "loop.py").read_text()
    assert text.count(HORIZON) == 1
    text = text.replace(HORIZON, "")
    gap = 'pl.col("price") - pl.col("price_day")'
    assert text.count(gap) == 1
    return text.replace(gap, transforms or gap)


def honest() -> str:
    return (ROOT / "examples" / "electricity" / "loop.py").read_text()


def test_the_original_framing_is_flagged_without_any_data(tmp_path: Path) -> None:
    [found] = leaks(check_project(project(tmp_path / "p", original())))
    assert found.startswith('leak: label "up" is known at the moment of prediction')
    assert "may be read off them: nswprice, nswdemand, vicprice, vicdemand" in found
    assert leaks(check_project(project(tmp_path / "q", honest()))) == []


def test_the_original_framing_is_flagged_with_figures_on_generated_prices(tmp_path: Path) -> None:
    own = 'pl.col("nswprice") - pl.col("price_day")'
    found = leaks(check_project(project(tmp_path / "p", original(own), electricity_csv=market()), data=True))
    assert any('"nswprice" is known no earlier than the label and says more of it' in one for one in found), found
    assert any('feature "price_gap" alone nearly gives the label: accuracy 0.9' in one for one in found), found
    assert leaks(check_project(project(tmp_path / "q", honest(), electricity_csv=market()), data=True)) == []


def test_the_original_framing_is_flagged_with_figures_on_the_real_prices_and_the_honest_one_is_not(tmp_path: Path) -> None:
    real = (shared() / "data" / "electricity.csv").read_bytes()
    found = leaks(check_project(project(tmp_path / "p", original(), electricity_csv=real), data=True))
    assert any('"nswprice" is known no earlier' in one and "AUC 0.78" in one and "gives AUC 0.73" in one for one in found), found
    own = 'pl.col("nswprice") - pl.col("price_day")'
    found = leaks(check_project(project(tmp_path / "q", original(own), electricity_csv=real), data=True))
    assert any('feature "price_gap" alone nearly gives the label: accuracy 0.99' in one for one in found), found
    assert leaks(check_project(project(tmp_path / "r", honest(), electricity_csv=real), data=True)) == []


@pytest.mark.parametrize("name", ["electricity", "bikes"])
def test_the_loops_of_real_data_are_not_flagged(tmp_path: Path, name: str) -> None:
    data = {"electricity": "electricity.csv", "bikes": "bike_sharing.csv"}[name]
    real = (shared() / "data" / data).read_bytes()
    root = project(tmp_path / "p", (shared() / "loops" / f"{name}.py").read_text(), **{data.replace(".", "_"): real})
    assert leaks(check_project(root, data=True)) == []


def test_the_credit_loop_is_not_flagged_on_rows_that_hold_its_contract(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 6_000
    start = np.datetime64("2020-01-01T00:00:00", "us")
    amount, income = rng.uniform(500, 100_000, n), rng.lognormal(10.5, 0.4, n)
    frame = pl.DataFrame(
        {
            "application_id": [f"a{place}" for place in range(n)],
            "customer_id": [f"c{place % 4_000}" for place in range(n)],
            "applied_at": start + np.arange(n) * np.timedelta64(6, "h"),
            "amount": amount,
            "income": income,
            "debt": rng.lognormal(9, 0.6, n),
            "accounts": rng.poisson(3, n),
            "purpose": rng.choice(["car", "debt", "home", "medical", "other"], n),
            "base_rate": 2 + np.arange(n) / n,
            "sex": rng.choice(["f", "m"], n),
            "age_band": rng.choice(["18-25", "26-40", "41-65", "65+"], n),
            "defaulted": rng.random(n) < 1 / (1 + np.exp(3 - amount / income)),
        }
    )
    root = project(tmp_path / "p", (shared() / "loops" / "credit.py").read_text())
    (root / "data" / "applications").mkdir()
    frame.write_parquet(root / "data" / "applications" / "all.parquet")
    assert leaks(check_project(root, data=True)) == []


def test_a_new_project_is_not_flagged(tmp_path: Path) -> None:
    root = project(tmp_path / "p", FILES["loop.py"], demand_csv="".join(rows(0, 1_750_000_000_000_000)))
    assert leaks(check_project(root, data=True)) == []


def test_the_fraud_loop_compiles_and_its_stream_and_its_secret_are_refused_only_where_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPUTES_URL", raising=False)
    root = project(tmp_path / "p", (shared() / "loops" / "fraud.py").read_text())
    assert leaks(check_project(root)) == []
    refused = {problem.where: problem.what for problem in check_project(root, data=True).problems}
    assert refused.keys() == {'Data set "payments"', 'Data set "chargebacks"'}
    assert "kafka://" in refused['Data set "payments"']
    assert "DISPUTES_URL" in refused['Data set "chargebacks"']


def shared() -> Path:
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA does not say where the real data and loop files are")
    return Path(folder)
