"""Packing a fitted object into blobs and loading it again, so that a version is the same wherever it runs.

An artifact is a manifest: hashes of the estimator's files, of the code snapshot, of the declaration, and of golden rows with their
answers. Loading verifies every hash, reads the estimator without pickle, and asks the golden rows again before anybody else may ask.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import polars as pl
import rfc8785

from flyball.declare.functions import Function
from flyball.declare.model import Model
from flyball.errors import BadInput, Corrupt, NotFound, Refused
from flyball.records import codec
from flyball.records.models import Manifest
from flyball.store.blobs import Blobs
from flyball.training import estimators, onnx_form
from flyball.training.calls import OURS, place_of, raised
from flyball.training.environment import libraries, python
from flyball.training.lock import lock_of
from flyball.training.predictor import Predictor, answers

GOLDEN_ROWS = 20
BACKGROUND_ROWS = 100
"""Rows of the training data that explanations compare with."""

VALUE, SCORE = "__value", "__score"
_MODEL, _JUDGED = "model", "judged"
_GOLDEN = "golden.parquet"
_BACKGROUND = "background.parquet"
_GRAPH = "model.onnx"
_PACKING = frozenset({_GOLDEN, _BACKGROUND, _GRAPH})
"""Files that say nothing of what was learned."""

# other processors add in another order: the last bits of a sum may differ, a wrong model differs by more
_TOLERANCE = 1e-6
_FORM_TOLERANCE = 2e-5
# a net in 32 bits adds up one row and many in another order; what looks at the other rows differs by more
_ALONE_TOLERANCE = 1e-4


def pack(
    predictor: Predictor, golden: pl.DataFrame, blobs: Blobs, *, code: str, declaration: str, file: str, graph: bytes | None = None
) -> str:
    """Store a predictor; return its artifact (the manifest's blob hash). Equal predictors have equal artifacts.

    `golden` are rows of features (the first 20 are kept with their answers); `code` and `declaration` are blob hashes, `file` is the
    loop file within the code. `graph`: the ONNX form of the fitted estimator, which is to answer in its place. Raises Refused for what cannot be stored safely, BadInput if `save=` fails.
    """
    files = _files(predictor, blobs, _MODEL)
    if predictor.judged is not None:
        files |= _files(predictor.judged, blobs, _JUDGED)
    rows = golden.head(GOLDEN_ROWS)
    value, score = answers(predictor.predict(rows))
    files[_GOLDEN] = blobs.put(_parquet(rows.with_columns(value.alias(VALUE), score.alias(SCORE))))
    if predictor.background is not None:
        files[_BACKGROUND] = blobs.put(_parquet(predictor.background))
    if graph is not None:
        files[_GRAPH] = blobs.put(graph)
    snapshot: Mapping[str, str] = json.loads(blobs.get(code))
    manifest = Manifest(
        model=predictor.model.name,
        file=file,
        code=code,
        declaration=declaration,
        files=files,
        signature=predictor.signature,
        python=python(),
        libraries=libraries(snapshot),
        trained_until=predictor.trained_until,
        judged_until=predictor.judged.trained_until if predictor.judged is not None else None,
        served="onnx" if graph is not None else "skops",
        lock=blobs.put(lock_of(snapshot, ("onnxruntime",) if graph is not None else ()).encode()),
    )
    return blobs.put(rfc8785.dumps(codec.plain(manifest)))


def background_of(trained: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The rows of a training frame that explanations compare with: up to 100, drawn from all of it, in order."""
    count = min(BACKGROUND_ROWS, trained.height)
    return trained[np.sort(np.random.default_rng(seed).choice(trained.height, count, replace=False))]


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def fit_digest(artifact: str, blobs: Blobs) -> str:
    """The SHA-256 of what was learned, without how it is packed: the fitted objects, the signature, and the newest row they saw.

    Two artifacts of one version digest and one fit digest answer alike; their code (comments), policy or libraries may differ.
    """
    manifest = manifest_of(artifact, blobs)
    fitted = {name: digest for name, digest in manifest.files.items() if name not in _PACKING}
    learned = {"files": fitted, "signature": codec.plain(manifest.signature), "trained_until": manifest.trained_until}
    return hashlib.sha256(rfc8785.dumps(learned)).hexdigest()


def _files(predictor: Predictor, blobs: Blobs, name: str) -> dict[str, str]:
    """`NAME.skops`, or what the model's own save wrote as `NAME/…`."""
    save = predictor.model.train.save if predictor.model.train else None
    if save is None or isinstance(save, Function):
        return {f"{name}.skops": blobs.put(estimators.dumps(predictor.fitted))}
    with tempfile.TemporaryDirectory(prefix="flyball-save-") as temporary:
        folder = Path(temporary)
        write(save, predictor.fitted, folder)
        files = {
            f"{name}/{path.relative_to(folder).as_posix()}": blobs.put_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }
    if not files:
        raise BadInput(
            "save= wrote no file",
            why="there would be nothing to load",
            fix="save(model, folder) writes files into the folder",
            code="unusable-artifact",
        )
    return files


def write(save: Callable[[Any, Path], Any], fitted: Any, folder: Path) -> None:
    """Let a user's own save write what fit returned into the folder. Raises BadInput (code "unusable-artifact")."""
    try:
        save(fitted, folder)
    except OURS:
        raise
    except BaseException as error:  # the user's own save runs here: whatever it raises is theirs to read
        raise BadInput(
            raised("save=", error),
            why=f"at {place_of(error)}",
            fix="save(model, folder) writes files into the folder",
            code="unusable-artifact",
        ) from error


def manifest_of(artifact: str, blobs: Blobs) -> Manifest:
    """Read an artifact's manifest. Raises NotFound, Corrupt."""
    try:
        manifest = codec.decode(blobs.get(artifact), Manifest)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Corrupt(f"artifact {artifact[:12]} has no manifest", why=str(error), fix="train the version again") from error
    if manifest.format != 1:
        raise Corrupt(
            f"artifact {artifact[:12]} has format {manifest.format}",
            why="this flyball reads format 1",
            fix="run it with the flyball that made it, or a newer one",
        )
    return manifest


def verify(artifact: str, blobs: Blobs) -> Manifest:
    """Check that everything a manifest names is there and unchanged. Raises NotFound and Corrupt, naming the file."""
    try:
        manifest = manifest_of(artifact, blobs)
    except (NotFound, Corrupt) as error:
        raise type(error)(f"the manifest of artifact {artifact[:12]}: {error.what}", why=error.why, fix=error.fix) from error
    about = {"its code": manifest.code, "its declaration": manifest.declaration} | ({"its lock": manifest.lock} if manifest.lock else {})
    for name, digest in {**about, **manifest.files}.items():
        try:
            blobs.check(digest)
        except (NotFound, Corrupt) as error:
            raise type(error)(f"{name} of artifact {artifact[:12]}: {error.what}", why=error.why, fix=error.fix) from error
    return manifest


def load(artifact: str, blobs: Blobs, scratch: Path) -> Predictor:
    """Make a predictor of an artifact, with its own code and functions, none of which runs before every hash was checked.

    `scratch` is a folder for unpacked code, shared safely by processes. Raises NotFound, Corrupt, Refused, DeclarationError.
    """
    from flyball.declare.code import load_model

    manifest = verify(artifact, blobs)
    model = load_model(unpack_code(manifest.code, blobs, scratch), manifest.file, manifest.model)
    golden = pl.read_parquet(io.BytesIO(blobs.get(manifest.files[_GOLDEN])))
    predictor = _predictor(model, manifest, blobs, golden, artifact)
    predictor.trained_until = manifest.trained_until
    if _BACKGROUND in manifest.files:
        predictor.background = pl.read_parquet(io.BytesIO(blobs.get(manifest.files[_BACKGROUND])))
    check_golden(predictor)
    return predictor


def _predictor(model: Model, manifest: Manifest, blobs: Blobs, golden: pl.DataFrame, artifact: str) -> Predictor:
    """Who answers: the fitted object, or its ONNX form where that is to be served and can be run here; both are in the artifact and answer alike."""

    def original() -> Predictor:
        return Predictor(model, manifest.signature, _fitted(model, manifest, blobs, _MODEL), golden=golden, artifact=artifact)

    if manifest.served != "onnx":
        return original()
    if not onnx_form.can_run():
        print(
            f"{manifest.model}: its ONNX form cannot be run, for ONNX Runtime is not installed; the estimator answers instead", flush=True
        )
        return original()
    graph = onnx_form.OnnxEstimator(blobs.get(manifest.files[_GRAPH]), manifest.signature.classes)
    predictor = Predictor(model, manifest.signature, graph, golden=golden, artifact=artifact)
    predictor.read_original = original
    return predictor


ALONE_S = 5.0
"""How long golden rows are asked one by one at packing: of a slow model fewer are, but always one."""


def check_alone(predictor: Predictor) -> None:
    """Ask the golden rows one by one. Raises BadInput (code "unusable-answers") for the first that is answered otherwise than among the others:
    a worker asks whatever arrives at once, so what a row is told must not depend on who asked beside it.
    """
    if predictor.golden is None:
        raise NotFound("there are no golden rows", why="this predictor was not loaded from an artifact")
    rows = predictor.golden.drop(VALUE, SCORE)
    among, until = _told(predictor, rows), time.monotonic() + ALONE_S
    for place in range(rows.height):
        if place and time.monotonic() > until:
            return
        alone = _told(predictor, rows[place : place + 1])
        if any(_differs(among[place : place + 1], alone, _ALONE_TOLERANCE)):
            raise BadInput(
                f'model "{predictor.model.name}" answers golden row {place} with {alone[0]} alone, and with {among[place]} among {rows.height} rows',
                why="a worker asks it whatever rows arrive at once: what a row is answered must not depend on those beside it",
                fix="let predict look at each row by itself: no mean, rank or maximum over X, and a net in evaluation mode",
                code="unusable-answers",
            )


def _told(predictor: Predictor, rows: pl.DataFrame) -> pl.Series:
    """What is answered: scores where there are some, for a class follows from them."""
    value, score = answers(predictor.predict(rows))
    return value if score.null_count() == rows.height else score


def check_loads(artifact: str, model: Model, blobs: Blobs) -> None:
    """Read a stored model back and ask it its golden rows, as every worker will, among each other and one by one. Raises BadInput (code "unusable-artifact",
    "unusable-answers") where that fails: a run must not succeed with what nobody can serve.
    """
    manifest = manifest_of(artifact, blobs)
    golden = pl.read_parquet(io.BytesIO(blobs.get(manifest.files[_GOLDEN])))
    try:
        predictor = _predictor(model, manifest, blobs, golden, artifact)
        check_golden(predictor)
        if predictor.read_original is not None:
            # it explains, and answers where the other form cannot be run
            check_golden(predictor.original())
    except (BadInput, Corrupt, Refused) as error:
        raise BadInput(
            f'the model of "{model.name}" does not answer when it is loaded: {error.what}',
            why=error.why or "every worker loads it and asks its golden rows first",
            fix="look at fb.Train(save=…, load=…), and at whether predict gives the same answer twice",
            code="unusable-artifact",
        ) from error
    check_alone(predictor)


def load_champion(artifact: str, blobs: Blobs, scratch: Path) -> Predictor:
    """Like `load`, with the fit that was judged before the released one: what a candidate may fairly be compared with."""
    predictor = load(artifact, blobs, scratch)
    manifest = manifest_of(artifact, blobs)
    if any(name.startswith(_JUDGED) for name in manifest.files):
        predictor.judged = Predictor(
            predictor.model, manifest.signature, _fitted(predictor.model, manifest, blobs, _JUDGED), artifact=artifact
        )
        until = manifest.judged_until
        predictor.judged.trained_until = until if until is not None else _before_holdout(predictor)
    return predictor


def _before_holdout(predictor: Predictor) -> int:
    """Until when the judged fit of an artifact that does not say it can have seen rows: up to its hold-out, of which labels were known later."""
    model, train = predictor.model, predictor.model.train
    if train is None or train.by_share:
        return predictor.trained_until
    return predictor.trained_until - int(train.holdout_span) - int(model.label_delay) - int(model.framing.horizon)


def unpack_code(code: str, blobs: Blobs, scratch: Path) -> Path:
    """Write a code snapshot to its own folder under `scratch`, once. Raises Corrupt for paths that would leave it, and for a file changed there."""
    folder = scratch / f"code-{code[:32]}"
    snapshot: Mapping[str, str] = json.loads(blobs.get(code))
    if folder.is_dir():
        _unchanged(folder, snapshot)
        return folder
    scratch.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(prefix=".code-", dir=scratch))
    try:
        for name, text in snapshot.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise Corrupt(f"the code snapshot {code[:12]} names {name!r}", why="a snapshot holds files of its project only")
            target = unpacked / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        unpacked.rename(folder)
    except OSError:
        # unless another process was first, with the same bytes
        if not folder.is_dir():
            raise
    finally:
        # on a full disk a worker is started again and again, and a part of it is of no use
        shutil.rmtree(unpacked, ignore_errors=True)
    return folder


