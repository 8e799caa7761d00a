"""Content codings: gzip, deflate, br and zstd, as streams that can be flushed (RFC 9110, section 8.4.1).

The laws of this module: equal bytes in equal pieces give equal coded bytes, whatever the day (with one version of the
compressing library: another may find shorter words); after a `flush` everything fed before it can be decoded; and what
is held back is cut, afterwards, exactly where a decoder would have each of its pieces.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from testbed.errors import UsageError
from testbed.script import Coding

# A window of 15 bits; 16 more ask for gzip's header and trailer in place of zlib's.
_ZLIB, _GZIP = 15, 15 + 16

# Boundaries in what was held back are found by decoding it in so many steps at most; beyond, they are rounded up.
MOST_STEPS = 1 << 18


class Coder(Protocol):
    """Compresses one body. Each method returns the bytes that come out, perhaps none."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the body."""
        ...

    def flush(self) -> bytes:
        """Give out all that was taken."""
        ...

    def finish(self) -> bytes:
        """Give out all that was taken, and what the coding puts at its end."""
        ...


class _Parts(NamedTuple):
    """A coder out of three functions of a library."""

    feed: Callable[[bytes], bytes]
    flush: Callable[[], bytes]
    finish: Callable[[], bytes]


def _zlib_coder(window: int) -> Coder:
    # Of a gzip header zlib writes no name and no time, so there is nothing of the day in it.
    coder = zlib.compressobj(wbits=window)
    return _Parts(coder.compress, lambda: coder.flush(zlib.Z_SYNC_FLUSH), coder.flush)


def _br_coder() -> Coder:
    coder = _library("brotli", "br").Compressor(quality=5)
    return _Parts(coder.process, coder.flush, coder.finish)


def _zstd_coder() -> Coder:
    library = _library("zstandard", "zstd")
    coder = library.ZstdCompressor(level=3).compressobj()
    return _Parts(coder.compress, lambda: coder.flush(library.COMPRESSOBJ_FLUSH_BLOCK), coder.flush)


def _library(name: str, coding: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        message = f"head: coding {coding} needs the package {name}: pip install 'stream-testbed[codings]'"
        raise UsageError(message) from None


_Decode = Callable[[bytes], bytes]


class _Kind(NamedTuple):
    """One coding: how to compress a body, and how to get its bytes back one by one."""

    coder: Callable[[], Coder]
    decoder: Callable[[], _Decode]


_KINDS: Mapping[Coding, _Kind] = MappingProxyType(
    {
        Coding.GZIP: _Kind(lambda: _zlib_coder(_GZIP), lambda: zlib.decompressobj(_GZIP).decompress),
        Coding.DEFLATE: _Kind(lambda: _zlib_coder(_ZLIB), lambda: zlib.decompressobj(_ZLIB).decompress),
        Coding.BR: _Kind(_br_coder, lambda: _library("brotli", "br").Decompressor().process),
        Coding.ZSTD: _Kind(
            _zstd_coder, lambda: _library("zstandard", "zstd").ZstdDecompressor().decompressobj().decompress
        ),
    }
)


def make_coder(coding: Coding) -> Coder:
    """Begin to compress one body; raises :class:`UsageError` if the coding's library is not installed."""
    return _KINDS[coding].coder()


def flushed(coding: Coding, pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Code each piece so that it can be decoded as soon as its own bytes are there, and then the coding's end."""
    coder = make_coder(coding)
    for piece in pieces:
        yield coder.feed(piece) + coder.flush()
    yield coder.finish()


def held_back(coding: Coding, pieces: Sequence[bytes]) -> Iterator[bytes]:
    """Code the pieces as one, and cut the result where a decoder would have each; then what is left behind the last.

    Pieces that become readable with the same byte leave the later ones nothing.
    """
    coder = make_coder(coding)
    coded = b"".join([*map(coder.feed, pieces), coder.finish()])
    start = 0
    for end in _readable(coding, coded, pieces):
        yield coded[start:end]
        start = end
    yield coded[start:]


def readable(coding: Coding, coded: bytes) -> int:
    """How many bytes of a body a decoder has when it has got these."""
    return len(_KINDS[coding].decoder()(coded))


def _readable(coding: Coding, coded: bytes, pieces: Sequence[bytes]) -> Iterator[int]:
    """For each piece, how many coded bytes a decoder needs to have all of it."""
    decode = _KINDS[coding].decoder()
    step = -(-len(coded) // MOST_STEPS) or 1
    wanted = fed = found = 0
    for piece in pieces:
        wanted += len(piece)
        while found < wanted:
            found += len(decode(coded[fed : fed + step]))
            fed = min(fed + step, len(coded))
        yield fed
