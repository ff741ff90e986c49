"""Feature views: the point-in-time join, and what it costs to keep, read and add features.

Every figure is taken after both sides were seen to compute the same thing.
"""

from __future__ import annotations

import argparse

from benchmarks.features import larger, online, point_in_time, transforms_added
from benchmarks.report import Report, main

PARTS = (point_in_time.run, larger.run, online.run, transforms_added.run)


def run(arguments: argparse.Namespace) -> Report:
    """Every part, in turn."""
    report = Report()
    for part in PARTS:
        part(report, peers=arguments.peers)
    return report


if __name__ == "__main__":
    main(run, __doc__)
