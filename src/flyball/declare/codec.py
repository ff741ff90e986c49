"""A declaration as canonical JSON (RFC 8785) and back, and its digests.

Every value of the vocabulary is an object with its name under "$"; mappings are lists of pairs, for the order of columns and
features is part of what is declared. Functions and expressions become references that name their code and cannot be called, so
that whoever decodes a declaration runs nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import rfc8785

from flyball.clock import Span
from flyball.declare import checks, columns, data, functions, model, policy, source, training, units, views
from flyball.declare.data import Dataset
from flyball.declare.functions import Frame, frame_digest, is_expression, is_frame, reference
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import DeclarationError
from flyball.records.rollouts import Step

FORMAT = 2
"""Version of the body's form. A change of meaning counts it up, and `decode` refuses what it does not know."""

_CLASSES: dict[str, type[Any]] = {
    kind.__name__: kind
    for module in (functions, units, columns, data, views, checks, training, policy, model)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind)
}
_FIELDS = {name: frozenset(field.name for field in fields(kind)) for name, kind in _CLASSES.items()}
_WHOLE = 2**53
_WRITTEN_OUT = 1e21
"""From here on canonical JSON writes a number with its exponent."""

_LATER: Mapping[str, Mapping[str, Any]] = {
    "Drift": {"window": None},
    "Playbook": dict.fromkeys(("policy_violation", "retrain_storm", "complaint", "label_drift", "outcome", "feedback")),
}
"""Fields that are left out where they have this value: what was declared before there were any is the same as ever, to a digest too."""

_DATA_POLICY = (
    "freshness",
    "min_rows",
    "owner",
    "licence",
    "about",
    "gap",
    "ahead",
    "disorder",
    "on_breach",
    "keep",
    "references",
    "untold",
)
_VIEW_OF_DATA = ("name", "columns", "time", "arrived")
_TRAIN_POLICY = ("timeout", "memory")
_VERSION_FIELDS = ("task", "data", "label", "train", "inputs", "features", "transforms", "group", "item", "weight")


class Digests(NamedTuple):
    """`version` (a change needs a new run) and `policy` (a change takes effect when applied), each `sha256:` and 64 hex digits.

    `gates` is of the part of the policy that judges a version: its gates, those that its risk implies, its suites, the slices that they look at, and
    what errors cost.
    """

    version: str
    policy: str
    gates: str


def encode(declared: Model) -> str:
    """Write a model as canonical JSON. Raises DeclarationError for a value that JSON cannot carry."""
    return rfc8785.dumps({"format": FORMAT, "model": _out(declared, f'Model "{declared.name}"')}).decode()


def decode(text: str) -> Model:
    """Read what `encode` wrote. Functions and expressions are references. Raises DeclarationError for another format.

    What several declarations say alike, such as one data set, is one object in all of them.
    """
    try:
        body = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        form = msgspec.json.decode(body.get("format", b"null"))
        if form != FORMAT:
            raise DeclarationError(f"the declaration has format {form!r}", why=f"this flyball reads format {FORMAT}", fix="apply it again")
        found = _parts(body["model"])
    except (ValueError, KeyError, AttributeError, TypeError, msgspec.MsgspecError) as error:
        raise DeclarationError("the stored declaration cannot be read", why=str(error), fix="apply it again") from error
    if not isinstance(found, Model):
        raise DeclarationError("the stored declaration is not a model's", fix="apply it again")
    return found


_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


def _parts(raw: msgspec.Raw) -> Any:
    """An object whose fields are read by themselves, each once however often it was written."""
    parts = _RAW.decode(raw)
    tag = msgspec.json.decode(parts.pop("$"))
    values = {
        name: tuple(map(_parts, _RAWS.decode(part))) if (tag, name) == ("Model", "features") else _once(bytes(part))
        for name, part in parts.items()
    }
    return _filled(tag, values)


@lru_cache(maxsize=4096)
def _once(text: bytes) -> Any:
    return _in(msgspec.json.decode(text))


def digests(text: str) -> Digests:
    """The digests of an encoded declaration."""
    body = json.loads(text)["model"]
    version = {key: body[key] for key in _VERSION_FIELDS}
    policy = {key: value for key, value in body.items() if key not in _VERSION_FIELDS}
    version["horizon"] = body["framing"]["horizon"]
    policy["framing"] = {key: value for key, value in body["framing"].items() if key != "horizon"}
    # a high risk asks for a person's approval, where releases are not left to the loop (declare/framing.py)
    risk = [["high", body["autonomy"]["release"]]] if body["framing"]["risk"] == "high" else []
    suites = [body["suites"]] if body["suites"] else []
    # what passed at other prices has not passed at these; an empty map says nothing
    costs = [["costs", body["costs"]]] if body["costs"]["of"] else []
    gates = _without_policy([body["gates"], body["slices"], *suites, *risk, *costs], [])
    kept: list[Any] = []
    version, policy = _without_policy(version, kept), _without_policy(policy, kept)
    policy["also"] = kept
    return Digests(_sha(version), _sha(policy), _sha(gates))


