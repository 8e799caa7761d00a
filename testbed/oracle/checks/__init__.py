"""The checks: each looks at one side of a run and knows nothing of the others.

The law of this package: a check is a pure function from a :class:`~testbed.oracle.case.Case` to a
:class:`~testbed.oracle.findings.Report`. It may report what another check reports, too: which of them is the root is
decided in :mod:`testbed.oracle.findings`.
"""
