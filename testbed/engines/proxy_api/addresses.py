"""Listen addresses as Go reads them, and its words for those that cannot be had.

The law of this module: an address without a host means loopback here, where the real server would open the port to the
whole network; who wants that writes ``0.0.0.0``. In everything else the answer is the real server's, errors included.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import trio

from testbed.engines.proxy_api.messages import ApiError
from testbed.net.listener import BACKLOG

LOOPBACK = "127.0.0.1"
_WILDCARDS = frozenset({"0.0.0.0", "::"})


def split(address: str) -> tuple[str, str]:
    """Host and port of ``host:port`` or ``[host]:port``; raises :class:`ApiError` in Go's words."""
    host, colon, port = address.rpartition(":")
    if not colon:
        raise _invalid(address, "missing port in address")
    if address.startswith("[") and "]" not in address:
        raise _invalid(address, "missing ']' in address")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    if ":" in host:
        raise _invalid(address, "too many colons in address")
    return host, port


def join(host: str, port: int) -> str:
    """The address as Go prints it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _invalid(address: str, what: str) -> ApiError:
    return ApiError(500, f"address {address}: {what}")


def _port_number(port: str) -> int:
    if port in {"", "0"}:
        return 0
    try:
        number = int(port)
    except ValueError:
        with suppress(OSError):
            return socket.getservbyname(port, "tcp")
        raise ApiError(500, f"lookup tcp/{port}: unknown port") from None
    if not 0 <= number <= 65535:
        raise _invalid(port, "invalid port")
    return number


async def resolve(address: str) -> tuple[str, int]:
    """The IP address and port that would be bound; an empty address is loopback with a free port."""
    if not address:
        return LOOPBACK, 0
    host, port = split(address)
    number = _port_number(port)
    if not host:
        return LOOPBACK, number
    try:
        found = await trio.socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ApiError(500, f"lookup {host}: no such host") from error
    # Go prefers IPv4 where a name has both.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0]), number


async def bind(address: str) -> tuple[trio.socket.SocketType, str]:
    """Listen there, and say where that is; raises :class:`ApiError` 500 in Go's words."""
    try:
        host, port = await resolve(address)
    except ApiError as error:
        raise ApiError(500, f"listen tcp: {error.message}") from error
    for family, ip in _candidates(host):
        listener = trio.socket.socket(family)
        try:
            await _listen(listener, ip, port)
        except OSError as error:
            if ip != host:
                continue  # no IPv6 on this machine: IPv4 alone will do for "everywhere"
            reason = os.strerror(error.errno or 0).lower()
            raise ApiError(500, f"listen tcp {join(host, port)}: bind: {reason}") from error
        return listener, join(*listener.getsockname()[:2])
    raise ApiError(500, f"listen tcp {join(host, port)}: bind: no address")


async def _listen(listener: trio.socket.SocketType, ip: str, port: int) -> None:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ip != "::")
        await listener.bind((ip, port))
        listener.listen(BACKLOG)
    except BaseException:  # a cancellation must not leave a bound socket behind either
        listener.close()
        raise


def _candidates(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """What to bind for a host. Everywhere means both families in one socket, as in Go."""
    if host in _WILDCARDS:
        return [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]
