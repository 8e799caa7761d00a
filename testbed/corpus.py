"""Our own text: what generators of filler do not write and what stream clients break on.

The law of this module: every entry is whole, valid Unicode text that a correct client shows unchanged; none has a
carriage return, because a plain server-sent event cannot carry one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CORPUS: dict[str, tuple[str, ...]] = {
    # Two bytes a letter: the cheapest way to be cut inside a character.
    "latin": ("é", "ß", "naïve ", "Ærøskøbing ", "Žluťoučký ", "İstanbul ", "ﬁn "),
    "greek-cyrillic": ("Ωμέγα ", "ѣхать ", "Ёлка ", "ς", "Їжак "),
    # Three bytes a letter.
    "cjk": ("漢", "日本語", "한국어 ", "ㇷ゚", "々", "「引用」", "ｶﾀｶﾅ"),
    "indic-thai": ("क्षत्रिय ", "ஸ்ரீ", "กำลัง", "ខ្មែរ", "བོད་"),
    # Four bytes, two UTF-16 units: what JSON may also spell as a surrogate pair.
    "astral": ("𝒳", "𐍈", "😀", "𠮷", "🜚", "𝄞", "\U0010fffd"),
    # One picture out of several code points: a cut inside it still leaves valid text, so only the bytes tell.
    "emoji": ("👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇪🇺", "1️⃣", "🧑🏿‍🚀", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
    # The same letter written two ways: a client that normalises text changes it.
    "combining": ("e\u0301", "n\u0303", "o\u0308\u0304", "Z\u0351\u036b\u0343", "\u1100\u1161\u11a8", "q\u0307\u0323"),
    "bidi": ("مرحبا ", "שלום ", "\u202eabc\u202c", "\u2067x\u2069", "لا", "a\u200fb", "۱۲۳"),
    # Line ends for `str.splitlines`, but letters like any other for a server-sent event.
    "separators": ("a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x0cb", "a\x1cb", "a\x1db", "a\x1eb"),
    "blank": (" ", "  ", "\u00a0", "\u200b", "\u3000", "\t", "\u2060", "a\ufeffb"),
    # What JSON must escape, and what looks like an escape.
    "quoting": ('"', "\\", "\\n", "\\u0041", '{"a":1}', "</script>", "\x01", "\x7f", "%00"),
    # The protocol's own words as the model's words.
    "protocol": ("data: ", "[DONE]", "data: [DONE]", "event: error", ": comment", "id: 7", "retry: 1", "message_stop"),
    "newline": ("a\nb", "\n", "\n\n", "data: x\n\n", "```\ncode\n```"),
}

# "plain" is numbered ASCII words, made where they are drawn: each is another, so that a repeated or lost one shows.
PLAIN = "plain"

CORPUS: Mapping[str, tuple[str, ...]] = MappingProxyType(_CORPUS)
GROUPS: tuple[str, ...] = (PLAIN, *CORPUS)

# Groups in which every entry has a character of several bytes.
MULTIBYTE = ("latin", "greek-cyrillic", "cjk", "indic-thai", "astral", "emoji", "combining")