def features_digest(text: str) -> str:
    """What names the features of an encoded declaration: inputs, views and transforms, over these columns, so long before. `sha256:` and 64 hex digits."""
    body = json.loads(text)["model"]
    made = {name: body[name] for name in ("inputs", "features", "transforms")}
    return _sha(_without_policy(made | {"columns": body["data"]["columns"], "horizon": body["framing"]["horizon"]}, []))


def view_digest(view: FeatureView) -> str:
    """The version of a feature view: a digest of all that its values depend on, whichever column looks it up. 64 hex digits."""
    body = _without_policy(_out(view, f'FeatureView "{view.name}"'), [])
    body.pop("key")
    body["data"] = {key: body["data"][key] for key in _VIEW_OF_DATA}
    return _sha(body).removeprefix("sha256:")


def source_digest(dataset: Dataset) -> str:
    """What tells where a data set's rows come from, however its contract changes. `sha256:` and 64 hex digits."""
    return _sha(_without_policy(_out(dataset.source, f'Dataset "{dataset.name}"'), []))


def short(digest: str) -> str:
    """The first eight hex digits of a digest, as people see it."""
    return digest.removeprefix("sha256:")[:8]


def _sha(value: Any) -> str:
    return "sha256:" + hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _without_policy(node: Any, kept: list[Any]) -> Any:
    """Leave out of data sets, columns, views and training what changes no version, and keep it aside."""
    if isinstance(node, list):
        return [_without_policy(item, kept) for item in node]
    if not isinstance(node, dict):
        return node
    aside = {
        "Dataset": _DATA_POLICY,
        "Train": _TRAIN_POLICY,
        "Column": ("about", "on_breach", "unseen", "shift"),
        "FeatureView": ("owner", "about"),
    }.get(node.get("$", ""), ())
    kept.extend(node[key] for key in aside)
    if node.get("$") == "Function":
        return {"$": "Function", "digest": node["digest"]}
    return {key: _without_policy(value, kept) for key, value in node.items() if key not in aside}


def _out(value: Any, place: str) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Span):
        return {"$": "Span", "of": str(value)}
    if isinstance(value, int):
        return int(value) if abs(value) < _WHOLE else {"$": "int", "of": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        raise DeclarationError(
            f"{place} is {value!r}", why="a declaration has finite numbers alone", fix="write the largest that there may be"
        )
    if isinstance(value, float):
        # canonical JSON writes it as a whole number, which nobody could tell from one
        whole = value.is_integer() and abs(value) < _WRITTEN_OUT
        return {"$": "float", "of": int(value) if abs(value) < _WHOLE else repr(value)} if whole else value
    if isinstance(value, Step):
        return {"$": "Step", "kind": value.kind, "weight": value.weight, "bake": _out(value.bake, place), "labels": value.labels}
    if is_expression(value):
        value = reference(value)
    if is_dataclass(value) and type(value).__name__ in _CLASSES:
        later = _LATER.get(type(value).__name__, {})
        named = {
            field.name: _out(getattr(value, field.name), f"{place} {field.name}")
            for field in fields(value)
            if field.name not in later or getattr(value, field.name) != later[field.name]
        }
        return {"$": type(value).__name__} | named
    if isinstance(value, Mapping):
        return {"$": "map", "of": [[key, _out(item, f"{place}[{key!r}]")] for key, item in value.items()]}
    if isinstance(value, tuple | list):
        return [_out(item, place) for item in value]
    if is_frame(value):
        return _out(Frame(frame_digest(value)), place)
    if callable(value):
        return _out(source.function(value), place)
    raise DeclarationError(
        f"{place}: {type(value).__name__} {value!r:.80} cannot be part of a declaration",
        why="a declaration is numbers, text, spans, checks, functions and expressions",
        fix="pass one of those",
    )


def _in(node: Any) -> Any:
    if isinstance(node, list):
        return tuple(_in(item) for item in node)
    if not isinstance(node, dict):
        return node
    tag = node["$"]
    if tag == "Span":
        return _span(node["of"])
    if tag == "float":
        return float(node["of"])
    if tag == "int":
        return int(node["of"])
    if tag == "map":
        return {key: _in(item) for key, item in node["of"]}
    values = {key: _in(value) for key, value in node.items() if key != "$"}
    if tag == "Step":
        return Step(**values)
    return _filled(tag, values)


def _filled(tag: str, values: dict[str, Any]) -> Any:
    kind = _CLASSES[tag]
    values = {**_LATER.get(tag, {}), **values}
    missing = _FIELDS[tag] ^ values.keys()
    if missing:
        raise KeyError(f"{tag} has other fields: {', '.join(sorted(missing))}")
    made = object.__new__(kind)
    units.fill(made, values)
    return made


_span = lru_cache(maxsize=1024)(Span.parse)
