"""The dialects: one pure file each, and the table that knows them by name.

The law of this package: a dialect turns steps into bytes and knows its own order rules and terminals; it knows nothing
of HTTP framing, of time or of faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.dialects._dialect import COLON_KEEPALIVE, Answer, Asked, Case, Dialect, Numbering, Phase, Rule, Said
from testbed.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from testbed.dialects.eventsource import EVENTSOURCE
from testbed.dialects.gateways import GATEWAYS
from testbed.dialects.gemini import GEMINI
from testbed.dialects.mcp import MCP
from testbed.dialects.ollama import OLLAMA
from testbed.dialects.openai_chat import OPENAI_CHAT
from testbed.dialects.openai_responses import OPENAI_RESPONSES
from testbed.dialects.quirks import QUIRKS, Note
from testbed.dialects.statuses import RETRY_AFTER, http_date, status_cases, status_script
from testbed.script import DialectName

__all__ = [
    "COLON_KEEPALIVE",
    "DIALECTS",
    "GATEWAYS",
    "QUIRKS",
    "RETRY_AFTER",
    "Answer",
    "Asked",
    "Case",
    "Dialect",
    "Note",
    "Numbering",
    "Phase",
    "Rule",
    "Said",
    "http_date",
    "status_cases",
    "status_script",
]

_ALL = (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI, OLLAMA, EVENTSOURCE, MCP)
DIALECTS: Mapping[DialectName, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
