"""Judging: from a plan and a trace to findings.

The law of this package: pure functions; right behaviour is derived from what happened on the wire, and narrowed by
the plan. It imports the reference parser of server-sent events and never an encoder.
"""

from testbed.oracle.findings import Finding, Judgement, Verdict
from testbed.oracle.judging import judge
from testbed.oracle.rows import GivenKind, Row
from testbed.oracle.table import TABLE

__all__ = ["TABLE", "Finding", "GivenKind", "Judgement", "Row", "Verdict", "judge"]
