"""What a caller sends and gets back, and how versions are named."""

from __future__ import annotations

import re
from typing import Literal

from flyball.errors import BadInput
from flyball.records.base import BlobHash, Record

FieldType = Literal["int", "float", "bool", "str", "time"]
Task = Literal["binary", "multiclass", "regression", "forecast", "ranking"]
Role = Literal["champion", "challenger", "shadow", "former"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")
_SEMVER = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")


OnRequest = Literal["refuse", "impute", "mark"]


class Field(Record, frozen=True):
    """One value of a request row. Bounds are inclusive.

    `on_request`: what becomes of a row whose value is missing, out of bounds or not among the allowed ones: refused, asked with `usual` in
    its place (the median, or the most frequent value, of the version's training rows; None: there is none, and it is refused), or asked
    as it was sent, and said to have been so.
    """

    name: str
    type: FieldType
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    one_of: tuple[int | float | str | bool, ...] | None = None
    on_request: OnRequest = "refuse"
    usual: int | float | str | bool | None = None


class Signature(Record, frozen=True):
    """What a version takes (fields in order) and gives (the classes of its value, if it has classes).

    `threshold`: of a binary version with scores, from which score of the second class on that class is the value.

    Of a ranking, a request is one list: `item` is the field that names an item, `item_fields` are those that differ within a list; the others
    are the same for all of its items.
    """

    task: Task
    fields: tuple[Field, ...]
    classes: tuple[int | str | bool, ...] = ()
    threshold: float = 0.5
    item: str = ""
    item_fields: tuple[str, ...] = ()


class Manifest(Record, frozen=True):
    """What a version is made of: a blob of canonical JSON; its hash is the version's `artifact`.

    `file` is the loop file's path in the project, `code` the blob of `{path: text}`, `declaration` the blob of the canonical
    declaration, `files` the artifact's own files by name, `served` which form of the estimator among them answers ("skops" or "onnx"), `lock` the blob of every distribution
    that it was made with (`name==version` a line; empty: of before there were locks), `libraries` the versions of what they were made with. `trained_until` is the
    time of the newest row it was fitted on, `judged_until` that of the fit that was judged before it (None: of before it was kept).
    """

    model: str
    file: str
    code: BlobHash
    declaration: BlobHash
    files: dict[str, BlobHash]
    signature: Signature
    python: str
    libraries: dict[str, str]
    format: int = 1
    trained_until: int = 0
    judged_until: int | None = None
    served: str = "skops"
    lock: BlobHash = ""


class ModelRef(Record, frozen=True):
    """`model`, `model@1.4.0`, `model@champion`: parsed once, at the border."""

    model: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.model}@{self.version}" if self.version else self.model


def valid_name(text: str, what: str) -> str:
    """Return `text` if it may name a `what`; else raise BadInput. Names become paths, so the border is here."""
    if not _NAME.fullmatch(text):
        raise BadInput(
            f'"{text[:80]}" cannot name a {what}',
            why="a name is 1 to 64 of a-z 0-9 - _ and starts and ends with a letter or digit",
            fix=f"rename the {what}",
        )
    return text


def parse_ref(text: str) -> ModelRef:
    """Read `price-direction@1.4.0`, `price-direction@champion` or `price-direction`. Raises BadInput."""
    model, _, version = text.partition("@")
    valid_name(model, "model")
    if version and version not in ("champion", "challenger") and not _SEMVER.fullmatch(version):
        raise BadInput(f'"{version[:40]}" is not a version', fix="write major.minor.patch, champion or challenger")
    return ModelRef(model=model, version=version)
