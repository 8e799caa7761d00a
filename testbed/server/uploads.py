"""Uploads: what a file service takes, what it refuses and why.

The law of this module: it reads the bytes that came and describes them, and never raises for what a client sent; a
refusal says in a sentence what is wrong with the upload, and where.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, final

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from testbed.dialects import Answer, Asked, Case
from testbed.script import DialectName

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# What the parser would print on stderr stands in the sentence of the refusal.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())

# So many parts a form may have; a form of a million empty parts is a way to keep a server busy.
MOST_PARTS = 1000

# What the vendor reads line by line, and therefore refuses if it can not: one JSON object a line.
_LINES_OF_JSON = frozenset({"batch", "fine-tune"})


class Part(NamedTuple):
    """One part of a form: a field, or with a `filename` a file."""

    name: str
    filename: str | None
    content_type: str
    data: bytes


class Service(NamedTuple):
    """A vendor's file service: where it is, the fields that it needs beside the file, and its answer to an upload."""

    path: str
    fields: tuple[str, ...]
    stored: Callable[[Part, Mapping[str, str]], object]


def _openai(file: Part, fields: Mapping[str, str]) -> object:
    return {
        "id": f"file-{_name_of(file)}",
        "object": "file",
        "bytes": len(file.data),
        "created_at": 1_700_000_000,
        "filename": file.filename,
        "purpose": fields["purpose"],
        "status": "processed",
    }


def _anthropic(file: Part, _fields: Mapping[str, str]) -> object:
    return {
        "id": f"file_{_name_of(file)}",
        "type": "file",
        "filename": file.filename,
        "mime_type": file.content_type,
        "size_bytes": len(file.data),
        "created_at": "2023-11-14T22:13:20Z",
        "downloadable": False,
    }


def _name_of(file: Part) -> str:
    """Equal files get equal ids: what is answered follows from what was asked."""
    return hashlib.sha256(file.data).hexdigest()[:24]


SERVICES: Mapping[DialectName, Service] = {
    DialectName.OPENAI_CHAT: Service("/v1/files", ("purpose",), _openai),
    DialectName.OPENAI_RESPONSES: Service("/v1/files", ("purpose",), _openai),
    DialectName.ANTHROPIC_MESSAGES: Service("/v1/files", (), _anthropic),
}


def is_upload(dialect: DialectName, asked: Asked) -> bool:
    """Whether this request uploads a file."""
    service = SERVICES.get(dialect)
    return service is not None and asked.method == "POST" and asked.path == service.path


def take(dialect: DialectName, asked: Asked) -> Answer | Case:
    """Store an upload: the vendor's answer to it, or what is wrong with it."""
    service = SERVICES[dialect]
    parts = read_form(asked.headers.get("content-type", ""), asked.body)
    if isinstance(parts, Case):
        return parts
    fields = {part.name: part.data.decode("utf-8", "replace") for part in parts if part.filename is None}
    file = next((part for part in parts if part.name == "file" and part.filename is not None), None)
    if file is None:
        return Case(400, "the form has no part named file with a filename", param="file")
    for field in service.fields:
        if not fields.get(field):
            return Case(400, f"the form has no field {field}", param=field)
    if fields.get("purpose") in _LINES_OF_JSON and (problem := _broken_line(file.data)):
        return Case(400, f"the file {file.filename!r} is no JSON Lines: {problem}", param="file")
    stored = msgspec.json.encode(service.stored(file, fields)).decode("utf-8")
    return Answer(200, stored)


def _broken_line(data: bytes) -> str:
    """Say which line is no JSON object, or return the empty string."""
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            read = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return f"line {number}: {error}"
        if not isinstance(read, dict):
            return f"line {number} is a JSON {type(read).__name__}; it must be an object"
    return "" if lines else "it is empty"


# --- the form ---------------------------------------------------------------------------------------------------------


@final
class _Form:
    """Collects what the parser of forms calls out."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._name = b""
        self._value = b""
        self._fields: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls, by its names."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._more,
            "on_part_end": self._end,
            "on_header_field": self._field,
            "on_header_value": self._field_value,
            "on_header_end": self._field_end,
            "on_end": self._over,
        }

    def _begin(self) -> None:
        self._fields = {}
        self._data = bytearray()

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _field_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _field_end(self) -> None:
        self._fields[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end(self) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise FormParserError(f"it has more than {MOST_PARTS} parts")
        _, options = parse_options_header(self._fields.get(b"content-disposition", b""))
        filename = options.get(b"filename")
        self.parts.append(
            Part(
                name=options.get(b"name", b"").decode("utf-8", "replace"),
                filename=None if filename is None else filename.decode("utf-8", "replace"),
                content_type=self._fields.get(b"content-type", b"application/octet-stream").decode("latin-1"),
                data=bytes(self._data),
            )
        )

    def _over(self) -> None:
        self.ended = True


def read_form(content_type: str, body: bytes) -> list[Part] | Case:
    """Read a multipart body, or say what is wrong with it."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return Case(415, f"the content type is {content_type!r}; an upload is multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not boundary:
        return Case(400, "the content type multipart/form-data names no boundary")
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        return Case(400, f"the multipart form cannot be read: {error}")
    if not form.ended:
        return Case(400, f"the multipart form ends before its closing boundary, after {len(body)} bytes")
    return form.parts
