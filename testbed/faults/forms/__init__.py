"""Every illegal, hostile or merely rare form of an answer, by its name.

The law of this package: a name means one thing that is wrong; the table is what scenarios, tests and docs read.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.faults.forms._form import Form, Group
from testbed.faults.forms.bodies import BODIES
from testbed.faults.forms.chunks import CHUNKS
from testbed.faults.forms.contents import CONTENTS
from testbed.faults.forms.heads import HEADS
from testbed.faults.forms.lengths import LENGTHS

__all__ = ["FORMS", "Form", "Group"]

FORMS: Mapping[str, Form] = MappingProxyType(
    {form.name: form for form in (*LENGTHS, *CHUNKS, *HEADS, *CONTENTS, *BODIES)}
)
