"""A data set's contract: every rule that does not hold, with counts, example rows, and what changed since the last good version."""

from flyball.data.contract.checker import Checker, findings, violations, warnings
from flyball.data.contract.lastgood import LastGood
from flyball.data.contract.rows import fix_missing

__all__ = ["Checker", "LastGood", "findings", "fix_missing", "violations", "warnings"]
