"""The desk: what becomes of one request. An answer of the server's own, or a script to play.

The laws of this module: a desk decides and does nothing else, so it neither waits nor reads a clock; what the plan
scripts is played byte for byte, and whatever the server says by itself has the vendor's shape and a request id; every
decision is told for the trace (:class:`testbed.trace.Request`).

The first rule that applies decides::

    the body is too long             413, refused
    the upload of a file             refused if it cannot be read; stored (an aside), or played if it is what is tested
    what SDKs ask around a stream    an aside
    what the vendor rejects          refused
    a key used for another body      400, refused
    the quota is used up             429, an aside that tells how long to wait
    anything else                    the next attempt is played
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol, Union, final

from testbed.dialects import Answer, Asked, Case, Dialect
from testbed.plan import Plan, Purpose, Quota
from testbed.script import Reading, Script
from testbed.server import quota_answers, uploads
from testbed.server.quota import Meter, key_of, tokens_of

# So many idempotency keys are remembered.
MOST_KEYS = 10_000

# What dialects write where a vendor gives each request an id of its own; the desk counts them.
REQUEST_ID = "req_testbed"


class Found(NamedTuple):
    """What the trace is told of a request, by the names of :class:`testbed.trace.Request`."""

    problem: str = ""
    aside: bool = False
    attempt: int = -1
    status: int = 0
    wait: int = -1
    key: str = ""
    resumes: str | None = None


class Reply(NamedTuple):
    """What becomes of a request: an answer of our own, or a script. One of the two is there."""

    answer: Answer | None
    script: Script | None
    found: Found


class Order(Protocol):
    """Which script is next; a desk looks before it takes."""

    def next(self, conn: int) -> tuple[int, Script]:
        """Look at what a scripted request on this connection would play: the attempt's number and its script."""
        ...

    def take(self, conn: int) -> None:
        """Play it."""
        ...

    def skip(self, conn: int) -> None:
        """Say that a request on this connection played nothing."""
        ...


