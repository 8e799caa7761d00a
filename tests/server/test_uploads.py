"""Uploads: what is stored, and which sentence says why not."""

from __future__ import annotations

import json

import pytest

from testbed.dialects import Answer, Asked, Case
from testbed.script import DialectName
from testbed.server import uploads

CHAT, ANTHROPIC = DialectName.OPENAI_CHAT, DialectName.ANTHROPIC_MESSAGES
TYPE = "multipart/form-data; boundary=edge"


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    """One part of a form, its boundary before it."""
    file = f'; filename="{filename}"' if filename is not None else ""
    return b'--edge\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), file.encode(), data)


END = b"--edge--\r\n"
FILE = part("file", b'{"a": 1}\n{"b": 2}\n', "a.jsonl")
FORM = part("purpose", b"batch") + FILE + END


def asked(body: bytes = FORM, content_type: str = TYPE) -> Asked:
    """An upload."""
    return Asked("POST", "/v1/files", "", {"content-type": content_type}, body)


def test_a_file_is_stored_and_described_as_the_vendor_does() -> None:
    """The name, the size and the purpose come back; equal files have equal ids."""
    stored = uploads.take(CHAT, asked())
    assert isinstance(stored, Answer)
    described = json.loads(stored.body)
    assert (described["object"], described["filename"], described["bytes"]) == ("file", "a.jsonl", 18)
    assert described["purpose"] == "batch"
    assert uploads.take(CHAT, asked()) == stored
    other = uploads.take(ANTHROPIC, asked(FILE + END))
    assert isinstance(other, Answer)
    assert json.loads(other.body)["size_bytes"] == 18


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        (asked(content_type="application/json"), 415, "an upload is multipart/form-data"),
        (asked(content_type=""), 415, "an upload is multipart/form-data"),
        (asked(content_type="multipart/form-data"), 400, "names no boundary"),
        (asked(content_type="multipart/form-data; boundary=" + "x" * 5000), 400, "cannot be read"),
        (asked(b"no form at all"), 400, "cannot be read"),
        (asked(FORM[:-6]), 400, "ends before its closing boundary"),
        (asked(b""), 400, "ends before its closing boundary, after 0 bytes"),
        (asked(part("purpose", b"batch") + END), 400, "no part named file"),
        (asked(part("purpose", b"batch") + part("file", b"{}") + END), 400, "no part named file with a filename"),
        (asked(FILE + END), 400, "no field purpose"),
        (asked(part("purpose", b"batch") + part("file", b'{"a":1}\n[]\n', "a") + END), 400, "line 2 is a JSON list"),
        (asked(part("purpose", b"fine-tune") + part("file", b'{"a"', "a") + END), 400, "line 1: "),
        (asked(part("purpose", b"fine-tune") + part("file", b"\xff\xfe", "a") + END), 400, "line 1: "),
        (asked(part("purpose", b"batch") + part("file", b"", "a") + END), 400, "it is empty"),
        (asked(part("x", b"") * (uploads.MOST_PARTS + 1) + END), 400, "more than 1000 parts"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_sentence(given: Asked, status: int, sentence: str) -> None:
    """The sentence names the part, the field or the line."""
    refused = uploads.take(CHAT, given)
    assert isinstance(refused, Case)
    assert refused.status == status
    assert sentence in refused.message


def test_a_file_of_any_bytes_is_taken_where_nobody_reads_it() -> None:
    """Only what the vendor reads line by line must be lines of JSON."""
    assert isinstance(
        uploads.take(CHAT, asked(part("purpose", b"vision") + part("file", b"\xff\r\n\x00", "a") + END)), Answer
    )


@pytest.mark.parametrize("cut", range(0, len(FORM) - 2, 7))
def test_a_form_that_is_cut_anywhere_is_refused(cut: int) -> None:
    """No half of an upload is stored."""
    assert isinstance(uploads.take(CHAT, asked(FORM[:cut])), Case)
