"""OpenLineage events and facets, as far as flyball tells them: the vocabulary of the published specification, in its own names.

`SPEC` is where its schemas are; each event and facet says by `_schemaURL` which version of which it obeys.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeVar

import msgspec

from flyball.records.base import Record

SPEC = "https://openlineage.io/spec"
CORE = f"{SPEC}/2-0-2/OpenLineage.json#/$defs"


class Said(Record, frozen=True, omit_defaults=True, rename="camel"):
    """A part of an event. What has nothing to tell is left out."""


class Facet(Said, frozen=True):
    """Something told of a data set, a job or a run. `key` is its name in `facets`, `schema` the version of the schema that it obeys."""

    key: ClassVar[str]
    schema: ClassVar[str]

    producer: str = msgspec.field(name="_producer")
    schema_url: str = msgspec.field(name="_schemaURL")


FacetT = TypeVar("FacetT", bound=Facet)


class SchemaField(Said, frozen=True):
    """A column."""

    name: str
    type: str | None = None
    description: str | None = None
    ordinal_position: int | None = msgspec.field(default=None, name="ordinal_position")


class SchemaFacet(Facet, frozen=True):
    """The columns of a data set, in order."""

    key = "schema"
    schema = "facets/1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"

    fields: tuple[SchemaField, ...]


class VersionFacet(Facet, frozen=True):
    """Which version of a data set it is."""

    key = "version"
    schema = "facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"

    dataset_version: str


class DataSourceFacet(Facet, frozen=True):
    """Where a data set lies."""

    key = "dataSource"
    schema = "facets/1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet"

    name: str | None = None
    uri: str | None = None


class DatasetTypeFacet(Facet, frozen=True):
    """What kind of a data set it is."""

    key = "datasetType"
    schema = "facets/1-0-1/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet"

    dataset_type: Literal["TABLE", "VIEW", "FILE", "STREAM", "MODEL", "JOB_OUTPUT"]


class DocumentationFacet(Facet, frozen=True):
    """What a data set is about."""

    key = "documentation"
    schema = "facets/1-1-0/DocumentationDatasetFacet.json#/$defs/DocumentationDatasetFacet"

    description: str


class Owner(Said, frozen=True):
    """Whose something is."""

    name: str
    type: str | None = None


class OwnershipFacet(Facet, frozen=True):
    """Whose a data set is."""

    key = "ownership"
    schema = "facets/1-0-1/OwnershipDatasetFacet.json#/$defs/OwnershipDatasetFacet"

    owners: tuple[Owner, ...]


class LifecycleFacet(Facet, frozen=True):
    """What a commit did to a data set."""

    key = "lifecycleStateChange"
    schema = "facets/1-0-1/LifecycleStateChangeDatasetFacet.json#/$defs/LifecycleStateChangeDatasetFacet"

    lifecycle_state_change: Literal["ALTER", "CREATE", "DROP", "OVERWRITE", "RENAME", "TRUNCATE"]


class Transformation(Said, frozen=True):
    """How a column goes into another."""

    type: Literal["DIRECT", "INDIRECT"]
    subtype: str | None = None
    description: str | None = None


class InputField(Said, frozen=True):
    """A column that another was made of."""

    namespace: str
    name: str
    field: str
    transformations: tuple[Transformation, ...] = ()


class ColumnInputs(Said, frozen=True):
    """All columns that one was made of."""

    input_fields: tuple[InputField, ...]


class ColumnLineageFacet(Facet, frozen=True):
    """Which columns each column was made of, and those (`dataset`) that have a part in all of them."""

    key = "columnLineage"
    schema = "facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"

    fields: dict[str, ColumnInputs]
    dataset: tuple[InputField, ...] = ()


class ColumnMetrics(Said, frozen=True):
    """What a column holds."""

    null_count: int | None = None
    distinct_count: int | None = None
    min: float | None = None
    max: float | None = None


class QualityFacet(Facet, frozen=True):
    """What the columns of a data set hold."""

    key = "dataQualityMetrics"
    schema = "facets/1-0-1/DataQualityMetricsDatasetFacet.json#/$defs/DataQualityMetricsDatasetFacet"

    column_metrics: dict[str, ColumnMetrics]
    row_count: int | None = None
    last_updated: str | None = None


class InputQualityFacet(QualityFacet, frozen=True):
    """What the columns of a data set held that was read."""

    schema = "facets/1-0-3/DataQualityMetricsInputDatasetFacet.json#/$defs/DataQualityMetricsInputDatasetFacet"


class OutputStatisticsFacet(Facet, frozen=True):
    """How much was written."""

    key = "outputStatistics"
    schema = "facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"

    row_count: int | None = None


class JobTypeFacet(Facet, frozen=True):
    """What kind of work a job does."""

    key = "jobType"
    schema = "facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet"

    processing_type: Literal["BATCH", "STREAMING", "SERVICE"]
    integration: str
    job_type: str | None = None


class JobDocumentationFacet(DocumentationFacet, frozen=True):
    """What a job is for."""

    schema = "facets/1-1-0/DocumentationJobFacet.json#/$defs/DocumentationJobFacet"


class JobOwnershipFacet(OwnershipFacet, frozen=True):
    """Whose a job is."""

    schema = "facets/1-0-1/OwnershipJobFacet.json#/$defs/OwnershipJobFacet"


class SqlFacet(Facet, frozen=True):
    """The query that a job asks."""

    key = "sql"
    schema = "facets/1-1-0/SQLJobFacet.json#/$defs/SQLJobFacet"

    query: str


class EngineFacet(Facet, frozen=True):
    """What did the work."""

    key = "processing_engine"
    schema = "facets/1-1-1/ProcessingEngineRunFacet.json#/$defs/ProcessingEngineRunFacet"

    version: str
    name: str | None = None


class ErrorFacet(Facet, frozen=True):
    """Why a run failed."""

    key = "errorMessage"
    schema = "facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet"

    message: str
    programming_language: str


class Dataset(Said, frozen=True):
    """A data set of an event about it alone."""

    namespace: str
    name: str
    facets: dict[str, Facet] = {}


class InputDataset(Dataset, frozen=True):
    """A data set that was read."""

    input_facets: dict[str, Facet] = {}


class OutputDataset(Dataset, frozen=True):
    """A data set that was written."""

    output_facets: dict[str, Facet] = {}


class Job(Said, frozen=True):
    """Work that is done again and again."""

    namespace: str
    name: str
    facets: dict[str, Facet] = {}


class Run(Said, frozen=True):
    """One doing of it."""

    run_id: str
    facets: dict[str, Facet] = {}


class Event(Said, frozen=True):
    """Something that is told. `time` is RFC 3339."""

    schema: ClassVar[str]

    time: str = msgspec.field(name="eventTime")
    producer: str
    schema_url: str = msgspec.field(name="schemaURL")


EventT = TypeVar("EventT", bound=Event)


class RunEvent(Event, frozen=True):
    """What became of a run of a job."""

    schema = f"{CORE}/RunEvent"

    event_type: Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]
    run: Run
    job: Job
    inputs: tuple[InputDataset, ...] = ()
    outputs: tuple[OutputDataset, ...] = ()


class JobEvent(Event, frozen=True):
    """What a job is, whether or not it runs."""

    schema = f"{CORE}/JobEvent"

    job: Job
    inputs: tuple[InputDataset, ...] = ()
    outputs: tuple[OutputDataset, ...] = ()


class DatasetEvent(Event, frozen=True):
    """What a data set is, whether or not it is read or written."""

    schema = f"{CORE}/DatasetEvent"

    dataset: Dataset