@final
class Attempts:
    """The order of a plan: its attempts, one for each scripted request.

    A connection counts as one attempt even if no request comes over it, for the network may have struck it; it counts
    as none if all that came was answered by the server itself, and as more if it was kept and used again.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._played: dict[int, int] = {}

    def next(self, conn: int) -> tuple[int, Script]:
        """Look at the attempt of the next scripted request on this connection."""
        beyond = sum(played - 1 for one, played in self._played.items() if one < conn)
        number = max(0, conn + beyond + self._played.get(conn, 0))
        return number, self._plan.attempt(number).script

    def take(self, conn: int) -> None:
        """Count it."""
        self._played[conn] = self._played.get(conn, 0) + 1

    def skip(self, conn: int) -> None:
        """Remember that something came over this connection."""
        self._played.setdefault(conn, 0)


@final
class Memory:
    """What a server remembers from one request to the next, on all connections: its quota, keys and request ids."""

    def __init__(self, quota: Quota | None = None) -> None:
        self.meter = None if quota is None else Meter(quota)
        self._used: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._requests = 0

    def new_id(self) -> str:
        """A request id that was not given before."""
        self._requests += 1
        return f"{REQUEST_ID}_{self._requests:06d}"

    def reused(self, key: str, asked: Asked) -> bool:
        """Whether this idempotency key came before, with another request; the first one is remembered."""
        owner = (key_of(asked.headers), key)
        seen = hashlib.sha256(f"{asked.method} {asked.path}\n".encode("utf-8", "surrogatepass") + asked.body).digest()
        first = self._used.setdefault(owner, seen)
        if len(self._used) > MOST_KEYS:
            self._used.popitem(last=False)
        return first != seen


class _Question(NamedTuple):
    """One request, with what the rules ask of it."""

    asked: Asked
    now: int
    whole: bool
    key: str
    upload: bool


# What a rule says: the server's own answer, an error, or nothing.
_Said = Union[tuple[Answer, Found], Case, None]


@final
class Desk:
    """Decides for one plan. `order` is the order of its scripts, `memory` what is shared with other desks."""

    def __init__(
        self, plan: Plan, dialect: Dialect, order: Order, memory: Memory, date: Callable[[], datetime]
    ) -> None:
        self._tested = plan.tested
        self._body_limit = plan.body_limit
        self._dialect = dialect
        self._order = order
        self._memory = memory
        self._date = date
        self._rules = (
            self._too_long,
            self._uploaded,
            self._around,
            self._rejected,
            self._reused,
            self._over_quota,
        )

    def reading(self, conn: int, method: str, path: str) -> Reading:
        """How the body of the next request on this connection is to be read: as the script says that it would play."""
        upload = uploads.is_upload(self._dialect.name, Asked(method, path, "", {}, b""))
        played = upload is (self._tested is Purpose.UPLOAD)
        return self._order.next(conn)[1].reading if played else Reading()

    def explain(self, status: int, sentence: str) -> Answer:
        """What is told to whom sends no request at all."""
        return self._signed(self._dialect.answer(Case(status, sentence)))

    def ask(self, asked: Asked, conn: int, now: int, *, whole: bool = True) -> Reply:
        """Decide. `now` in microseconds; not `whole`: the script begins before all of the body was read."""
        number, script = self._order.next(conn)
        asked = asked._replace(quirks=frozenset(script.quirks))
        key = asked.headers.get("idempotency-key", "")
        question = _Question(asked, now, whole, key, uploads.is_upload(self._dialect.name, asked))
        said = next((said for rule in self._rules if (said := rule(question)) is not None), None)
        if said is None:
            self._order.take(conn)
            found = Found(attempt=-1 if number == conn else number, key=key, resumes=self._dialect.resumes(asked))
            return Reply(None, self._dialect.resume(script, asked), found)
        self._order.skip(conn)
        answer, found = self._refused(said) if isinstance(said, Case) else said
        return Reply(self._signed(answer), None, found._replace(key=key))

    def _too_long(self, question: _Question) -> _Said:
        limit, asked = self._body_limit, question.asked
        declared = asked.headers.get("content-length", "")
        length = max(len(asked.body), int(declared) if declared.isdecimal() else 0)
        if limit is None or length <= limit:
            return None
        return Case(413, f"the body has {length} bytes; at most {limit} are taken")

    def _uploaded(self, question: _Question) -> _Said:
        if not (question.upload and question.whole):
            return None
        stored = uploads.take(self._dialect.name, question.asked)
        if isinstance(stored, Case):
            return stored
        # What is tested is played; the answer that was right is then the script's to give.
        return (stored, Found(aside=True, status=stored.status)) if self._tested is Purpose.STREAM else None

    def _around(self, question: _Question) -> _Said:
        aside = None if question.upload else self._dialect.aside(question.asked)
        return None if aside is None else (aside, Found(aside=True, status=aside.status))

    def _rejected(self, question: _Question) -> _Said:
        dialect, asked = self._dialect, question.asked
        if question.upload:
            return None
        if self._tested is Purpose.UPLOAD:
            service = uploads.SERVICES.get(dialect.name)
            served = "nothing is uploaded" if service is None else f"that is POST {service.path}"
            return Case(404, f"the path is {asked.path}; the plan tests uploads, and in {dialect.name.value} {served}")
        if not question.whole and dialect.serves(asked.path) and asked.method in dialect.all_methods:
            return None  # what is wrong with a body shows only when all of it was read
        return dialect.reject(dialect, asked)

    def _reused(self, question: _Question) -> _Said:
        if not question.key or not self._memory.reused(question.key, question.asked):
            return None
        sentence = f"the idempotency key {question.key!r} was used before, for another request"
        return Case(400, sentence, code="idempotency_key_reused")

    def _over_quota(self, question: _Question) -> _Said:
        meter, asked = self._memory.meter, question.asked
        if meter is None:
            return None
        ruling = meter.ask(key_of(asked.headers), tokens_of(asked.body), question.now)
        if ruling.admitted:
            return None
        answer = quota_answers.refusal(self._dialect, ruling, self._date())
        return answer, Found(aside=True, status=answer.status, wait=ruling.wait)

    def _refused(self, case: Case) -> tuple[Answer, Found]:
        return self._dialect.answer(case), Found(problem=case.message, status=case.status)

    def _signed(self, answer: Answer) -> Answer:
        """Give the answer a request id of its own, the same in its head and in its body."""
        new = self._memory.new_id()
        headers = tuple((name, value.replace(REQUEST_ID, new)) for name, value in answer.headers)
        if not any(new in value for _, value in headers):
            headers = (*headers, ("x-request-id", new))
        return answer._replace(headers=headers, body=answer.body.replace(REQUEST_ID, new))
