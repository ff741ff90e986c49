"""A fitted scikit-learn estimator as an ONNX graph, and a graph as something to ask: the extra `onnx` (skl2onnx makes graphs, ONNX Runtime runs them).

A graph holds arithmetic and no code: no custom operators are loaded, so reading one runs nothing but what ONNX defines.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flyball.errors import BadInput, Corrupt, Unavailable
from flyball.stats.logspace import Floats

INPUT: Final = "X"
MAKERS: Final = ("onnx", "skl2onnx")
"""Distributions that decide the bytes of a graph and are not needed to run it."""

REFUSED: Final = "flyball.refused"
"""The property of a graph that says which columns may hold no NaN ("nan"), nothing infinite ("inf"), and nothing that 32 bits do not hold ("large"),
by their places."""

_TREES: Final = ("sklearn.ensemble", "sklearn.tree")
_INSTALL: Final = "pip install 'flyball[onnx]'"


def can_make() -> bool:
    """Whether graphs can be made and run here."""
    return can_run() and importlib.util.find_spec("skl2onnx") is not None


def can_run() -> bool:
    """Whether graphs can be run here."""
    return importlib.util.find_spec("onnxruntime") is not None


def graph_of(estimator: Any, features: int) -> bytes:
    """The graph of an estimator that takes `features` numbers a row: of trees in 32 bits, as ONNX has them, of everything else in 64.

    Equal estimators give equal bytes. Raises BadInput for one that has no ONNX form.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = FloatTensorType if _holds_trees(estimator) else DoubleTensorType
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    try:
        # it warns of what it will do otherwise some day, and prints
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            made = to_onnx(estimator, initial_types=[(INPUT, kind([None, features]))], options=options)
    except Exception as error:  # noqa: BLE001 - a converter of its own for each estimator, each with errors of its own
        # some say nothing at all
        said = next(iter(str(error).splitlines()), "")[:200]
        raise BadInput(f"a {type(estimator).__name__} has no ONNX form", why=f"{type(error).__name__}: {said}") from None
    return bytes(made.SerializeToString(deterministic=True))


def refusing(graph: bytes, refused: Mapping[str, Sequence[int]]) -> bytes:
    """The same graph, and what its estimator refuses (as in REFUSED): arithmetic alone would answer that too."""
    import onnx

    model = onnx.load_from_string(graph)
    model.metadata_props.add(key=REFUSED, value=json.dumps({kind: list(places) for kind, places in refused.items()}, sort_keys=True))
    return bytes(model.SerializeToString(deterministic=True))


def _holds_trees(estimator: Any) -> bool:
    parts = [estimator, *(step for _, step in getattr(estimator, "steps", ()))]
    return any(type(part).__module__.startswith(_TREES) for part in parts)


class OnnxEstimator:
    """A graph that answers as the estimator that it was made of: arrays in, probabilities (columns as `classes`) or numbers out. Asking raises ValueError
    for values that the estimator refuses.
    """

    takes_arrays = True

    def __init__(self, data: bytes, classes: tuple[Any, ...]) -> None:
        """Raises Unavailable without ONNX Runtime, Corrupt for bytes that are no graph."""
        if not can_run():
            raise Unavailable("this version is served as ONNX", why="ONNX Runtime is not installed", fix=_INSTALL)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # as all of a worker's libraries: more processes, not more threads
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - its errors have no class of their own in common
            raise Corrupt("a stored ONNX graph cannot be read", why=str(error)[:300], fix="train again") from None
        self._dtype = np.float32 if self._session.get_inputs()[0].type == "tensor(float)" else np.float64
        refused = json.loads(self._session.get_modelmeta().custom_metadata_map.get(REFUSED, "{}"))
        # graphs of before say nothing of what is large: those of 32 bits refused it as infinite
        large = refused.get("large", refused.get("inf", ()) if self._dtype is np.float32 else ())
        infinite = set(refused.get("inf", ())).difference(large)
        self._no_nan, self._no_infinity, self._no_large = (
            np.array(sorted(each), np.intp) for each in (refused.get("nan", ()), infinite, large)
        )
        self.classes_ = list(classes)
        if classes:
            self.predict_proba = self._probabilities
        self._output = self._session.get_outputs()[-1].name

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Numbers, shape (n,); of a model with classes the class."""
        if self.classes_:
            said: npt.NDArray[Any] = np.asarray(self.classes_)[self._probabilities(X).argmax(axis=1)]
            return said
        return self._run(X).reshape(-1)

    def _probabilities(self, X: npt.ArrayLike) -> Floats:
        # sums of 32-bit numbers may end a last bit above 1
        found: Floats = np.clip(self._run(X), 0.0, 1.0)
        return found

    def _run(self, X: npt.ArrayLike) -> Floats:
        given = np.asarray(X, dtype=np.float64)
        if self._no_nan.size and np.isnan(given[:, self._no_nan]).any():
            raise ValueError("Input X contains NaN, which this graph does not take")
        if self._no_infinity.size and np.isinf(given[:, self._no_infinity]).any():
            raise ValueError("Input X contains infinity, which this graph does not take")
        with np.errstate(over="ignore"):
            rows = given.astype(self._dtype, copy=False)
            if self._no_large.size and np.isinf(rows[:, self._no_large].astype(np.float32, copy=False)).any():
                raise ValueError("Input X contains infinity or a value too large for 32 bits, which this graph does not take")
        (found,) = self._session.run([self._output], {INPUT: rows})
        return np.asarray(found, dtype=np.float64)