def _unchanged(folder: Path, snapshot: Mapping[str, str]) -> None:
    """Raise Corrupt for an unpacked file that is not what the snapshot says."""
    for name, text in snapshot.items():
        try:
            found = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            found = None
        if found != text:
            raise Corrupt(
                f"{folder / name} was changed",
                why="it is a copy of a version's code, and must be what the version holds",
                fix=f"remove {folder}",
            )


def _fitted(model: Model, manifest: Manifest, blobs: Blobs, name: str) -> Any:
    if f"{name}.skops" in manifest.files:
        return estimators.loads(blobs.get(manifest.files[f"{name}.skops"]))
    load_own = model.train.load if model.train else None
    if load_own is None or isinstance(load_own, Function):
        raise Refused(
            f'a version of "{model.name}" was stored by save= and has no load=',
            why="only its own load can read what its own save wrote",
            fix="give fb.Train(load=…) beside save=, and train again",
        )
    with tempfile.TemporaryDirectory(prefix="flyball-load-") as temporary:
        for path, digest in manifest.files.items():
            if path.startswith(f"{name}/"):
                target = Path(temporary) / path.removeprefix(f"{name}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(blobs.get(digest))
        try:
            return load_own(Path(temporary))
        except OURS:
            raise
        except BaseException as error:  # the user's own load runs here: whatever it raises is theirs to read
            raise BadInput(
                raised("load=", error), why=f"at {place_of(error)}", fix="load(folder) reads what save(model, folder) wrote"
            ) from error


def check_golden(predictor: Predictor) -> None:
    """Ask the golden rows again. Raises Corrupt, naming the first row that is answered otherwise."""
    golden = predictor.golden
    if golden is None:
        raise NotFound("there are no golden rows", why="this predictor was not loaded from an artifact")
    value, score = answers(predictor.predict(golden.drop(VALUE, SCORE)))
    # another form of the estimator adds up otherwise, and was compared over many more rows when it was made
    near = _TOLERANCE if predictor.read_original is None else _FORM_TOLERANCE
    different = _differs(golden[VALUE], value, near)
    # of a version whose 0.0 and 1.0 once counted as classes no score was kept
    if golden[SCORE].null_count() < golden.height:
        different = [a or b for a, b in zip(different, _differs(golden[SCORE], score, near), strict=True)]
    if any(different):
        row = different.index(True)
        raise Corrupt(
            f'the artifact of "{predictor.model.name}" no longer answers as it did: golden row {row} gives {value[row]}, was {golden[VALUE][row]}',
            why="libraries, processor or code differ from those it was made with",
            fix="compare the manifest's libraries with the installed ones; train again if they must differ",
        )


def _differs(before: pl.Series, now: pl.Series, tolerance: float) -> list[bool]:
    if before.dtype == pl.List:
        return [bool(np.any(_differs(pl.Series(a), pl.Series(b), tolerance))) for a, b in zip(before, now, strict=True)]
    if before.dtype.is_float():
        near = np.isclose(before.to_numpy(), now.cast(pl.Float64).to_numpy(), rtol=tolerance, atol=tolerance, equal_nan=True)
        return [not each for each in near.tolist()]
    return [a != b for a, b in zip(before.to_list(), now.to_list(), strict=True)]
