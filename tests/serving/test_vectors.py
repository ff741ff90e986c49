"""What views gave goes from the worker through the gateway into the log as it is, with what it was computed from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.declare.codec import decode, encode, view_digest
from flyball.features.fields import signature
from flyball.features.online.materialise import Version, fill
from flyball.features.online.plan import plan
from flyball.records.serving import Arm
from flyball.serving import ids, sealer, wal, wire
from flyball.serving.dispatch import Dispatcher
from flyball.serving.history import History
from flyball.serving.layout import Layout
from flyball.serving.limits import Limits
from flyball.serving.link import Done, Pending
from flyball.serving.metrics import Metrics
from flyball.serving.table import Served, Target
from flyball.serving.vectors import TakenUp, Vectors, packed, taken_up
from flyball.serving.worker import Scorer, _parts
from flyball.store.blobs import LocalBlobs
from flyball.store.online_address import open_online
from flyball.training.predictor import Predictor

HOUR = 3_600_000_000
pack = msgspec.msgpack.encode

payments = fb.Dataset(
    "payments",
    source="x.csv",
    time="ts",
    columns={"who": str, "amount": fb.column(float, known_after="1h"), "seen": fb.column("time", known_after="1h"), "good": int},
)
habits = fb.FeatureView(
    "habits",
    payments,
    entity="who",
    features={"spent": fb.window("7d").sum("amount"), "times": fb.window("7d").count(), "seen_last": fb.window("7d").last("seen")},
)


class Half:
    def predict(self, X: pl.DataFrame) -> np.ndarray:
        return X["double"].to_numpy() / 4


def fit(X, y):
    return Half()


MODEL = fb.Model(
    "pay",
    task="regression",
    data=payments,
    label="good",
    features=[habits],
    transforms={"double": pl.col("spent") * 2},
    train=fb.Train(fit, window="30d", holdout="7d"),
    framing=fb.Framing("test", horizon="2h"),
)
VIEWS = packed([TakenUp("habits", "d" * 64, ("spent", "times"), "payments", "c" * 64)])


def rows() -> pl.DataFrame:
    ts = pl.Series("ts", [hour * HOUR for hour in range(50)]).cast(pl.Datetime("us"))
    count = len(ts)
    return pl.DataFrame(
        {"who": ["ana", "bo"] * (count // 2), "amount": [0.1 * n for n in range(count)], "seen": ts, "good": [1] * count, "ts": ts}
    )


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    store = open_online("", tmp_path)
    fill(store, plan(habits), Version("c" * 64, rows()), 10**15)
    history = History(MODEL, lambda: store)
    history.refresh()
    return Scorer(Predictor(MODEL, signature(MODEL), Half()), history)


def test_a_worker_says_what_its_views_gave_before_any_transform_and_of_what_rows(scorer: Scorer) -> None:
    found = scorer.score([["ana"], ["nobody"]], [40 * HOUR, 41 * HOUR])
    assert found.moments == [38 * HOUR, 39 * HOUR], "T − horizon"
    # amounts are known an hour later: of ana's rows at even hours the last one known at 38 is that of 36
    assert found.values[0] == [pytest.approx(sum(0.1 * n for n in range(0, 37, 2))), 20, 36 * HOUR]
    assert found.values[1] == [0.0, 0, None]
    assert found.output[0][0] == pytest.approx(found.values[0][0] / 2)
    assert found.views is not None
    [taken] = msgspec.msgpack.decode(found.views.packed, type=list[TakenUp])
    assert taken == TakenUp(
        "habits",
        view_digest(habits),
        ("spent", "times", "seen_last"),
        "payments",
        "c" * 64,
        49 * HOUR,
    )


def test_each_question_of_a_batch_gets_its_own_rows_vectors(scorer: Scorer) -> None:
    questions = [wire.Question(1, None, [["ana"], ["bo"]]), wire.Question(2, None, [["ana"]])]
    found = scorer.score([row for one in questions for row in one.rows], [40 * HOUR, 41 * HOUR, 42 * HOUR])
    replies = [wire.decode_reply(frame[4:]) for frame in _parts(questions, found)]
    vectors = [msgspec.msgpack.decode(reply.vectors, type=Vectors) for reply in replies]
    assert [one.values for one in vectors] == [found.values[:2], found.values[2:]]
    assert [one.moments for one in vectors] == [[38 * HOUR, 39 * HOUR], [40 * HOUR]]
    assert {one.mark for one in vectors} == {found.views.mark}


def test_a_model_without_views_costs_neither_the_wire_nor_the_log_a_byte() -> None:
    reply = wire.decode_reply(wire.reply(1, None, [[1, None]])[4:])
    assert (bytes(reply.views), bytes(reply.vectors)) == (b"", b"")
    assert msgspec.msgpack.decode(wal.frame("answer", "a")[8:]) == msgspec.msgpack.decode(wal.frame("answer", "a", packed_vectors=b"")[8:])
    assert len(msgspec.msgpack.decode(wal.frame("answer", "a")[8:])) == 13


def test_a_gateway_copies_them_into_the_log_and_says_once_a_segment_whose_they_are(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    writer = wal.Writer(layout.log, "g0", reserve_bytes=0)
    dispatcher = Dispatcher(
        layout, writer=writer, ids=ids.Ids(ids.load_key(layout.id_key), 0), metrics=Metrics(layout, "g0"), limits=Limits()
    )

    async def answered() -> None:
        done = []
        for number in range(3):
            vectors = pack(Vectors(VIEWS.mark, [number], [[0.1 + 0.2, number]]))
            done.append(Done(pending(f"r{number}"), None, pack([[1, None]]), VIEWS.packed, vectors))
        dispatcher._settle(done)

    asyncio.run(answered())
    writer.close()
    records, _ = wal.read(writer.path)
    assert [record.kind for record in records] == ["signature", "views", "answer", "answer", "answer"]
    assert (records[1].request_id, taken_up(records[1].input)[0].features) == (VIEWS.mark, ("spent", "times"))
    assert [record.vectors.values for record in records[2:]] == [[[0.1 + 0.2, number]] for number in range(3)], "bit for bit"
    assert records[2].vectors.moments == [0]
    blobs = LocalBlobs(tmp_path / "b")
    sealed = sealer.seal(wal.segments(layout.log)[0], blobs)
    assert sealer.unseal(blobs.get(sealed.parquet_sha256)) == records


def pending(own: str) -> Pending:
    target = Target(Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000), "pay@1.0.0", "w")
    served = Served("pay", 1, None, None, None, target, {}, (), None, ("who",))  # type: ignore[arg-type]
    return Pending(
        request_id=own,
        served=served,
        target=target,
        role="champion",
        key_hash="",
        rows=1,
        packed=pack([["ana"]]),
        times=None,
        marks=None,
        picked_ns=0,
        deadline_ns=0,
        future=asyncio.get_running_loop().create_future(),
    )


def test_a_log_of_version_1_is_still_read(tmp_path: Path) -> None:
    writer = wal.Writer(tmp_path / "log", "g0", reserve_bytes=0)
    writer.append([wal.frame("answer", "a", version="m@1.0.0", rows=1, packed_input=pack([[1]]), packed_output=pack([[1, 0.5]]))])
    writer.close()
    data = writer.path.read_bytes()
    writer.path.write_bytes(b"flybwal\x01" + data[8:])
    [record] = wal.read(writer.path)[0]
    assert (record.request_id, record.vectors) == ("a", None)
    former = tmp_path / "former.parquet"
    pl.read_parquet(sealer.parquet([record])).drop("vectors").write_parquet(former)
    assert sealer.unseal(former.read_bytes()) == [record]


def test_the_version_of_a_view_is_that_of_its_values_alone() -> None:
    def digest(**more: object) -> str:
        given = {"entity": "who", "features": {"spent": fb.window("7d").sum("amount")}} | more
        return view_digest(fb.FeatureView("habits", payments, **given))

    assert digest() == digest(owner="risk", about="what they spend") == digest(key="other")
    others = [digest(ttl="30d"), digest(features={"spent": fb.window("5d").sum("amount")}), digest(entity=None)]
    assert len({digest(), *others}) == 4
    assert [view_digest(view) for view in decode(encode(MODEL)).features] == [view_digest(habits)], "also of a declaration that was stored"
