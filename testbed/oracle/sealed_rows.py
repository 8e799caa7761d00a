"""The rows of the table for TLS: what comes before an answer, and what must stand behind it.

The law of this module: that of :mod:`testbed.oracle.table`, of which these rows are a part.
"""

from __future__ import annotations

from testbed.oracle.rows import GivenKind, Row, row
from testbed.oracle.sources import CERTIFICATES, FAILURES, TLS_ALERTS, TLS_CLOSURE
from testbed.trace import Outcome

_K, _O = GivenKind, Outcome

SEALED_ROWS: tuple[Row, ...] = (
    # To a caller the handshake is a part of connecting: no request was sent, so nothing can have happened at the other
    # end. A library that has one time-out for everything may name that one.
    row(
        _K.SILENT_HANDSHAKE,
        "silence in the TLS handshake",
        {_O.CONNECT},
        {_O.FIRST_BYTE_TIMEOUT},
        "A TLS handshake that is not answered within the connect time-out is a failure to connect.",
        TLS_ALERTS,
        FAILURES,
    ),
    # An alert, an end of the connection, or bytes that are no TLS. Libraries below often know only which of these it
    # was; that it is trouble before any answer is what counts.
    row(
        _K.HANDSHAKE_FAILED,
        "a TLS handshake that failed",
        {_O.CONNECT},
        {_O.PROTOCOL, _O.RESET, _O.INCOMPLETE},
        "A TLS handshake that fails is reported as a failure to connect.",
        TLS_ALERTS,
        FAILURES,
    ),
    # Expired, for another host, from nobody that the client knows: it must not send its request, for the key that
    # stands in it is what an impostor wants.
    row(
        _K.BAD_CERTIFICATE,
        "a certificate that it must not accept",
        {_O.CONNECT},
        {_O.PROTOCOL},
        "A certificate that has expired, names another host or is a stranger's ends the connection before a request.",
        CERTIFICATES,
        TLS_ALERTS,
    ),
    # In the clear a FIN is all there is to end such a body. Under TLS anybody on the way can forge a FIN and nobody a
    # close_notify, so only the latter ends it.
    row(
        _K.SEALED_TRUNCATION,
        "a sealed body without a length that ended without close_notify",
        {_O.INCOMPLETE},
        {_O.PROTOCOL, _O.RESET},
        "Under TLS a body that ends with the connection is complete only if close_notify came before the FIN.",
        TLS_CLOSURE,
        TLS_ALERTS,
    ),
)
