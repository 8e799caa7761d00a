"""Why message streams break: the twelve causes that the scenarios belong to, each in a sentence.

The law of this module: a scenario of the catalogue names one of these; a scenario of one's own may name any.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "server-overload": "The server is at its limit: it refuses, answers with 503 or 529, breaks off, or crawls.",
        "unstable-connection": "The network loses packets, changes under the client, stalls, or resets the connection.",
        "long-prompt": "The answer takes long to begin or to end, and somebody on the way does not wait so long.",
        "token-limit": "The context or the answer is at the model's limit, which is an end with a reason and no fault.",
        "browser-interference": "Something beside the client kills, buffers, replays or strips its streams.",
        "file-upload": "The request is large: it is slow, cut off, refused, or answered before it was sent.",
        "vpn-proxy-interference": "A tunnel or a proxy adds latency, stalls, collects, throttles or cuts.",
        "api-misconfiguration": "The request can not succeed as it is: key, model, organisation, or who answers.",
        "sentinel-handling": "The marks of the end are missing, doubled, followed by more, or only look like it.",
        "rate-limit": "The client asks too often, or its quota is used up; it is told when to come back, or never.",
        "chunk-handling": "The stream comes in pieces that fit no event: bytes, floods, huge or endless lines.",
        "client-timeouts": "The client's patience decides: too short for slow tokens, or none where it is needed.",
    }
)
