"""From an exception to what the trace says of it."""

from __future__ import annotations

import sys

import pytest

from testbed.adapters.classify import MESSAGE_LIMIT, Promises, check, classify
from testbed.errors import UsageError
from testbed.trace import Outcome, Wrapping

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


class Base(Exception): ...


class Timeout(Base): ...


class ReadTimeout(Timeout): ...


class OwnKeyError(KeyError):
    """A library's error that is derived from a built-in one on purpose."""


class WithStatus(Base):
    status_code = 503
    code = None
    type = "overloaded_error"


PROMISES = Promises(
    base=(Base,),
    errors={Timeout: {"idle_timeout"}, ReadTimeout: "first_byte_timeout", WithStatus: lambda error: {"overloaded"}},
    code=("code", "type"),
)


def test_the_most_specific_declared_class_decides():
    """A subclass that is declared itself does not fall back to its parent."""
    assert classify(ReadTimeout(), PROMISES, 1).classes == (Outcome.FIRST_BYTE_TIMEOUT,)
    assert classify(Timeout(), PROMISES, 1).classes == (Outcome.IDLE_TIMEOUT,)


def test_a_subclass_inherits_its_parents_classes():
    """What is derived from a declared class is declared."""

    class Own(Timeout): ...

    raised = classify(Own("late"), PROMISES, 1)
    assert (raised.wrapping, raised.classes, raised.message) == (Wrapping.DECLARED, (Outcome.IDLE_TIMEOUT,), "late")


def test_a_function_sees_the_exception_and_may_decline():
    """An empty answer leaves the exception undeclared."""
    promises = Promises(base=(Base,), errors={Base: lambda error: {"reset"} if str(error) == "reset" else ()})
    assert classify(Base("reset"), promises, 1).classes == (Outcome.RESET,)
    assert classify(Base("other"), promises, 1).wrapping is Wrapping.BASE


def test_status_and_code_come_from_the_named_attributes():
    """The first code attribute that holds something wins."""
    raised = classify(WithStatus(), PROMISES, 1)
    assert (raised.status, raised.code) == (503, "overloaded_error")


def test_a_dotted_status_leads_through_attributes():
    """In httpx the status stands in the response."""

    class Response:
        status_code = 404

    class StatusError(Base):
        response = Response()

    assert classify(StatusError(), Promises(status="response.status_code"), 1).status == 404
    assert classify(Base(), Promises(status="response.status_code"), 1).status is None


def test_a_dotted_code_leads_into_mappings():
    """Some libraries leave the provider's answer as it came."""

    class WithBody(Base):
        body = {"error": {"type": "overloaded_error"}}  # noqa: RUF012 - as the SDK has it

    assert classify(WithBody(), Promises(code=("type", "body.error.type")), 1).code == "overloaded_error"


@pytest.mark.parametrize(
    "error", [IndexError(), AttributeError(), KeyError("x"), TypeError(), RecursionError(), SystemExit()]
)
def test_a_built_in_mistake_is_a_bug(error):
    """Python's own words for wrong code are a crash of the client."""
    assert classify(error, PROMISES, 1).wrapping is Wrapping.BUG


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), ValueError(), RuntimeError(), UnicodeDecodeError("utf-8", b"", 0, 1, "")]
)
def test_an_exception_of_a_library_below_is_foreign(error):
    """What escapes the base class and is no mistake came from below."""
    assert classify(error, PROMISES, 1).wrapping is Wrapping.FOREIGN


def test_a_librarys_own_key_error_is_foreign():
    """Only the built-in classes themselves count as mistakes."""
    assert classify(OwnKeyError(), PROMISES, 1).wrapping is Wrapping.FOREIGN


def test_a_group_of_one_is_unwrapped():
    """Nurseries wrap a lone exception, which is not what a caller means."""
    raised = classify(ExceptionGroup("g", [ExceptionGroup("g", [Timeout()])]), PROMISES, 1)
    assert raised.wrapping is Wrapping.DECLARED
    assert raised.type.endswith("test_classify.Timeout")


def test_a_message_is_bounded_and_never_raises():
    """Some libraries put a response into the message, and some messages can not be made."""

    class Unprintable(Base):
        def __str__(self) -> str:
            raise ValueError

    assert len(classify(Base("x" * 10_000), PROMISES, 1).message) == MESSAGE_LIMIT
    assert classify(Unprintable(), PROMISES, 1).message == "(its message could not be read)"


def test_a_misspelt_class_is_refused_where_it_is_declared():
    """The hint names the class that was meant."""
    with pytest.raises(UsageError, match="unknown error class 'idle_timout'; did you mean 'idle_timeout'"):
        check(Promises(errors={Timeout: {"idle_timout"}}))


def test_success_is_no_error_class():
    """An exception cannot stand for a complete answer."""
    with pytest.raises(UsageError, match="unknown error class 'complete'"):
        check(Promises(errors={Timeout: {"complete"}}))


def test_only_exceptions_can_be_mapped():
    """The key must be an exception class."""
    with pytest.raises(UsageError, match="errors has the key 'Timeout'; it must be an exception class"):
        check(Promises(errors={"Timeout": {"reset"}}))
