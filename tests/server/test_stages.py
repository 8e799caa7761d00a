"""Stages: which scenario and dialect a request is for, and whose turn it is."""

from __future__ import annotations

import itertools
import json

import pytest

from testbed.dialects import Asked
from testbed.script import DialectName, Text
from testbed.server.glance import Seen
from testbed.server.stages import House, Porter, Stage, Turn, TurnOfOne, dialect_of
from tests.net.support import BODY, chat, plan_of

D = DialectName
ALL = tuple(D)
PLAN = plan_of(chat(Text("first")), chat(Text("second")))


def stage(name: str = "one", dialect: DialectName = D.OPENAI_CHAT) -> Stage:
    """A stage with the turns of a plan."""
    return Stage(name, dialect, (Turn(PLAN, conn) for conn in itertools.count()))


def seen(path: str, model: str = "", **headers: str) -> Seen:
    """A request, as a glance sees it."""
    return Seen(path, {name.replace("_", "-"): value for name, value in headers.items()}, model)


@pytest.mark.parametrize(
    ("path", "headers", "offered", "dialect"),
    [
        ("/v1/chat/completions", {}, ALL, D.OPENAI_CHAT),
        ("/v1/responses", {}, ALL, D.OPENAI_RESPONSES),
        ("/v1/responses/resp_1", {}, ALL, D.OPENAI_RESPONSES),
        ("/v1/messages", {}, ALL, D.ANTHROPIC_MESSAGES),
        ("/v1beta/models/m:streamGenerateContent", {}, ALL, D.GEMINI),
        ("/api/chat", {}, ALL, D.OLLAMA),
        ("/events", {}, ALL, D.EVENTSOURCE),
        ("/mcp", {}, ALL, D.MCP),
        ("/v1/models", {}, ALL, D.OPENAI_CHAT),
        ("/v1/models", {"anthropic-version": "1"}, ALL, D.ANTHROPIC_MESSAGES),
        ("/v1/models", {"anthropic-version": "1"}, (D.OPENAI_CHAT, D.GEMINI), D.OPENAI_CHAT),
        ("/v1/files", {}, (D.OLLAMA, D.OPENAI_RESPONSES), D.OPENAI_RESPONSES),
        ("/v1/files", {"x-api-key": "k"}, ALL, D.ANTHROPIC_MESSAGES),
        ("/v1/chat/completions", {"x-api-key": "k"}, ALL, D.OPENAI_CHAT),
        ("/nowhere", {}, (D.EVENTSOURCE, D.MCP), D.EVENTSOURCE),
    ],
)
def test_the_path_tells_the_dialect_and_the_headers_where_paths_are_shared(
    path: str, headers: dict[str, str], offered: tuple[DialectName, ...], dialect: DialectName
) -> None:
    """Who serves the path, else whom the headers name, else the first."""
    assert dialect_of(path, headers, offered) is dialect


def test_one_stage_is_for_everybody() -> None:
    """Nothing has to be looked at."""
    only = stage()
    assert House([only]).only is only
    assert House([only], by_name=True).only is None
    assert House([only, stage(dialect=D.OLLAMA)]).only is None


@pytest.mark.parametrize(
    ("request_", "name", "prefix"),
    [
        (seen("/one/v1/chat/completions"), "one", "/one"),
        (seen("/two/v1/chat/completions"), "two", "/two"),
        (seen("/v1/chat/completions", "testbed/two"), "two", ""),
        (seen("/one/v1/chat/completions", "testbed/two"), "one", "/one"),
        (seen("/one"), "one", "/one"),
        (seen("/three/v1/chat/completions"), None, ""),
        (seen("/v1/chat/completions", "one"), None, ""),
        (seen("/v1/chat/completions", "testbed/three"), None, ""),
        (seen("/v1/chat/completions", "testbed/"), None, ""),
        (seen(""), None, ""),
        (seen("*"), None, ""),
    ],
)
def test_a_scenario_is_named_by_the_path_or_by_the_model(request_: Seen, name: str | None, prefix: str) -> None:
    """The path comes first; what names none belongs nowhere."""
    place = House([stage("one"), stage("two")], by_name=True).place(request_)
    assert (place.stage.name if place else None) == name
    if place is not None:
        assert place.prefix == prefix


def test_the_body_is_looked_at_only_where_the_path_names_no_scenario() -> None:
    """A name in the path is enough."""
    house = House([stage("one")], by_name=True)
    assert [house.knows(path) for path in ("/one/v1/x", "/one", "/v1/x", "/", "")] == [True, True, False, False, False]


def test_a_turn_that_was_not_used_is_the_next_to_be_given() -> None:
    """An aside gives it back at once; a connection that the network left alone gives it back when it is over."""
    it = stage()
    first = TurnOfOne(it)
    first.skip(0)
    second = TurnOfOne(it)
    assert second.turn == Turn(PLAN, 0)
    second.over(struck=False)
    third = TurnOfOne(it)
    assert third.turn == Turn(PLAN, 0)
    third.over(struck=True)
    assert TurnOfOne(it).turn == Turn(PLAN, 1)


def test_a_kept_connection_goes_on_with_the_next_turn_of_its_stage() -> None:
    """Each scripted request takes one, and none is given twice."""
    it = stage()
    kept, other = TurnOfOne(it), TurnOfOne(it)
    assert kept.next(0)[0] == 0
    kept.take(0)
    assert kept.next(0)[0] == 2
    kept.take(0)
    kept.over(struck=False)
    other.take(1)
    assert it.take().conn == 3


def test_the_porter_says_what_there_is() -> None:
    """At the root he lists the scenarios; elsewhere he says, in the shape of the path's vendor, how to name one."""
    porter = Porter(House([stage("one")], by_name=True), seen("/v1/messages"))
    listed = porter.ask(Asked("GET", "/", "", {}, b""), 1, 0).answer
    assert listed is not None
    assert json.loads(listed.body) == {"scenarios": {"one": "/one"}}
    reply = porter.ask(Asked("POST", "/v1/messages", "", {}, BODY), 1, 0)
    assert reply.answer is not None
    assert json.loads(reply.answer.body)["error"]["type"] == "not_found_error"
    assert "ask for the model testbed/NAME" in reply.found.problem
