"""Declare a client: a function that takes a target and yields what its caller sees becomes an adapter.

The law of this module: everything that can be wrong with a declaration is said where it is written, before any run.
An adapter declares what its library *promises*; whether the library keeps it is for the oracle to say.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

from testbed.adapters.classify import Meaning, Promises, check
from testbed.adapters.drive import drive
from testbed.errors import UsageError, unknown_name
from testbed.ports import Recorder, Runtime, Target
from testbed.script import DialectName
from testbed.trace import ClientProfile, Option

Function = Callable[[Target], Any]

ASYNC_RUNTIMES = frozenset({Runtime.TRIO, Runtime.ASYNCIO})
SYNC_RUNTIMES = frozenset({Runtime.THREAD})

# What is taken for granted of a client that does not say: a time-out is the least that anyone passes on, and an async
# client can be cancelled. A blocking one can not be woken out of a read.
ASYNC_OPTIONS = (Option.IDLE_TIMEOUT, Option.CANCEL)
SYNC_OPTIONS = (Option.IDLE_TIMEOUT,)


@final
class FunctionClient:
    """A client under test that is a generator function: a :class:`testbed.ports.ClientAdapter`.

    Calling it calls the function.
    """

    def __init__(
        self, function: Function, profile: ClientProfile, runtimes: frozenset[Runtime], promises: Promises
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.profile = profile
        self.runtimes = runtimes
        self.promises = promises

    def __call__(self, target: Target) -> Any:
        """Call the function itself."""
        return self.function(target)

    def __repr__(self) -> str:
        return f"<client {self.profile.name}>"

    def named(self, name: str) -> FunctionClient:
        """The same client under another name."""
        profile = _replace(self.profile, name=name)
        return FunctionClient(self.function, profile, self.runtimes, self.promises)

    async def drive(self, target: Target, runtime: Runtime, recorder: Recorder, cancel_at: float | None) -> None:
        """Call the client and record what its caller sees."""
        if runtime not in self.runtimes:
            can = ", ".join(sorted(self.runtimes))
            raise UsageError(f"client {self.profile.name}: it cannot run on {runtime.value}; it can run on {can}")
        await drive(self.function, self.promises, target, runtime, recorder, cancel_at)


def client(
    *,
    base: type[BaseException] | tuple[type[BaseException], ...] = (),
    errors: Mapping[type[BaseException], Meaning] | None = None,
    dialects: Iterable[str] = (DialectName.OPENAI_CHAT,),
    options: Iterable[str] | None = None,
    status: str = "status_code",
    code: str | Sequence[str] = "code",
    shared_read_timeout: bool = True,
    reconnects: bool = False,
    shows_finish: bool = False,
    shows_tools: bool = False,
    runtimes: Iterable[str] | None = None,
    name: str | None = None,
) -> Callable[[Function], FunctionClient]:
    """Declare the decorated generator function as a client under test.

    Args:
        base: the library's base exception; what escapes it without being declared is ``unwrapped-error``.
        errors: exception class to error classes (a set of slugs), or to a function of the exception that returns them.
            The most specific class wins.
        dialects: the wire formats that the client speaks.
        options: the settings of the target that the function passes on: ``connect_timeout``, ``first_byte_timeout``,
            ``idle_timeout``, ``max_retries``, ``fallback`` (it asks a second address), and ``cancel_at`` if it can be
            cancelled. Not given: ``idle_timeout``, and for an async one ``cancel_at``.
        status: the attribute of an exception that holds the HTTP status; dots lead further in, into mappings too.
        code: the attribute that holds the provider's code, or several to look at in order.
        shared_read_timeout: one time-out serves both before and after the first token.
        reconnects: an EventSource client that resumes by itself.
        shows_finish: the function yields :class:`~testbed.adapters.items.Finish`.
        shows_tools: the function yields :class:`~testbed.adapters.items.ToolCall`, each call when it is whole.
        runtimes: where the function can run. Not given: ``trio`` and ``asyncio`` for an async generator, ``thread`` for
            a sync one.
        name: the client's name in reports; the function's by default.
    """
    promises = check(
        Promises(
            base=base if isinstance(base, tuple) else (base,),
            errors=errors or {},
            status=status,
            code=(code,) if isinstance(code, str) else tuple(code),
        )
    )
    spoken = _members("dialect", dialects, DialectName)
    taken = None if options is None else _members("option", options, Option)
    where = None if runtimes is None else frozenset(_members("runtime", runtimes, Runtime))

    def declare(function: Function) -> FunctionClient:
        style = _style(function)
        profile = ClientProfile(
            name=name or function.__name__,
            dialects=spoken,
            options=taken if taken is not None else _OPTIONS[style],
            shared_read_timeout=shared_read_timeout,
            reconnects=reconnects,
            shows_finish=shows_finish,
            shows_tools=shows_tools,
        )
        return FunctionClient(function, profile, _runtimes(function, where, style), promises)

    return declare


# --- checks -----------------------------------------------------------------------------------------------------------

_OPTIONS = {ASYNC_RUNTIMES: ASYNC_OPTIONS, SYNC_RUNTIMES: SYNC_OPTIONS}


def is_client_function(candidate: object) -> bool:
    """Whether this is a generator function, sync or async."""
    return inspect.isasyncgenfunction(candidate) or inspect.isgeneratorfunction(candidate)


def _style(function: Function) -> frozenset[Runtime]:
    """The runtimes that the function's own kind allows."""
    if not is_client_function(function):
        kind = "a coroutine function" if inspect.iscoroutinefunction(function) else f"{function!r:.60}"
        raise UsageError(
            f"client: {getattr(function, '__name__', 'it')} is {kind}; it must be a generator function: "
            "one that takes the target and yields the text as it arrives"
        )
    return ASYNC_RUNTIMES if inspect.isasyncgenfunction(function) else SYNC_RUNTIMES


def _runtimes(function: Function, wanted: frozenset[Runtime] | None, style: frozenset[Runtime]) -> frozenset[Runtime]:
    if wanted is None:
        return style
    if not wanted or not wanted <= style:
        can = ", ".join(sorted(style))
        raise UsageError(
            f"client: runtimes of {function.__name__} is {sorted(wanted)}; its kind of function runs on {can}"
        )
    return wanted


def _members(kind: str, names: Iterable[str], among: Any) -> tuple[Any, ...]:
    known = {member.value: member for member in among}
    # A lone string is what people write for a set of one.
    given = [names] if isinstance(names, str) else list(names)
    for name in given:
        if name not in known:
            raise unknown_name(kind, str(name), known)
    return tuple(dict.fromkeys(known[name] for name in given))


def _replace(profile: ClientProfile, *, name: str) -> ClientProfile:
    fields = {field: getattr(profile, field) for field in profile.__struct_fields__}
    return ClientProfile(**{**fields, "name": name})
