"""What the upstream job does to `purpose` in the demo is told by the contract of the demo's own loop file, with the category named."""

from __future__ import annotations

import numpy as np

from flyball.data.refresh import refresh
from flyball.declare.code import load_model
from flyball.demo.project import LOOP_FILE, Matured, write_project, write_rows
from flyball.demo.world import BECOMES, Climate, applications
from flyball.records.data import DataCommitted, DatasetRow
from flyball.store.blobs import LocalBlobs

START = 1_767_225_600_000_000


def decided(count, first, climate, seed):
    made = applications(np.random.default_rng(seed), count, climate, first=first)
    return [Matured(one, START + 5_000 * (first + place), one.defaults) for place, one in enumerate(made)]


def test_the_renamed_category_is_named_in_the_first_look_that_holds_some_of_it(tmp_path):
    root, blobs = tmp_path / "bank", LocalBlobs(tmp_path / "blobs")
    write_project(root, decided(10_000, 0, Climate(), 1))
    data = load_model(root, LOOP_FILE, "lending").data
    first = refresh(data, root, blobs, None)
    assert isinstance(first, DataCommitted)
    assert first.findings == ()

    write_rows(root, "calm", decided(200, 10_000, Climate(), 2))
    calm = refresh(data, root, blobs, DatasetRow(head=first.version))
    assert isinstance(calm, DataCommitted)
    assert calm.findings == (), "two hundred of the same kind say nothing"

    write_rows(root, "recoded", decided(200, 10_200, Climate(economy=0.1, recoded=True), 3))
    found = refresh(data, root, blobs, DatasetRow(head=calm.version))
    assert isinstance(found, DataCommitted)
    [told] = [one for one in found.findings if one.column == "purpose"]
    assert (told.rule, told.severity) == ("unseen", "warn")
    assert told.values[0].startswith(BECOMES)
    assert f"of 200 new rows have a value that was never there: {BECOMES} (" in told.text
    assert f"; 0 in version {calm.version.version}; new since 2026-01-01" in told.text
