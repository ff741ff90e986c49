"""The unmodified client of Triton Inference Server against a gateway with a real worker."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from flyball.serving import wal

from .conftest import Up
from .grades import CLASSES, grading

pytestmark = pytest.mark.process

ROWS: dict[str, tuple[str, np.ndarray]] = {
    "amount": ("FP64", np.array([1.5, np.nan, 3.0, 4.0])),
    "age": ("INT64", np.array([20, 30, 40, 50])),
    "member": ("BOOL", np.array([True, False, False, False])),
    "word": ("BYTES", np.array(["plain", "", "é" * 3, 'a "quoted"\nword'], dtype=np.object_)),
}
SCORES = [[0.875, 0.125, 0.0], [0.0, 1.0, 0.0], [0.0, 0.25, 0.75], [0.125, 0.825, 0.05]]
GRADES = ["high", "low", "näil", "low"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with grading(tmp_path_factory.mktemp("grades")) as up:
        yield up


@pytest.fixture
def client(up: Up) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{up.port}") as made:
        yield made


def inputs(*, binary: bool, rows: slice = slice(None), **changed: tuple[str, np.ndarray]) -> list[InferInput]:
    made = []
    for name, (datatype, values) in {**ROWS, **changed}.items():
        one = InferInput(name, list(values[rows].shape), datatype)
        made.append(one.set_data_from_numpy(values[rows], binary_data=binary))
    return made


def test_the_server_and_the_model_are_there_and_say_what_they_are(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("grades")
    assert client.is_model_ready("grades", "1.0.0")
    assert not client.is_model_ready("gardes")
    server = client.get_server_metadata()
    assert (server["name"], server["extensions"]) == ("flyball", ["binary_tensor_data"])
    assert server["version"]
    model = client.get_model_metadata("grades")
    assert {one["name"]: one["datatype"] for one in model["inputs"]} == {name: datatype for name, (datatype, _) in ROWS.items()}
    assert [(one["name"], one["datatype"], one["shape"]) for one in model["outputs"]] == [
        ("prediction", "BYTES", [-1]),
        ("probability", "FP64", [-1, 3]),
    ]


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False, None])
def test_bytes_and_json_are_answered_alike_in_either_form(
    up: Up, client: InferenceServerClient, binary_input: bool, binary_output: bool | None
) -> None:
    """Without outputs (None) the client asks for all of them as bytes."""
    wanted = None
    if binary_output is not None:
        wanted = [InferRequestedOutput(name, binary_data=binary_output) for name in ("probability", "prediction")]
    # a missing number has no place in the client's JSON
    rows = slice(None) if binary_input else slice(2, None)
    name = f"order-{binary_input}-{binary_output}"
    answer = client.infer("grades", inputs(binary=binary_input, rows=rows), request_id=name, outputs=wanted)
    found = answer.as_numpy("prediction")
    assert [one.decode() if isinstance(one, bytes) else one for one in found] == GRADES[rows]
    assert answer.as_numpy("probability") == pytest.approx(np.array(SCORES[rows]))
    document = answer.get_response()
    assert (document["model_name"], document["model_version"], document["id"]) == ("grades", "1.0.0", name)
    assert {"data" in output for output in document["outputs"]} == {binary_output is False}
    records = [record for file in wal.segments(up.loans.layout.log) for record in wal.read(file.path)[0]]
    (record,) = [one for one in records if one.request_id == name]
    sent = [None if one != one else one for one in ROWS["amount"][1][rows].tolist()]
    order = [field.name for field in up.loans.signature.fields]
    assert [row[order.index("amount")] for row in record.input] == sent
    assert [row[order.index("word")] for row in record.input] == ROWS["word"][1][rows].tolist()


def test_outputs_are_in_the_form_that_each_asks_for(client: InferenceServerClient) -> None:
    wanted = [InferRequestedOutput("prediction", binary_data=False), InferRequestedOutput("probability", binary_data=True)]
    answer = client.infer("grades", inputs(binary=True), outputs=wanted, model_version="1.0.0")
    assert answer.get_output("prediction")["data"] == GRADES
    assert answer.get_output("probability")["parameters"] == {"binary_data_size": 4 * 3 * 8}
    assert answer.as_numpy("probability") == pytest.approx(np.array(SCORES))
    only = client.infer("grades", inputs(binary=True), outputs=[InferRequestedOutput("probability")])
    assert only.as_numpy("prediction") is None
    assert only.as_numpy("probability") == pytest.approx(np.array(SCORES))


def test_narrow_numbers_and_columns_of_an_axis_of_their_own_are_taken(client: InferenceServerClient) -> None:
    narrow: dict[str, Any] = {
        "amount": ("FP32", np.array([[1.5], [np.nan], [3], [4]], dtype=np.float32)),
        "age": ("INT32", np.array([[20], [30], [40], [50]], dtype=np.int32)),
    }
    answer = client.infer("grades", inputs(binary=True, **narrow))
    assert [one.decode() for one in answer.as_numpy("prediction")] == GRADES


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"age": ("INT64", np.array([20, 30, 7, 50]))}, "422", ["/inputs/age/2", "7 is below 18"]),
        ({"age": ("FP64", np.array([20, 30, np.nan, 50]))}, "422", ["/inputs/1/datatype", 'send "datatype": "INT64"']),
        ({"member": ("BOOL", np.array([True]))}, "422", ["the columns differ in length"]),
        ({"amount": ("FP64", np.array([np.inf, 1, 2, 3]))}, "422", ["/inputs/amount/0", "infinite"]),
        ({"wrod": ("BYTES", np.array(["a"] * 4, dtype=np.object_))}, "422", ["/inputs/wrod", 'did you mean "word"?']),
        ({"word": ("BYTES", np.array([b"\xff"] * 4, dtype=np.object_))}, "422", ["/inputs/3/data/0", "not UTF-8"]),
        ({name: (kind, np.tile(values, 2_501)) for name, (kind, values) in ROWS.items()}, "413", ["10,004 rows", "10,000 at most"]),
    ],
)
def test_what_is_wrong_comes_to_the_caller_as_the_clients_own_exception(
    client: InferenceServerClient, changed: dict[str, Any], status: str, says: list[str]
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer("grades", inputs(binary=True, **changed))
    assert caught.value.status() == status
    assert all(one in caught.value.message() for one in says), caught.value.message()


def test_compressed_requests_and_unknown_models_are_refused_in_words(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"the body is encoded \(gzip\)") as caught:
        client.infer("grades", inputs(binary=True), request_compression_algorithm="gzip")
    assert caught.value.status() == "415"
    with pytest.raises(InferenceServerException, match='did you mean "grades"'):
        client.infer("gardes", inputs(binary=True))
    # an answer that may be compressed need not be
    answer = client.infer("grades", inputs(binary=True), response_compression_algorithm="gzip")
    assert [one.decode() for one in answer.as_numpy("prediction")] == GRADES


def test_an_answer_says_where_its_json_ends(up: Up) -> None:
    from tritonclient.http._utils import _get_inference_request

    body, length = _get_inference_request(inputs(binary=True), "", None, 0, False, False, 0, None, None)
    answer = up.http.post("/v2/models/grades/infer", content=body, headers={"Inference-Header-Content-Length": str(length)})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    told = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
    sizes = [output["parameters"]["binary_data_size"] for output in told["outputs"]]
    assert sum(sizes) == len(answer.content) - int(answer.headers["inference-header-content-length"])
    assert sizes[0] == sum(4 + len(one.encode()) for one in GRADES)
    assert set(GRADES) == set(CLASSES)
    packed = up.http.post("/v2/models/grades/infer", content=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415
