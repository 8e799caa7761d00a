"""The space of transports: how far an answer came, how its connection ended, and what that pair is.

The law of this module: every pair has a kind, and the table is written out, not computed, so that it can be read beside
the rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from itertools import product
from types import MappingProxyType

from testbed.oracle.rows import GivenKind
from testbed.script import DialectName


# Progress and End span the whole space of what a transport can do to an answer. The oracle decides
# which pair a run is, and then whether the answer said something that comes before both.
class Progress(enum.IntEnum):
    """How far the answer came."""

    # Ordered, so that "at least a token" is a comparison.
    HANDSHAKE = 0  # of TLS, and not through it; in the clear there is none
    NOTHING = 1
    HEAD_PART = 2
    HEAD = 3  # and perhaps opening events and keep-alives, but no token
    TOKENS = 4
    FINISHED = 5  # SOFT
    DONE = 6  # HARD


class End(enum.Enum):
    """How the connection ended, as the client could see it."""

    OPEN = "open"
    CLEAN = "clean"  # the message is complete by its framing
    FIN = "fin"  # before that
    RESET = "reset"
    # Told apart from RESET because only here the bytes themselves are in doubt, and not merely who buffered them.
    ABORT = "abort"  # a reset that may have destroyed bytes


# --- the space of transports, as a table. It is written out, not computed, so that it can be read beside the rows.
_K, _P, _E = GivenKind, Progress, End

# Every pair of progress and end, so that no run can fall through.
TRANSPORT: Mapping[tuple[Progress, End], GivenKind] = MappingProxyType(
    {
        **dict.fromkeys(product([_P.DONE], End), _K.WHOLE),
        (_P.DONE, _E.ABORT): _K.ENDING_MAYBE_LOST,
        # Before there is a request, how the handshake failed is of little interest to a caller.
        **dict.fromkeys(product([_P.HANDSHAKE], End), _K.HANDSHAKE_FAILED),
        (_P.HANDSHAKE, _E.OPEN): _K.SILENT_HANDSHAKE,
        # Open: the client is left waiting. Whether it waited long enough is for the timing checks, not for the kind.
        (_P.NOTHING, _E.OPEN): _K.SILENT_BEFORE_HEAD,
        (_P.HEAD_PART, _E.OPEN): _K.SILENT_BEFORE_HEAD,
        (_P.HEAD, _E.OPEN): _K.SILENT_BEFORE_TOKEN,
        (_P.TOKENS, _E.OPEN): _K.SILENT_MID_STREAM,
        (_P.FINISHED, _E.OPEN): _K.SILENT_AFTER_FINISH,
        # Without a head there is no framing, so no end can be clean.
        (_P.NOTHING, _E.CLEAN): _K.FIN_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.CLEAN): _K.FIN_IN_HEAD,
        (_P.HEAD, _E.CLEAN): _K.CLEAN_BEFORE_TERMINAL,
        (_P.TOKENS, _E.CLEAN): _K.CLEAN_BEFORE_TERMINAL,
        (_P.FINISHED, _E.CLEAN): _K.CLEAN_AFTER_FINISH,
        # FIN before the framing was content.
        (_P.NOTHING, _E.FIN): _K.FIN_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.FIN): _K.FIN_IN_HEAD,
        (_P.HEAD, _E.FIN): _K.FIN_IN_BODY,
        (_P.TOKENS, _E.FIN): _K.FIN_IN_BODY,
        (_P.FINISHED, _E.FIN): _K.FIN_AFTER_FINISH,
        # Drained: every byte before the RST was acknowledged, so what had arrived counts.
        (_P.NOTHING, _E.RESET): _K.RESET_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.RESET): _K.RESET,
        (_P.HEAD, _E.RESET): _K.RESET,
        (_P.TOKENS, _E.RESET): _K.RESET,
        (_P.FINISHED, _E.RESET): _K.RESET_AFTER_FINISH,
        # Immediate: the same until the answer is finished; from then on its end may be what was destroyed.
        (_P.NOTHING, _E.ABORT): _K.RESET_BEFORE_ANSWER,
        (_P.HEAD_PART, _E.ABORT): _K.RESET,
        (_P.HEAD, _E.ABORT): _K.RESET,
        (_P.TOKENS, _E.ABORT): _K.RESET,
        (_P.FINISHED, _E.ABORT): _K.ENDING_MAYBE_LOST,
    }
)

# A clean end in the middle of an event leaves half an event behind.
INSIDE_EVENT = {
    _K.CLEAN_BEFORE_TERMINAL: _K.CLEAN_INSIDE_EVENT,
    _K.CLEAN_AFTER_FINISH: _K.CLEAN_INSIDE_DONE,
}
# Where a dialect reads a clean end in its own way.
BY_DIALECT = {
    (DialectName.ANTHROPIC_MESSAGES, _K.CLEAN_AFTER_FINISH): _K.CLEAN_BEFORE_MESSAGE_STOP,
    (DialectName.EVENTSOURCE, _K.CLEAN_BEFORE_TERMINAL): _K.EVENTSOURCE_END,
}

# Silence that a time-out may end: the client waits, and nothing has said that the answer is over.
SILENT = frozenset({_K.SILENT_HANDSHAKE, _K.SILENT_BEFORE_HEAD, _K.SILENT_BEFORE_TOKEN, _K.SILENT_MID_STREAM})

# These stand in the clean column only because no end can be clean there: they are trouble, not news of a page.
_TROUBLE = frozenset({GivenKind.FIN_BEFORE_ANSWER, GivenKind.HANDSHAKE_FAILED})
CLEAN = frozenset(kind for (_, end), kind in TRANSPORT.items() if end is End.CLEAN and kind not in _TROUBLE) | {
    *INSIDE_EVENT.values(),
    *BY_DIALECT.values(),
    GivenKind.EVENTSOURCE_RECONNECT,
}
