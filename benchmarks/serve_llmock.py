"""The peer llmock: its own application on uvicorn, as its command starts it, told what to answer.

Usage: python benchmarks/serve_llmock.py PORT TOKENS SECONDS
"""

from __future__ import annotations

import sys

import uvicorn
from llmock.chaos import StreamChaos
from llmock.main import create_app
from llmock.scenarios import Reply
from marker import MARKER

if __name__ == "__main__":
    app = create_app(stream_chaos=StreamChaos(chunk_delay_ms=round(float(sys.argv[3]) * 1000)))
    app.state.llmock.scenarios.add(Reply(text=f"{MARKER.decode()} " * int(sys.argv[2]), times=None))
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, backlog=16_384)
