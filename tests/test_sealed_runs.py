"""Whole runs under TLS: plans that say what is wrong with it, clients that find out, and what is made of that."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed import runner
from testbed.adapters import load
from testbed.adapters.command import command_adapter
from testbed.adapters.declare import client
from testbed.adapters.items import Event
from testbed.faults.toxics import (
    CloseAfter,
    CloseAfterAttributes,
    ResetAfter,
    ResetAfterAttributes,
    ResetMode,
    Stall,
    StallAttributes,
    Toxic,
)
from testbed.oracle import Judgement, Verdict, judge
from testbed.plan import Attempt, Certificate, ClientSettings, Handshake, Plan, Tls, TlsVersion
from testbed.ports import ClientAdapter, Target
from testbed.script import DialectName, Done, End, Ending, Finish, Framing, Head, Message, Open, Script, Step, Text
from testbed.trace import Failure, Option, Outcome, Raised, Trace

CHAT, EVENTS = DialectName.OPENAI_CHAT, DialectName.EVENTSOURCE
ANSWER: tuple[Step, ...] = (Open(), Text("One "), Text("fine "), Text("day"))
END: tuple[Step, ...] = (Finish(), Done())
TOLD = {"connect_timeout": 5.0, "idle_timeout": 5.0}


def plan_of(*attempts: Attempt, **told: float) -> Plan:
    """A plan of these attempts, and what its client is told."""
    return Plan("sealed", attempts, client=ClientSettings(**{**TOLD, **told}))  # type: ignore[arg-type]


def chat(tls: Tls, *steps: Step, framing: Framing = Framing.CHUNKED, toxics: tuple[Toxic, ...] = ()) -> Attempt:
    """An answer of openai-chat; the whole one without steps."""
    return Attempt(Script(CHAT, (Head(framing=framing), *(steps or (*ANSWER, *END)))), toxics, tls)


def events(how: Ending, framing: Framing, tls: Tls) -> Attempt:
    """A plain event stream."""
    return Attempt(Script(EVENTS, (Head(framing=framing), Message("a"), Message("b"), End(how))), (), tls)


def run(plan: Plan, by: str | ClientAdapter = "reference", over: str = "simulated") -> tuple[Judgement, Trace]:
    """Run the plan and judge the client."""
    adapter = load(by) if isinstance(by, str) else by
    for _ in range(3):
        trace = runner.run(plan, runner.engine(over), adapter)
        judgement = judge(plan, trace)
        if judgement.verdict is not Verdict.ERROR:
            break  # otherwise this machine was too busy to judge anybody, which is no news of sealed connections
    return judgement, trace


def raised(trace: Trace) -> set[Outcome]:
    """The classes of the error that ended the run."""
    return {one for seen in trace.observations if isinstance(seen, Raised) for one in seen.classes}


BAD = [
    *(Tls(certificate=one) for one in Certificate if one is not Certificate.VALID),
    *(Tls(handshake=one) for one in Handshake if one is not Handshake.COMPLETE),
]


@pytest.mark.parametrize("over", ["simulated", "embedded"])
@pytest.mark.parametrize("by", ["reference", "openai"])
@pytest.mark.parametrize("version", [None, *TlsVersion])
def test_a_sealed_answer_is_read_whole(version: TlsVersion | None, by: str, over: str) -> None:
    """With the authority that it is handed and no other, a client reads what it would read in the clear."""
    judgement, trace = run(plan_of(chat(Tls(version=version))), by, over)
    assert judgement.verdict is Verdict.PASS, judgement
    assert "".join(getattr(seen, "text", "") for seen in trace.observations) == "One fine day"


@pytest.mark.parametrize("over", ["simulated", "embedded"])
@pytest.mark.parametrize("by", ["reference", "openai"])
@pytest.mark.parametrize("tls", BAD, ids=lambda tls: f"{tls.certificate.value}-{tls.handshake.value}")
def test_what_fails_before_a_request_is_a_failure_to_connect(tls: Tls, by: str, over: str) -> None:
    """Certificates and handshakes that are no good. The SDK has one class for all time-outs, whose cause says which."""
    told = {"connect_timeout": 0.4} if tls.handshake is Handshake.SILENCE else {}
    judgement, trace = run(plan_of(chat(tls), **told), by, over)
    assert judgement.verdict is Verdict.PASS, judgement
    assert Outcome.CONNECT in raised(trace)


def test_a_second_attempt_can_be_sealed_better_than_the_first() -> None:
    """A handshake is an attempt's own: a client that may retry comes to the answer."""
    first = chat(Tls(handshake=Handshake.ALERT))
    judgement, trace = run(plan_of(first, chat(Tls()), max_retries=1))
    assert judgement.verdict is Verdict.PASS, judgement
    assert not raised(trace)


@pytest.mark.parametrize("over", ["simulated", "embedded"])
@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("how", [Ending.CLEAN, Ending.FIN])
def test_the_reference_client_tells_an_end_from_a_truncation(how: Ending, framing: Framing, over: str) -> None:
    """Where only the connection says that an event stream is over, a bare FIN does not say it."""
    judgement, trace = run(plan_of(events(how, framing, Tls())), "reference", over)
    assert judgement.verdict is Verdict.PASS, judgement
    whole = how is Ending.CLEAN or framing is Framing.LENGTH
    assert raised(trace) == (set() if whole else {Outcome.INCOMPLETE, Outcome.PROTOCOL})


