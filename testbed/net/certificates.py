"""Certificates made at run time: one authority for the process, and one server certificate of each kind.

The law of this module: nothing is made before it is asked for; no key leaves the process (only the authority's own
certificate stands in a file, for clients to trust, and goes with the process); and all certificates of a kind have the
same length, so that a handshake has the same number of bytes in every run. That is why keys are RSA: the signatures of
elliptic curves differ in length by chance.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import ssl
import tempfile
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from testbed.errors import UsageError
from testbed.plan import Certificate, TlsVersion

if TYPE_CHECKING:
    import trustme

# Under these names a client can reach the testbed.
HOSTS = ("localhost", "127.0.0.1", "::1")
_ANOTHER_HOST = ("wrong-host.invalid",)

_VERSIONS = {TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3}

# Both can be asked for from several threads at once, and there must be one authority only.
_making = threading.RLock()


class _Validity(NamedTuple):
    """When a certificate holds; None: trustme's own bounds, which are decades apart."""

    since: datetime | None = None
    until: datetime | None = None


def ca_file() -> str:
    """The path of a PEM file with the authority that clients must trust.

    Raises :class:`UsageError` if `trustme` is not installed.
    """
    with _making:
        return _ca_file()


def server_context(certificate: Certificate = Certificate.VALID, version: TlsVersion | None = None) -> ssl.SSLContext:
    """The TLS settings of a server that shows this certificate; `version` None: the newest that both sides speak."""
    with _making:
        return _server_context(certificate, version)


@functools.cache
def _ca_file() -> str:
    directory = tempfile.mkdtemp(prefix="testbed-ca-")
    atexit.register(_forget, directory, os.getpid())
    path = Path(directory, "ca.pem")
    path.write_bytes(_authority().cert_pem.bytes())
    return str(path)


def _forget(directory: str, owner: int) -> None:
    # A forked child runs this at its own end, too, and the file is not its own.
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


@functools.cache
def _server_context(certificate: Certificate, version: TlsVersion | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _leaf(certificate).configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    # Tickets are for a next connection, and would stand among the bytes of this one.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    if version is not None:
        context.minimum_version = context.maximum_version = _VERSIONS[version]
    return context


# --- who signs what ---------------------------------------------------------------------------------------------------


@functools.cache
def _authority() -> trustme.CA:
    return _new_authority()


@functools.cache
def _leaf(certificate: Certificate) -> trustme.LeafCert:
    stranger = certificate is Certificate.UNKNOWN_AUTHORITY
    hosts = _ANOTHER_HOST if certificate is Certificate.WRONG_HOST else HOSTS
    return _issue(_new_authority() if stranger else _authority(), hosts, _VALIDITIES.get(certificate, _Validity()))


# Days and not "yesterday": no clock is read, and certificates come out the same. What is not yet valid here will be in
# 2037, a year before trustme's own bound for all its certificates.
_VALIDITIES: Mapping[Certificate, _Validity] = MappingProxyType(
    {
        Certificate.EXPIRED: _Validity(datetime(2020, 1, 1), datetime(2020, 2, 1)),  # noqa: DTZ001  # trustme's are UTC
        Certificate.NOT_YET_VALID: _Validity(datetime(2037, 1, 1), datetime(2037, 12, 31)),  # noqa: DTZ001
    }
)


def _new_authority() -> trustme.CA:
    # Its own distribution, because most runs seal nothing: they should neither need it nor pay for importing it.
    try:
        import trustme  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "tls: certificates are made by the package trustme, which is not installed;"
            " pip install 'stream-testbed[tls]'"
        ) from None
    return trustme.CA(key_type=trustme.KeyType.RSA)


def _issue(authority: trustme.CA, hosts: tuple[str, ...], validity: _Validity) -> trustme.LeafCert:
    import trustme  # noqa: PLC0415
    from cryptography import x509  # noqa: PLC0415

    while True:
        leaf = authority.issue_cert(
            *hosts, not_before=validity.since, not_after=validity.until, key_type=trustme.KeyType.RSA
        )
        serial = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number
        # One random serial number in 128 is a byte shorter than the others.
        if serial.bit_length() >= _SERIAL_BITS:
            return leaf


_SERIAL_BITS = 152
