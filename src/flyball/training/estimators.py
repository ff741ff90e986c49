"""An estimator as bytes and back, without pickle: nothing stored here can run code when it is read.

skops writes the estimator's state as JSON and arrays. What it would have to trust on reading is listed first, and only classes of
scikit-learn, NumPy and SciPy (and of the booster libraries, where they are installed) are trusted: a function among the types could
be called by a crafted file, a class is only filled with state.
"""

from __future__ import annotations

import importlib
import io
import re
import zipfile
from typing import Any

from flyball.errors import Corrupt, Refused

ROOTS = frozenset({"sklearn", "numpy", "scipy", "lightgbm", "xgboost"})
_ALSO = frozenset({"functools.partial", "sklearn.utils.validation.check_array", "collections.OrderedDict"})
"""What scikit-learn itself puts into estimators with categories (a partial calls nothing that is not listed and trusted by itself), and LightGBM
into its own: a dictionary, which calls nothing.
"""

_NOT_LIBRARY = frozenset(
    {"tests", "testing", "_testing", "conftest", "f2py", "distutils", "_distutils", "__main__", "_build_utils", "externals"}
)
_ADDRESS = re.compile(
    rb'(?<="__id__": )\d+|(?<=")\d+(?=\.np[yz]")|(?<=")[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\.bin")',
)
"""Addresses of objects, and the names that skops draws for bytes, such as those of an XGBoost booster."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def preload() -> None:
    """Import what most estimators need, for a process that will read one and does not know which."""
    for name in ("compose", "ensemble", "linear_model", "pipeline", "preprocessing"):
        importlib.import_module(f"sklearn.{name}")


def dumps(estimator: object) -> bytes:
    """Write an estimator; equal estimators give equal bytes. Raises Refused for what could not be read back, naming the types."""
    skops = _skops()
    from skops.io.exceptions import UnsupportedTypeException

    try:
        data = skops.io.dumps(estimator)
    except (UnsupportedTypeException, TypeError, RecursionError) as error:
        raise Refused(
            f"a {type(estimator).__module__}.{type(estimator).__qualname__} cannot be stored",
            why=str(error).splitlines()[0],
            fix="return a scikit-learn estimator from fit, or give fb.Train(save=…, load=…)",
        ) from error
    _trusted_types(data)
    return _canonical(data)


def loads(data: bytes) -> Any:
    """Read an estimator. Raises Refused naming every type that is not trusted, Corrupt for bytes that are no estimator."""
    skops = _skops()
    try:
        return skops.io.loads(data, trusted=_trusted_types(data))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        raise Corrupt(
            "a stored estimator cannot be read",
            why=f"{type(error).__name__}: {error}",
            fix="the versions of its libraries are in its manifest; install them or train again",
        ) from error


def _skops() -> Any:
    """skops, imported without its list of every estimator that scikit-learn has.

    To make that list it imports all of scikit-learn, a fifth of the CPU that a worker or a run takes to start, and 12 MB. What may be read is
    decided in this module: a class that skops does not know is asked about, and trusted if it is a library's.
    """
    import sklearn.utils

    known = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = list
    try:
        import skops.io
    finally:
        sklearn.utils.all_estimators = known
    return skops


def _trusted_types(data: bytes) -> list[str]:
    """The types in `data` beyond what skops trusts by itself, if all of them may be trusted."""
    skops = _skops()
    try:
        asked = skops.io.get_untrusted_types(data=data)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise Corrupt("a stored estimator cannot be read", why=str(error), fix="train again") from error
    refused = [name for name in asked if name not in _ALSO and not _is_library_class(name)]
    if refused:
        raise Refused(
            f"the estimator holds {', '.join(refused[:8])}",
            why="reading a type of unknown origin back could run its code; only classes of scikit-learn, NumPy, SciPy, LightGBM and XGBoost are",
            fix="keep such objects out of what fit returns, or give fb.Train(save=…, load=…)",
        )
    return list(asked)


def _is_library_class(name: str) -> bool:
    module_name, _, attribute = name.rpartition(".")
    parts = module_name.split(".")
    if parts[0] not in ROOTS or _NOT_LIBRARY.intersection(parts):
        return False
    try:
        found = getattr(importlib.import_module(module_name), attribute, None)
    except ImportError:
        return False
    return isinstance(found, type) and found.__module__.split(".")[0] in ROOTS


def _canonical(data: bytes) -> bytes:
    """The same archive without addresses of objects and the time of day, so that its hash depends on the estimator alone."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = archive.read("schema.json")
        numbers: dict[bytes, bytes] = {}
        schema = _ADDRESS.sub(lambda found: numbers.setdefault(found.group(), str(len(numbers)).encode()), schema)
        renamed = {}
        for name in archive.namelist():
            stem, dot, suffix = name.partition(".")
            renamed[numbers.get(stem.encode(), stem.encode()).decode() + dot + suffix] = archive.read(name)
    renamed["schema.json"] = schema
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as out:
        for name in sorted(renamed):
            out.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name], zipfile.ZIP_DEFLATED, 3)
    return buffer.getvalue()
