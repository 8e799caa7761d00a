"""What every listening socket of ours has in common: how it is bound, how many may wait at it, what it puts up with.

The law of this module: an address that cannot be had is the tester's business, told in one sentence.
"""

from __future__ import annotations

import errno
import socket
import sys

from testbed.errors import UsageError

# So many may wait to be accepted; the kernel takes what it allows (on Linux net.core.somaxconn). Behind a queue that is
# full a client tries again after a second, so a crowd that comes at once must fit.
BACKLOG = 16_384
# Out of files, memory or buffers: others must finish first. Trying again at once would only burn the processor.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EXHAUSTED_PAUSE = 0.1

_WHY = {
    errno.EADDRINUSE: "the port is in use; choose another, or 0 for a free one",
    errno.EACCES: "the system does not allow it; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; 127.0.0.1 is always there",
}
# Beside the system's own refusals: a host without an encoding, a port beyond 65535.
IMPOSSIBLE = (OSError, ValueError, OverflowError)


def bind(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Bind and listen; port 0 takes a free one. Raises :class:`UsageError` if the address cannot be had.

    A host name is looked up, which takes its time; a trio task calls :func:`testbed.net.listener.listen` in its place.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except IMPOSSIBLE as error:
        raise refused(host, port, error) from error
    return bind_resolved(family, str(address[0]), host, port)


def bind_resolved(family: int, address: str, host: str, port: int) -> socket.socket:
    """The same where the host was looked up already."""
    try:
        if "\0" in host:  # the look-up saw only what stands before it
            raise ValueError("a host name has no NUL in it")
        listener = socket.socket(family)
        try:
            if sys.platform != "win32":
                # On Windows the option means something else: it would let two servers share the port.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(BACKLOG)
        except IMPOSSIBLE:
            listener.close()
            raise
    except IMPOSSIBLE as error:
        raise refused(host, port, error) from error
    return listener


def refused(host: str, port: int, error: Exception) -> UsageError:
    """Say in a sentence why an address cannot be had."""
    reason = _WHY.get(error.errno or 0) if isinstance(error, OSError) else None
    return UsageError(f"cannot listen on {host}:{port}: {reason or error}")