def test_a_client_that_takes_any_fin_for_an_end_is_found_out() -> None:
    """Httpx does, and with it whoever builds on it; in the clear the same stream would have been a whole one."""
    fin = events(Ending.FIN, Framing.CLOSE, Tls())
    judgement, _ = run(plan_of(fin), "httpx-sse")
    assert [finding.failure for finding in judgement.findings] == [Failure.SILENT_TRUNCATION]
    assert any("RFC 9112, section 9.8" in source for source in judgement.findings[0].sources)
    clear = Attempt(fin.script)
    assert run(plan_of(clear), "httpx-sse")[0].verdict is Verdict.PASS


# --- clients and adapters that do not do as they are told -------------------------------------------------------------


def made(verify: bool | str) -> ClientAdapter:
    """A client of three lines, which trusts everybody, or the authorities of the machine."""

    @client(
        name="made",
        base=httpx.HTTPError,
        errors={httpx.ConnectError: {"connect"}},
        dialects=[EVENTS],
        options=list(Option),
    )
    async def stream(target: Target):  # type: ignore[no-untyped-def]
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False) as http,
            http.stream("GET", target.base_url) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    yield Event("message", line.removeprefix("data: "))

    return stream


def test_a_client_that_does_not_verify_is_found_out() -> None:
    """It sends its request, with the key in it, to a server that could be anybody."""
    plan = plan_of(events(Ending.CLEAN, Framing.CHUNKED, Tls(certificate=Certificate.WRONG_HOST)))
    judgement, _ = run(plan, made(verify=False))
    assert [finding.failure for finding in judgement.findings] == [Failure.CERTIFICATE_IGNORED], judgement


def test_a_client_that_is_not_handed_the_authority_is_not_accused() -> None:
    """A valid certificate that is refused is most often our own adapter's doing."""
    judgement, _ = run(plan_of(events(Ending.CLEAN, Framing.CHUNKED, Tls())), made(verify=True))
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "target.ca" in judgement.reason


def test_an_adapter_that_takes_no_authority_is_not_asked() -> None:
    """What it does not claim, no plan asks of it."""

    @client(name="plain", base=httpx.HTTPError, errors={}, dialects=[EVENTS], options=[Option.IDLE_TIMEOUT])
    async def stream(target: Target):  # type: ignore[no-untyped-def]
        yield ""

    plan = plan_of(events(Ending.CLEAN, Framing.CHUNKED, Tls()))
    assert "takes no ca" in (runner.unsupported(plan, runner.engine("simulated"), stream) or "")


PROGRAM = """
import json, os, sys, urllib.request
target = json.loads(os.environ["TESTBED_TARGET"])
assert os.environ["TESTBED_CA"] == os.environ["NODE_EXTRA_CA_CERTS"] == target["ca"]
try:
    with urllib.request.urlopen(target["base_url"]) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                sys.stdout.write(line[6:-1].decode())
except OSError as error:
    sys.exit(f"testbed-error: connect")
"""


@pytest.mark.parametrize(
    ("certificate", "outcome"), [(Certificate.VALID, set()), (Certificate.EXPIRED, {Outcome.CONNECT})]
)
def test_a_program_finds_the_authority_where_its_library_looks(
    certificate: Certificate, outcome: set[Outcome], tmp_path: Path
) -> None:
    """Urllib reads SSL_CERT_FILE, and knows nothing of us."""
    program = tmp_path / "client.py"
    program.write_text(PROGRAM, encoding="utf-8")
    plan = plan_of(events(Ending.CLEAN, Framing.CHUNKED, Tls(certificate=certificate)), idle_timeout=10.0)
    judgement, trace = run(plan, command_adapter(f"{sys.executable} {program}"), "embedded")
    assert judgement.verdict in {Verdict.PASS, Verdict.LENIENT}, judgement
    assert raised(trace) == outcome


# --- faults of the network under TLS ----------------------------------------------------------------------------------

cuts = st.integers(0, 2_600)
toxics: st.SearchStrategy[Toxic] = st.one_of(
    cuts.map(lambda at: CloseAfter(attributes=CloseAfterAttributes(bytes=at))),
    cuts.map(lambda at: ResetAfter(attributes=ResetAfterAttributes(bytes=at))),
    cuts.map(lambda at: ResetAfter(attributes=ResetAfterAttributes(bytes=at, mode=ResetMode.IMMEDIATE))),
    cuts.map(lambda at: Stall(attributes=StallAttributes(bytes=at))),
)


@settings(max_examples=60, deadline=None)
@given(
    toxics,
    st.sampled_from([Tls(), Tls(version=TlsVersion.TLS_1_2), Tls(certificate=Certificate.EXPIRED)]),
    st.sampled_from(Framing),
    st.sampled_from([(), (Finish(),), END]),
)
def test_no_cut_of_a_sealed_stream_accuses_a_right_client(
    toxic: Toxic, tls: Tls, framing: Framing, end: tuple[Step, ...]
) -> None:
    """At whatever sealed byte, in the handshake or behind it, and whatever the cut is: nothing is found, and nothing is
    unclear but whether the fault struck.
    """
    judgement, _ = run(plan_of(chat(tls, *ANSWER, *end, framing=framing, toxics=(toxic,))))
    assert judgement.findings == (), judgement
    assert judgement.verdict in {Verdict.PASS, Verdict.LENIENT} or "never struck" in judgement.reason, judgement


def test_the_same_sealed_plan_gives_the_same_run() -> None:
    """Keys differ from run to run and no byte is the same, but a trace holds lengths and times, and those are."""
    plan = plan_of(chat(Tls(), toxics=(ResetAfter(attributes=ResetAfterAttributes(bytes=2_000)),)), max_retries=2)
    assert run(plan)[1].to_jsonl() == run(plan)[1].to_jsonl()
