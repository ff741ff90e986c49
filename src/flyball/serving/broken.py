"""Workers that are wanted and do not start, with the reason that each left: who answers requests beside them, the record says."""

from __future__ import annotations

from flyball.serving.layout import Layout, read_json, worker_name


def broken(layout: Layout) -> dict[str, str]:
    """Version (`model@1.2.0`) whose worker is wanted, is not ready, and has said why → that reason. A slow one has said nothing."""
    listed = read_json(layout.wanted_workers)
    found: dict[str, str] = {}
    for one in listed if isinstance(listed, list) else ():
        ref = str(one["ref"])
        name = worker_name(ref, str(one["artifact"]))
        failure = None if layout.ready(name).exists() else read_json(layout.failed(name))
        if isinstance(failure, dict):
            found[ref] = str(failure.get("reason") or "it gave no reason")
    return found
