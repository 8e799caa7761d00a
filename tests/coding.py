"""Decoders of the content codings, by the libraries themselves."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import brotli
import zstandard

from testbed.script import Coding

_DECODERS: dict[Coding, Callable[[], Any]] = {
    Coding.GZIP: lambda: zlib.decompressobj(31).decompress,
    Coding.DEFLATE: lambda: zlib.decompressobj().decompress,
    Coding.BR: lambda: brotli.Decompressor().process,
    Coding.ZSTD: lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
}


def decoded(coding: Coding, data: bytes) -> bytes:
    """What a decoder has of the body when it has got these bytes."""
    if coding is Coding.IDENTITY:
        return data
    text: bytes = _DECODERS[coding]()(data)
    return text
