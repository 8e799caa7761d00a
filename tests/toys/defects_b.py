"""Planted defects that the scenarios of the catalogue call for, beside those of `defects.py`.

A class here overrides what its defect is, and nothing else; `DEFECTS` is the table.
"""

from __future__ import annotations

from tests.toys.rows import Toy

DEFECTS: tuple[Toy, ...] = ()
