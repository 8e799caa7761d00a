"""The decorator: what it makes of a function, and what it refuses."""

from __future__ import annotations

import pytest

from testbed.adapters import client
from testbed.errors import UsageError
from testbed.ports import Runtime, Target
from testbed.script import DialectName
from testbed.trace import Option


def test_an_async_generator_runs_in_both_event_loops():
    """Defaults: trio and asyncio, the idle time-out, and cancellation."""

    @client()
    async def mine(target):
        """Say something."""
        yield "text"

    assert mine.runtimes == {Runtime.TRIO, Runtime.ASYNCIO}
    assert mine.profile.options == (Option.IDLE_TIMEOUT, Option.CANCEL)
    assert mine.profile.dialects == (DialectName.OPENAI_CHAT,)
    assert (mine.profile.name, mine.__doc__, repr(mine)) == ("mine", "Say something.", "<client mine>")


def test_a_generator_runs_in_a_thread_and_cannot_be_woken():
    """A blocking client is not asked about cancellation."""

    @client(name="other")
    def mine(target):
        yield "text"

    assert mine.runtimes == {Runtime.THREAD}
    assert mine.profile.options == (Option.IDLE_TIMEOUT,)
    assert mine.profile.name == "other"
    assert list(mine(Target(base_url="http://127.0.0.1", dialect=DialectName.OPENAI_CHAT))) == ["text"]


def test_what_is_said_is_kept():
    """Dialects, options and flags reach the profile, by name or by value."""

    @client(
        dialects="eventsource", options=["max_retries"], reconnects=True, shows_finish=True, shared_read_timeout=False
    )
    async def mine(target):
        yield ""

    profile = mine.profile
    assert profile.dialects == (DialectName.EVENTSOURCE,)
    assert profile.options == (Option.MAX_RETRIES,)
    assert (profile.reconnects, profile.shows_finish, profile.shared_read_timeout) == (True, True, False)


def test_runtimes_can_be_narrowed():
    """A client that needs asyncio says so."""

    @client(runtimes=["asyncio"])
    async def mine(target):
        yield ""

    assert mine.runtimes == {Runtime.ASYNCIO}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"dialects": ["openai-chatt"]}, "unknown dialect 'openai-chatt'; did you mean 'openai-chat'"),
        ({"options": ["idle_time"]}, "unknown option 'idle_time'; did you mean 'idle_timeout'"),
        ({"runtimes": ["trioo"]}, "unknown runtime 'trioo'; did you mean 'trio'"),
        ({"errors": {OSError: {"resett"}}}, "unknown error class 'resett'; did you mean 'reset'"),
    ],
)
def test_a_misspelt_name_is_refused_at_once(arguments, sentence):
    """The mistake is said before any function is decorated."""
    with pytest.raises(UsageError, match=sentence):
        client(**arguments)


def test_a_coroutine_function_is_refused():
    """People forget that a client yields."""
    with pytest.raises(UsageError, match="mine is a coroutine function; it must be a generator function"):

        @client()
        async def mine(target):
            return "text"


def test_a_runtime_that_the_function_cannot_have_is_refused():
    """A blocking function cannot run in an event loop."""
    with pytest.raises(UsageError, match="its kind of function runs on thread"):

        @client(runtimes=["trio"])
        def mine(target):
            yield ""
