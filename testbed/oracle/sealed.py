"""What TLS adds to what a client was given: a handshake before the answer, a certificate in it, a farewell behind it.

The law of this module: of a connection in the clear nothing here is true, so that it is judged as if TLS did not exist;
and sealed bytes are counted, never opened.
"""

from __future__ import annotations

from testbed.oracle.connections import Connection
from testbed.plan import Certificate, Handshake


def answer_begins(connection: Connection) -> int | None:
    """The wire byte behind the handshake, where an answer can begin; None if there never was one."""
    tls = connection.attempt.tls
    if tls is None or connection.part:
        return connection.base
    if tls.handshake is not Handshake.COMPLETE:
        return None
    # The server's own word is better, but a client may be through with the handshake before the server knows.
    return connection.secured.wire if is_secured(connection) and connection.secured else connection.presented


def is_secured(connection: Connection) -> bool:
    """Whether the handshake came to a good end on both sides."""
    return connection.secured is not None and not connection.secured.problem


def is_doubtful(connection: Connection) -> bool:
    """Whether the client may still be in the handshake although it has all that the server said of it.

    In TLS 1.2 the server has the last word, in 1.3 the client; from outside they look the same.
    """
    return connection.attempt.tls is not None and not is_secured(connection)


def shows_bad_certificate(connection: Connection, received: int) -> bool:
    """Whether these bytes hold a certificate that no client may accept."""
    tls = connection.attempt.tls
    if tls is None or tls.certificate is Certificate.VALID or connection.presented is None:
        return False
    return received >= connection.presented


def is_taken_leave_of(connection: Connection, received: int) -> bool:
    """Whether the server's close_notify is among these bytes."""
    return connection.farewell is not None and received >= connection.farewell.wire[1]
