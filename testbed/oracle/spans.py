"""Where one step stands on the wire, and when it is there for a client.

The law of this module: the server's own annotations, put together; nothing is encoded, and no byte is looked at. Right
clients differ in how much of an event they need, and the byte or two between them is all that is said of it here.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from testbed._values import Value
from testbed.trace import Sent


# The wire of one event in one chunk, and the byte with which each tier is content:
#
#     1 f \r \n  d a t a :  { … }  \n \n  \r \n
#                              ▲      ▲      ▲
#                            LINE   EVENT  CHUNK
class Tier(enum.Enum):
    """How much of an event's bytes must have arrived for a client to have it.

    Right clients differ here, and a byte or two decides: some wait for the end of the chunk around the event, some act
    on the data line before the blank line is there.
    """

    CHUNK = "chunk"  # with the framing behind it
    EVENT = "event"  # with its blank line
    CR = "cr"  # with the CR of its blank line, where one ends with CR LF: the standard asks for no more
    LINE = "line"  # its data line, with or without a line end


# How many bytes may be missing at the end of an event that was compressed, with its data all there: the blank line (two
# words of at most 15 bits each), the end of the block (another), and the empty block of a flush (10 bits, and 4 bytes).
# Of one that was not it is the dialect that says how many.
_CODED_ENDS = 11


# Line ends of so many bytes hold a CR LF.
_WITH_CR_LF = 3


class Span(Value):
    """Where one step stands: its body bytes as wire positions, its chunks around them, its range of the body."""

    step: int
    wire_start: int
    start: int
    end: int
    wire_end: int
    body: tuple[int, int]
    whole: bool  # the server wrote the step to its end
    coded: bool = False  # its bytes are compressed
    line_ends: int = 2
    missing: int = 0  # bytes of the step that the server never wrote; of one that is not whole 0 says that nobody knows

    def needs(self, tier: Tier) -> int:
        """Wire bytes that must have arrived for a client of that tier to have the step."""
        # One number a tier: the oracle asks "did this byte arrive", never "what is in it".
        if tier is Tier.CHUNK:
            return self.wire_end
        spared = self._spared(tier)
        if not spared:
            return self.end
        # Of one that was compressed the data line may be out with the last payload before it, which a chunk's end of 2
        # bytes follows.
        if self.coded:
            return max(self.wire_start - 2, self.end - _CODED_ENDS)
        # A step of fewer bytes than two newlines has no data line that could be whole before its end.
        return max(self.start + 1, min(self.end, self.end + self.missing - spared))

    def is_there(self, tier: Tier) -> bool:
        """Whether the server wrote all that a client of that tier needs, so that :meth:`needs` is worth asking.

        A fault may cut off the very bytes in which the tiers differ.
        """
        return self.whole or 0 < self.missing <= self._spared(tier)

    def _spared(self, tier: Tier) -> int:
        """The bytes at its end that a client of that tier does not wait for."""
        if tier is Tier.CR:
            # Where its blank line ends with CR LF, or may. What follows the CR is no part of the event.
            return int(self.line_ends >= _WITH_CR_LF)
        return self.line_ends if tier is Tier.LINE else 0


def span_of(step: int, writes: Sequence[Sent], line_ends: int, *, coded: bool) -> Span:
    """Where the step stands that these writes carried."""
    # The head has no body bytes, and a step may begin or end with a write that is framing alone. A write of nothing
    # says where the bytes before it end that make the step readable.
    payloads = [sent.payload for sent in writes if sent.payload[0] < sent.payload[1] or sent.wire[0] == sent.wire[1]]
    payloads = payloads or [sent.wire for sent in writes]
    bodies = [sent.body for sent in writes]
    return Span(
        step=step,
        wire_start=writes[0].wire[0],
        start=payloads[0][0],
        end=payloads[-1][1],
        wire_end=writes[-1].wire[1],
        body=(bodies[0][0], bodies[-1][1]),
        whole=any(sent.ends_step for sent in writes),
        coded=coded,
        line_ends=line_ends,
        missing=writes[-1].missing,
    )
