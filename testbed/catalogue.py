"""Scenario files: from TOML to a family of plans, and from one plan back to TOML.

The laws of this module: it parses text and writes text, and opens no file (:mod:`testbed.loader` does); which keys a
file may have stands in the tables here; ``parse(to_toml(plan))`` is a family whose one member is `plan` itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import tomli_w

from testbed._scenario_build import build, is_constant
from testbed._scenario_extras import EXTRA_KEYS
from testbed._scenario_forms import (
    COUNT,
    FIELD,
    PLACE,
    SECONDS,
    SILENCE,
    SPLITS,
    STRING,
    TEXT,
    WHOLE,
    At,
    Reader,
    as_table,
    boolean,
    converted,
    in_place,
    integer,
    listed,
    member,
    shown,
    spec,
    string,
    table,
    words,
)
from testbed._scenario_pace import Beat, Heartbeat, Pace
from testbed._scenario_positions import Unplaceable
from testbed._scenario_spec import (
    NO_QUIRK,
    AttemptSpec,
    Choice,
    Constant,
    Explicit,
    Fields,
    Generated,
    Scenario,
    Stall,
    Sweep,
)
from testbed._scenario_tape import Tape
from testbed._scenario_toxics import toxic
from testbed.errors import Unsupported, UsageError
from testbed.plan import (
    FORMAT,
    Attempt,
    Certificate,
    Expect,
    Handshake,
    Keepalives,
    Plan,
    Purpose,
    Quota,
    TlsVersion,
    Window,
)
from testbed.program import compile_script
from testbed.script import Coding, ContentFault, DialectName, Ending, Flush, Framing, Quirk, Step, Terminal, Version
from testbed.script import Reading as ReadingOfBody
from testbed.trace import Cure, Outcome

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["NAME", "Scenario", "parse", "single", "to_toml"]

NAME = re.compile(r"[a-z0-9-]{1,64}")


def parse(text: str, *, name: str, where: str) -> Scenario:
    """Read a scenario file's text; `name` is its file's name, `where` the file as refusals call it.

    Raises :class:`UsageError`: one sentence with the file, the line or the key, and what is allowed.
    """
    at = At(where)
    given = _toml(text, at)
    # The format first: a file of another format may well have other keys.
    found = integer(given.get("format", FORMAT), at.key("format"))
    if found != FORMAT:
        at.key("format").refuse(f"it is {found}; this version reads format {FORMAT}")
    read = table(given, at, _FILE, required=("format", "scenario"))
    about = read["scenario"]
    attempts = _attempts(read, given, at)
    scenario = Scenario(
        name=about.pop("name", name),
        where=where,
        dialects=_dialects(given, at),
        attempts=attempts,
        client=tuple(read.get("client", {}).items()),
        expect=Expect(**read.get("expect", {})),
        quota=read.get("quota"),
        fallback=_sealed(read.get("fallback", ()), read),
        sweep=read.get("sweep"),
        **about,
    )
    _try(scenario, at)
    return scenario


def single(scenario: Scenario) -> Plan:
    """The one plan of a family that has constants only; raises :class:`UsageError` for any other."""
    if not is_constant(scenario):
        raise UsageError(f"{scenario.where}: it describes many plans, not one; what can be replayed has constants only")
    return build(scenario, scenario.dialects[0], Tape(lambda _top: 0))


def to_toml(plan: Plan, *, finding: Mapping[str, object] | None = None) -> str:
    """Write a plan as a scenario file with constants only; with a finding's table before it, it is a capsule."""
    about: dict[str, object] = {"name": plan.scenario}
    about |= {key: getattr(plan, key) for key in ("title", "cause", "requirement") if getattr(plan, key)}
    about |= {key: list(getattr(plan, key)) for key in ("sources", "bugs") if getattr(plan, key)}
    about |= {"tested": plan.tested.value} if plan.tested is not Purpose.STREAM else {}
    about |= {"body_limit": plan.body_limit} if plan.body_limit is not None else {}
    file: dict[str, object] = {"format": FORMAT, **({"finding": finding} if finding is not None else {})}
    file |= {"scenario": {**about, "seed": plan.seed}}
    written = [_written(attempt) for attempt in plan.attempts]
    file |= written[0] if len(written) == 1 else {"attempt": written}
    file |= {"fallback": [_written(attempt) for attempt in plan.fallback]} if plan.fallback else {}
    settings = {key: msgspec.to_builtins(getattr(plan, key)) for key in ("client", "quota", "expect")}
    return tomli_w.dumps({**file, **{key: value for key, value in settings.items() if value}})


