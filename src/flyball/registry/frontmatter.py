"""The YAML that a model card begins with, as the Hugging Face Hub reads it: what a version is, and every metric with the data it was measured on. Pure.

Source: the Hub's model card metadata, `model-index` as in Papers with Code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from flyball.declare.model import Model
from flyball.records.estimates import Estimate
from flyball.records.models import Task
from flyball.records.training import RunResult
from flyball.records.versions import VersionRow

PIPELINES: Mapping[Task, str] = MappingProxyType(
    {
        "binary": "tabular-classification",
        "multiclass": "tabular-classification",
        "regression": "tabular-regression",
        "forecast": "time-series-forecasting",
    }
)
"""The Hub's name of each task; it has none for a ranking."""

SPLIT = "hold-out"

# what a reader of YAML 1.1 refuses, or takes for the end of a line, where it stands as it is
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def front_matter(model: Model, row: VersionRow, result: RunResult, *, served: str = "") -> str:
    """The front matter with its fences. `served`: the form of the artifact ("skops", "onnx"), where it is known."""
    pipeline = PIPELINES.get(model.task)
    told: dict[str, Any] = {
        "license": row.tags.get("license") or model.tags.get("license") or "unknown",
        "library_name": "flyball",
        **({"pipeline_tag": pipeline} if pipeline else {}),
        "tags": list(
            dict.fromkeys(["flyball", model.task, *([served] if served else []), *(f"{name}:{value}" for name, value in _tags(model, row))])
        ),
        "datasets": list(row.data),
        "metrics": [name for name, found in result.metrics.items() if found.value is not None],
    }
    results = _results(model, row, result, pipeline or model.task)
    if results:
        told["model-index"] = [{"name": row.model, "results": results}]
    return "\n".join(["---", *_block(told, ""), "---"]) + "\n"


def _tags(model: Model, row: VersionRow) -> list[tuple[str, str]]:
    return [(name, value) for name, value in {**model.tags, **row.tags}.items() if name != "license" and value]


def _results(model: Model, row: VersionRow, result: RunResult, task: str) -> list[dict[str, Any]]:
    """One result for the whole hold-out, and one for each value of a slice, which is the data set's `config` there."""
    data = model.data.name
    whole = {"name": data, "type": data, "split": SPLIT, **({"revision": row.data[data]} if data in row.data else {})}
    parts: list[tuple[str, Mapping[str, Estimate]]] = [("", result.metrics), *result.by_slice.items()]
    return [
        {
            "task": {"type": task, "name": f"{model.task}: {model.label_column}"},
            "dataset": whole if not part else {**whole, "name": f"{data}, {part}", "config": part},
            "metrics": metrics,
        }
        for part, found in parts
        if (metrics := [_metric(name, each) for name, each in found.items() if each.value is not None])
    ]


def _metric(name: str, found: Estimate) -> dict[str, Any]:
    interval = {} if found.low is None or found.high is None else {"low": found.low, "high": found.high, "level": 0.95}
    return {"type": name, "value": found.value, "name": name, "args": {"n": found.n, **interval}}


def _block(value: Any, indent: str) -> Iterator[str]:
    """Mappings and lists in block style, everything else as `scalar` writes it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if _nested(item):
                yield f"{indent}{key}:"
                yield from _block(item, f"{indent}  ")
            else:
                yield f"{indent}{key}: {scalar(item)}"
        return
    for item in value:
        lines = list(_block(item, "")) if _nested(item) else [scalar(item)]
        yield f"{indent}- {lines[0]}"
        yield from (f"{indent}  {line}" for line in lines[1:])


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping | Sequence) and not isinstance(value, str) and bool(value)


def scalar(value: Any) -> str:
    r"""A value as YAML 1.1 and 1.2 both read it: JSON, which is YAML, with what one of them refuses written out.

    >>> scalar('no: "yes" # é'), scalar(1e-05), scalar([])
    ('"no: \\"yes\\" # é"', '1.0e-05', '[]')
    """
    if isinstance(value, float):
        text = repr(value)
        # without a point, YAML 1.1 takes a number with an exponent for text
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    # escaped are not all that ASCII lacks: of two escapes for one character, YAML makes two
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(value, ensure_ascii=False))
