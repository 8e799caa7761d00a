"""What gateways in front of a vendor answer in its place: pages of HTML, and JSON of their own.

The law of this module: a page is data and no vendor's error shape; a client that reads its status is right, a client
that parses its body is not. The words are ours; that it is HTML, how long it is and who says so is what gateways share.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from testbed.dialects._answers import Answer, to_json

HTML = "text/html"
HTML_UTF8 = "text/html; charset=UTF-8"

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        403: "Forbidden",
        413: "Request Entity Too Large",
        429: "Too Many Requests",
        500: "Internal Server Error",
        502: "Bad Gateway",
        503: "Service Temporarily Unavailable",
        504: "Gateway Time-out",
        520: "The origin gave no readable answer",
        522: "The origin cannot be reached",
        524: "The origin took too long to answer",
    }
)


def _short(status: int) -> Answer:
    """The few lines of a web server that knows only the status. Its lines end with CR LF."""
    title = f"{status} {_REASONS[status]}"
    lines = (
        "<html>",
        f"<head><title>{title}</title></head>",
        "<body>",
        f"<center><h1>{title}</h1></center>",
        "<hr><center>gateway</center>",
        "</body>",
        "</html>",
    )
    return Answer(status, "".join(f"{line}\r\n" for line in lines), (("Server", "gateway"),), HTML)


def _long(status: int) -> Answer:
    """The page of a network for the delivery of contents: styles, a name of the request, a picture of the way."""
    reason = _REASONS[status]
    ray = "0123456789abcdef-TST"
    hops = "".join(
        f'<div class="hop {state}"><h3>{name}</h3><p>{word}</p></div>'
        for name, state, word in (
            ("You", "good", "Working"),
            ("Edge", "good", "Working"),
            ("Origin", "bad", "Error"),
        )
    )
    style = "body{font:16px sans-serif;margin:3em}.hop{display:inline-block;width:9em}.bad{color:#b00}.good{color:#080}"
    page = (
        "<!DOCTYPE html>\n"
        f'<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>testbed | {status}: {reason}</title>\n'
        f"<style>{style}</style>\n</head>\n<body>\n<h1>{reason} <small>Error code {status}</small></h1>\n"
        f"{hops}\n<p>What happened? The server behind this one did not answer as it should have.</p>\n"
        f"<p>What can I do? Try again in a few minutes.</p>\n<footer>Ray: {ray}</footer>\n</body>\n</html>\n"
    )
    headers = (("Server", "edge"), ("X-Ray", ray), ("Cache-Control", "private, max-age=0, no-store"))
    return Answer(status, page, headers, HTML_UTF8)


def _challenge() -> Answer:
    """A page that wants to know whether a person sits there."""
    page = (
        "<!DOCTYPE html>\n"
        "<html><head><title>One moment</title></head>\n"
        "<body><noscript>Switch JavaScript on to go on.</noscript>"
        '<form id="challenge" action="/challenge" method="POST"></form></body></html>\n'
    )
    return Answer(403, page, (("Server", "edge"),), HTML_UTF8)


def _json(status: int) -> Answer:
    """The JSON of a gateway that is no vendor: a message, and nothing that an SDK knows."""
    return Answer(status, to_json({"message": _REASONS[status]}), (("Server", "gateway"),))


GATEWAYS: Mapping[str, Answer] = MappingProxyType(
    {
        **{f"short-{status}": _short(status) for status in (403, 413, 429, 500, 502, 503, 504)},
        **{f"long-{status}": _long(status) for status in (500, 502, 503, 504, 520, 522, 524)},
        **{f"json-{status}": _json(status) for status in (429, 502, 503, 504)},
        "challenge-403": _challenge(),
    }
)
