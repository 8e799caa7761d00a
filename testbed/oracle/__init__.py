"""Judging: from a plan and a trace to findings.

The law of this package: pure functions; right behaviour is derived from what happened on the wire, and narrowed by
the plan. It imports the reference parser of server-sent events and never an encoder.
"""

# What the rest of the project may use. The checks and the readings behind them are the oracle's own.
from testbed.oracle.cures import Proof, Shown
from testbed.oracle.findings import Finding, Judgement, Verdict
from testbed.oracle.judging import given_of, judge
from testbed.oracle.rows import GivenKind, Row
from testbed.oracle.table import TABLE

# `GivenKind`, `Row` and `TABLE` are for those who print the table, and for nobody who judges.
__all__ = ["TABLE", "Finding", "GivenKind", "Judgement", "Proof", "Row", "Shown", "Verdict", "given_of", "judge"]
