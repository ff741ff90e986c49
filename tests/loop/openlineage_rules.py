"""The published OpenLineage schemas, as the client library of the specification has them: its classes are generated from the JSON schemas.

Strict where the library is not: what a schema does not name is refused, what it requires must be there, every value is of its type, and every facet
stands under the name and in the place that its schema gives it.
"""

from __future__ import annotations

import enum
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import attr
import openlineage.client.generated as generated
from openlineage.client.generated import base

KEYS = {
    "ColumnLineageDatasetFacet": "columnLineage",
    "DataQualityMetricsDatasetFacet": "dataQualityMetrics",
    "DataQualityMetricsInputDatasetFacet": "dataQualityMetrics",
    "DatasetTypeDatasetFacet": "datasetType",
    "DatasetVersionDatasetFacet": "version",
    "DatasourceDatasetFacet": "dataSource",
    "DocumentationDatasetFacet": "documentation",
    "DocumentationJobFacet": "documentation",
    "ErrorMessageRunFacet": "errorMessage",
    "JobTypeJobFacet": "jobType",
    "LifecycleStateChangeDatasetFacet": "lifecycleStateChange",
    "OutputStatisticsOutputDatasetFacet": "outputStatistics",
    "OwnershipDatasetFacet": "ownership",
    "OwnershipJobFacet": "ownership",
    "ProcessingEngineRunFacet": "processing_engine",
    "SQLJobFacet": "sql",
    "SchemaDatasetFacet": "schema",
}
"""Under which name each schema's document puts its facet."""

_PLACES = {
    "Job": base.JobFacet,
    "Run": base.RunFacet,
    "inputFacets": base.InputDatasetFacet,
    "outputFacets": base.OutputDatasetFacet,
}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+")


def _classes() -> dict[str, type]:
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for cls in vars(import_module(f"{generated.__name__}.{module.name}")).values():
            if inspect.isclass(cls) and issubclass(cls, base.BaseFacet):
                found[cls._get_schema()] = cls
    return found


FACETS = _classes()
EVENTS = {cls._get_schema(): cls for cls in (base.RunEvent, base.JobEvent, base.DatasetEvent)}
EXTRA = {"producer", "schemaURL", "_producer", "_schemaURL"}


def problems(event: dict[str, Any]) -> list[str]:
    """All that is wrong with an event; nothing if it obeys the schemas that it names."""
    cls = EVENTS.get(event.get("schemaURL", ""))
    if cls is None:
        return [f"no event has the schema {event.get('schemaURL')}"]
    found = list(_object(cls, event, cls.__name__))
    # exactly one of the three: a document with a run is a run's event, and one about a job alone has no data set of its own
    if cls is base.JobEvent and "run" in event:
        found.append("a job's event names a run")
    if cls is base.DatasetEvent and {"run", "job"} & event.keys():
        found.append("a data set's event names a run or a job")
    return found


def _object(cls: type, value: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no object"
        return
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in attr.fields(cls)}
    for name in value.keys() - fields.keys():
        yield f"{place}.{name} is not in the schema"
    for name, field in fields.items():
        required = field.default is attr.NOTHING or name in EXTRA
        if name not in value:
            if required:
                yield f"{place}.{name} is missing"
            continue
        if name in ("facets", "inputFacets", "outputFacets"):
            yield from _facets(value[name], cls, name, f"{place}.{name}")
        else:
            yield from _value(hints[name], value[name], f"{place}.{name}")
    yield from _made(cls, value, place)


def _made(cls: type, value: dict[str, Any], place: str) -> Iterator[str]:
    """What the library's own checks of formats say: times, UUIDs."""
    given = {name: each for name, each in value.items() if name in {field.name for field in attr.fields(cls) if field.init}}
    try:
        cls(**{name.lstrip("_"): each for name, each in given.items()})
    except (ValueError, TypeError) as error:
        yield f"{place}: {error}"
    for name in ("producer", "_producer", "schemaURL", "_schemaURL", "uri"):
        if name in value and not _URI.fullmatch(str(value[name])):
            yield f"{place}.{name}: {value[name]!r} is no URI"
    for name, each in value.items():
        if name in ("eventTime", "lastUpdated") and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", str(each)):
            yield f"{place}.{name}: {each!r} is no RFC 3339 time"


def _facets(value: Any, holder: type, name: str, place: str) -> Iterator[str]:
    wanted = _PLACES.get(name) or next((kind for key, kind in _PLACES.items() if key == holder.__name__), base.DatasetFacet)
    for key, facet in value.items():
        cls = FACETS.get(facet.get("_schemaURL", ""))
        if cls is None:
            yield f"{place}.{key} has no published schema: {facet.get('_schemaURL')}"
            continue
        if not issubclass(cls, wanted):
            yield f"{place}.{key}: a {cls.__name__} is no {wanted.__name__}"
        if KEYS.get(cls.__name__) != key:
            yield f"{place}.{key}: a {cls.__name__} is called {KEYS.get(cls.__name__)}"
        yield from _object(cls, facet, f"{place}.{key}")


def _value(hint: Any, value: Any, place: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        if value is None:
            yield f"{place} is null, which JSON of this schema never is"
            return
        answers = [list(_value(kind, value, place)) for kind in kinds]
        yield from min(answers, key=len)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{place}: {value!r} is no list"
            return
        for number, each in enumerate(value):
            yield from _value(arguments[0], each, f"{place}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{place}: {value!r} is no object"
            return
        for key, each in value.items():
            yield from _value(arguments[1], each, f"{place}.{key}")
    elif inspect.isclass(hint) and issubclass(hint, enum.Enum):
        if value not in {each.value for each in hint}:
            yield f"{place}: {value!r} is none of {[each.value for each in hint]}"
    elif attr.has(hint):
        yield from _object(hint, value, place)
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{place}: {value!r} is no number"
    elif hint is int:
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"{place}: {value!r} is no whole number"
    elif hint is not Any and not isinstance(value, hint):
        yield f"{place}: {value!r} is no {hint.__name__}"