def _written(attempt: Attempt) -> dict[str, object]:
    script = {"faults": [], **msgspec.to_builtins(attempt.script)}
    ordered = {key: script[key] for key in ("dialect", "steps", *script) if script[key]}
    toxics = [msgspec.to_builtins(one) for one in attempt.toxics]
    written: dict[str, object] = {"script": ordered, **({"toxics": toxics} if toxics else {})}
    return written if attempt.tls is None else {**written, "tls": msgspec.to_builtins(attempt.tls)}


# --- the file ---------------------------------------------------------------------------------------------------------


def _toml(text: str, at: At) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence, _, place = str(error).rpartition(" (at ")
        at.refuse(f"{place.rstrip(')')}: not valid TOML: {sentence}" if sentence else f"not valid TOML: {error}")


def _try(scenario: Scenario, at: At) -> None:
    """Draw and compile the simplest member, so that what cannot be said is refused here and not in the middle of a
    run.
    """
    for dialect in scenario.dialects:
        if sentence := _unsayable(scenario, dialect):
            at.refuse(f"its simplest plan for {dialect.value} cannot be said: {sentence}")


def _unsayable(scenario: Scenario, dialect: DialectName) -> str:
    """Why the simplest plan cannot be said, or the empty string."""
    try:
        plan = build(scenario, dialect, Tape(lambda _top: 0), stretch=0.0)
        for attempt in (*plan.attempts, *plan.fallback):
            compile_script(attempt.script)
    except (Unsupported, Unplaceable):
        return ""  # a question for the engine's clock and for other draws, not a mistake in the file
    except (UsageError, msgspec.ValidationError) as error:
        return str(error)
    return ""


def _attempts(read: dict[str, Any], given: dict[str, Any], at: At) -> tuple[AttemptSpec, ...]:
    short = [key for key in ("script", "toxics") if key in given]
    if "attempt" in read:
        if short:
            at.refuse(f"it has both [{short[0]}] and [[attempt]]; the first is short for one [[attempt]]")
        if not read["attempt"]:
            at.key("attempt").refuse("it is empty; a scenario needs at least one attempt")
        if "repeat" in given["attempt"][-1]:
            last = at.key("attempt").key(len(read["attempt"]) - 1)
            last.key("repeat").refuse("the last attempt repeats by itself, as often as the client asks")
        # One [tls] is for all attempts that have none of their own.
        return _sealed(read["attempt"], read)
    if "script" not in read:
        at.refuse("the key 'script' is missing; a scenario needs [script], or several [[attempt]]")
    return (AttemptSpec(read["script"], read.get("toxics", ()), read.get("tls")),)


def _sealed(attempts: tuple[AttemptSpec, ...], read: dict[str, Any]) -> tuple[AttemptSpec, ...]:
    return tuple(one if one.tls is not None else msgspec.structs.replace(one, tls=read.get("tls")) for one in attempts)


def _dialects(given: dict[str, Any], at: At) -> tuple[DialectName, ...]:
    """The dialects of the family. They are said once; an attempt that says them again must say the same."""
    said: list[tuple[DialectName, ...]] = []
    for place, script in _scripts(given, at):
        if "dialect" in script:
            said.append(_dialect_names(script["dialect"], place.key("dialect")))
            if said[-1] != said[0]:
                place.key("dialect").refuse("it differs from the first attempt's; one client speaks one dialect")
    if not said:
        at.refuse("the key 'dialect' is missing in [script]")
    return said[0]


def _scripts(given: dict[str, Any], at: At) -> Iterator[tuple[At, dict[str, Any]]]:
    if "script" in given:
        yield at.key("script"), given["script"]
    for key in ("attempt", "fallback"):
        for number, attempt in enumerate(given.get(key, [])):
            yield at.key(key).key(number).key("script"), attempt.get("script", {})


def _dialect_names(value: object, at: At) -> tuple[DialectName, ...]:
    read = spec(words(name.value for name in DialectName))(value, at)
    options = read.options if isinstance(read, Choice) else (read,)
    return tuple(DialectName(option.value) for option in options if isinstance(option, Constant))


# --- its tables -------------------------------------------------------------------------------------------------------


def _name(value: object, at: At) -> str:
    if not NAME.fullmatch(string(value, at)):
        at.refuse(f"it is {shown(value)}; a name has 1 to 64 of the characters a-z, 0-9 and -")
    return str(value)


def _script(value: object, at: At) -> Generated | Explicit:
    given = as_table(value, at)
    if "steps" in given:
        read = table(given, at, _EXPLICIT)
        read.pop("dialect", None)
        return Explicit(**read)
    read = table(given, at, _GENERATED)
    read.pop("dialect", None)
    return Generated(**read)


def _stall(value: object, at: At) -> Stall:
    return Stall(**table(value, at, _STALL, required=("seconds",)))


def _heartbeat(value: object, at: At) -> Heartbeat:
    read = table(value, at, {"every": spec(SECONDS), "kind": member(Beat)}, required=("every",))
    every = read.pop("every")
    if not isinstance(every, Constant) or not 0.001 <= float(every.value) <= 86_400:
        at.key("every").refuse("it must be one number of seconds from 0.001 to 86400")
    return Heartbeat(float(every.value), **read)


