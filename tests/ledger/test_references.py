from types import ModuleType

from flyball.ledger.references import _fields, references
from flyball.records.data import DataCommitted, DatasetVersion
from flyball.records.declarations import DeclarationApplied
from flyball.records.models import Manifest, Signature
from flyball.records.rollouts import RolloutEvidence, RolloutMoved, RolloutState
from flyball.records.serving import Arm, ModelRoute, RouteDesired
from flyball.records.training import RunStarted
from flyball.records.vocabulary import KINDS, PROJECTIONS

SIGNATURE = Signature(task="binary", fields=())


def named(record: object) -> dict[str, str]:
    return {found.field: found.digest for found in references(record)}  # type: ignore[arg-type]


def test_fields_that_are_blobs_are_found_by_their_type(kit: ModuleType) -> None:
    applied = DeclarationApplied(
        model="m", file="loop.py", version_digest="v", policy_digest="p", body="b" * 64, code="c" * 64, gates_digest="", author=""
    )
    assert named(applied) == {"body": "b" * 64, "code": "c" * 64}
    assert named(kit.queued("r", spec="")) == {}
    assert named(RunStarted(run="r", attempt=1)) == {}


def test_blobs_inside_nested_values_are_found() -> None:
    version = DatasetVersion(
        name="d", version="1", content="d" * 64, schema={}, rows=1, stats=(), parents=(), first=0, last=0, as_of=0, source_mark=""
    )
    assert named(DataCommitted(version=version)) == {"version.content": "d" * 64}
    arms = (Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000), Arm(version="1.0.1", role="former", artifact="b" * 64))
    desired = RouteDesired(epoch=1, model="m", route=ModelRoute(signature=SIGNATURE, arms=arms))
    assert named(desired) == {"route.arms[0].artifact": "a" * 64, "route.arms[1].artifact": "b" * 64}
    assert {found.kind for found in references(desired)} == {"manifest"}
    assert named(RouteDesired(epoch=1, model="m", route=None)) == {}


def test_a_manifest_names_its_files() -> None:
    manifest = Manifest(
        model="m",
        file="loop.py",
        code="c" * 64,
        declaration="d" * 64,
        files={"model.skops": "e" * 64},
        signature=SIGNATURE,
        python="3.11",
        libraries={},
    )
    assert named(manifest) == {"code": "c" * 64, "declaration": "d" * 64, "files[model.skops]": "e" * 64}


def test_a_record_that_holds_its_own_kind_is_walked_to_its_end() -> None:
    moved = RolloutMoved(
        rollout="ro",
        model="m",
        source=RolloutState.CANARY,
        target=RolloutState.WATCHING,
        step=0,
        why="",
        counts=RolloutEvidence(before=RolloutEvidence(before=RolloutEvidence())),
    )
    assert named(moved) == {}


def test_every_kind_of_event_and_row_can_be_looked_into_also_one_that_holds_its_own_kind() -> None:
    for kind in [*KINDS.values(), *(table.row for table in PROJECTIONS)]:
        assert isinstance(_fields(kind), tuple)
    counts = RolloutEvidence(before=RolloutEvidence())
    moved = RolloutMoved(rollout="r", model="m", source=RolloutState.SHADOW, target=RolloutState.CANARY, step=1, why="", counts=counts)
    assert named(moved) == {}
