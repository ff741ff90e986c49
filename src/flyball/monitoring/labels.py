"""How labels come, for people: how many rows have one, how long they take, and what came that could not be used. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant, Span
from flyball.evaluation.counts_labels import lag_s
from flyball.monitoring.slabs import Slab, within
from flyball.records.evidence import Labels, LabelsSeen

SPAN = Span.parse("7d")
"""The span that is shown: that of the monitor of label coverage."""


def labels_seen(slabs: Sequence[Slab], now: Instant, span: Span = SPAN) -> LabelsSeen:
    """Label coverage of the rows that were judged in the last `span`, and how labels came in it."""
    slab = within(slabs, now - span, now)
    whole = next((part for part in slab.quality if not part.slice), None)
    matured, labelled = (whole.matured, whole.labelled) if whole else (0, 0)
    came = slab.labels or Labels(model="", minute=0)
    return LabelsSeen(
        span=str(span),
        judged=matured,
        labelled=labelled,
        coverage=labelled / matured if matured else None,
        came=came.came,
        duplicates=came.duplicates,
        corrected=came.corrected,
        late=came.late,
        early=came.early,
        unmatched=slab.unmatched,
        lag_p50_s=lag_s(came.lag, 0.5),
        lag_p90_s=lag_s(came.lag, 0.9),
    )