def _headers(value: object, at: At) -> Fields:
    return tuple((field, spec(FIELD)(item, at.key(field))) for field, item in as_table(value, at).items())


def _quota(value: object, at: At) -> Quota:
    given = table(value, at, _QUOTA)
    try:
        return Quota(**given)
    except UsageError as error:
        at.refuse(str(error).removeprefix("quota: "))


def _tls(value: object, at: At) -> Fields:
    return tuple(table(value, at, _TLS).items())


def _attempt(value: object, at: At) -> AttemptSpec:
    return AttemptSpec(**table(value, at, _ATTEMPT, required=("script",)))


_STALL: dict[str, Reader] = {
    "seconds": spec(SILENCE),
    "after": spec(PLACE),
    "end": spec(words(one.value for one in Ending)),
}
_GENERATED: dict[str, Reader] = {
    "dialect": spec(words(name.value for name in DialectName)),
    "tokens": spec(COUNT),
    "text": spec(TEXT),
    "time_to_first_byte": spec(SILENCE),
    "time_to_first_token": spec(SILENCE),
    "inter_token": spec(SILENCE),
    "stall": _stall,
    "status": spec(WHOLE),
    "content_type": spec(STRING),
    "headers": _headers,
    "framing": spec(words(one.value for one in Framing)),
    "body": spec(STRING),
    "error": spec(STRING),
    "message": spec(STRING),
    "terminal": spec(words(one.name.lower() for one in reversed(Terminal))),
    "end": spec(words(one.value for one in Ending)),
    "cut": spec(PLACE),
    "splits": spec(SPLITS),
    "pace": spec(words(one.value for one in Pace)),
    "recorded": converted(tuple[float, ...]),
    "heartbeat": _heartbeat,
    "lost_heartbeats": spec(COUNT),
    "ids": boolean,
    "thinking": spec(COUNT),
    "tools": spec(COUNT),
    "finish": spec(STRING),
    "version": spec(words(one.value for one in Version)),
    "coding": spec(words(one.value for one in Coding)),
    "flush": spec(words(one.value for one in Flush)),
    "quirk": spec(words((NO_QUIRK, *(one.value for one in Quirk)))),
    "resumes": boolean,
    **EXTRA_KEYS,
}
_EXPLICIT: dict[str, Reader] = {
    "dialect": _GENERATED["dialect"],
    "steps": converted(tuple[Step, ...]),
    "faults": converted(tuple[ContentFault, ...]),
    "quirks": converted(tuple[Quirk, ...]),
    "reading": converted(ReadingOfBody),
    "resumes": boolean,
}
_QUOTA: dict[str, Reader] = {
    "requests": integer,
    "tokens": integer,
    "seconds": converted(float),
    "window": member(Window),
}
_TLS: dict[str, Reader] = {
    "certificate": spec(words(one.value for one in Certificate)),
    "handshake": spec(words(one.value for one in Handshake)),
    "version": spec(words(one.value for one in TlsVersion)),
}
_ATTEMPT: dict[str, Reader] = {"script": _script, "toxics": listed(toxic), "tls": _tls, "repeat": spec(COUNT)}
_CLIENT: dict[str, Reader] = {
    "connect_timeout": spec(SECONDS),
    "first_byte_timeout": spec(SECONDS),
    "idle_timeout": spec(SECONDS),
    "max_retries": spec(COUNT),
    "keepalives": spec(words(one.value for one in Keepalives)),
    "cancel_at": spec(SECONDS),
    "history": spec(COUNT),
    "attachment": spec(COUNT),
    "pace": spec(SECONDS),
    "max_event_bytes": spec(COUNT),
}
_SCENARIO: dict[str, Reader] = {
    "name": _name,
    "title": string,
    "cause": string,
    "requirement": string,
    "sources": listed(string),
    "bugs": listed(string),
    "seed": integer,
    "tested": member(Purpose),
    "body_limit": integer,
}
_EXPECT: dict[str, Reader] = {"outcome": listed(member(Outcome)), "cures": listed(member(Cure)), "may_miss": boolean}
_FILE: dict[str, Reader] = {
    "format": integer,
    "finding": as_table,  # of a capsule, whose reader is another; here it says nothing
    "scenario": lambda value, at: table(value, at, _SCENARIO),
    "script": _script,
    "toxics": listed(toxic),
    "tls": _tls,
    "attempt": listed(_attempt),
    "fallback": listed(_attempt),
    "client": lambda value, at: table(value, at, _CLIENT),
    "quota": _quota,
    "sweep": in_place(converted(Sweep)),
    "expect": lambda value, at: table(value, at, _EXPECT),
}
