"""The one module that touches toxiproxy-python, and what makes that library safe to build on.

The law of this module: every call of the real server goes through toxiproxy-python's own ``Toxiproxy`` and ``Proxy``,
and nothing of theirs comes out of here. Version 0.1.1 keeps host and port in a class that all its objects share, has no
time-outs, follows HTTP_PROXY even for 127.0.0.1, and takes an error 500 for a proxy (a ``KeyError``). So each client
here has a private copy of the library's two modules, bound to a consumer of its own. All calls block: run them in a
thread.
"""

from __future__ import annotations

import importlib.util
import json
import socket
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar, final
from urllib.parse import urlsplit

import requests
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from testbed._values import Value
from testbed.errors import HarnessError, UsageError

T = TypeVar("T")

DEFAULT_PORT = 8474
TIMEOUT = 10.0

# Never by way of a proxy from the environment: the server is here, and what is measured must not take a detour.
_NO_PROXIES = {"http": None, "https": None, "all": None}


class ToxicSpec(Value):
    """A toxic as Toxiproxy's API takes it. `attributes` are whole numbers in Toxiproxy's units."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, int]


class ProxyState(Value):
    """A proxy as the server reports it. `listen` is the bound address once it has been enabled."""

    name: str
    listen: str
    upstream: str
    enabled: bool

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to connect to."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def parse_url(url: str) -> tuple[str, int]:
    """Host and port of a Toxiproxy URL; a bare ``host:port`` is taken as well."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme not in ("", "http") or not parts.hostname or port == 0:
        raise UsageError(f"Toxiproxy's address is {url!r}; it must look like http://127.0.0.1:{DEFAULT_PORT}")
    return parts.hostname, port


def _consumer(host: str, port: int, timeout: float) -> type[Any]:
    """A consumer like the library's, but with an address of its own, time-outs, and errors where it has none."""
    options = {"timeout": timeout, "proxies": _NO_PROXIES}

    class Consumer(APIConsumer):  # type: ignore[misc]  # the library has no types
        """Bound to one server."""

        @classmethod
        def get(cls, url: str, params: Any = None, **kwargs: Any) -> requests.Response:
            return _checked(super().get(url, params=params, **options, **kwargs))

        @classmethod
        def post(cls, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> requests.Response:
            return _checked(super().post(url, data=data, json=json, **options, **kwargs))

        @classmethod
        def delete(cls, url: str, **kwargs: Any) -> requests.Response:
            return _checked(super().delete(url, **options, **kwargs))

    Consumer.host = f"[{host}]" if ":" in host else host
    Consumer.port = port
    return Consumer


def _checked(response: requests.Response) -> requests.Response:
    """Refuse what the library would hand on as if it were a proxy: 403, 405, 500, 503."""
    if response.status_code >= 300:
        raise _Refused(_said(response.content) or f"status {response.status_code}")
    return response


def _can_connect(host: str, port: int) -> bool:
    """Stand in for the library's own probe, which waits for as long as the kernel does."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    except OSError:
        return False
    return True


def _said(content: object) -> str:
    """The server's own sentence out of an error body."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]


def _private_copy(module: str, **bound: object) -> ModuleType:
    """A copy of a module of the library that nobody else has imported, some of its globals bound anew.

    Both modules name *the* consumer as a global, so two servers in one process need two copies. Changing the shared one
    instead would redirect the tester's own use of the library.
    """
    spec = importlib.util.find_spec(f"toxiproxy.{module}")
    if spec is None or spec.loader is None:
        raise HarnessError(f"toxiproxy-python has no module {module!r}; this testbed needs version 0.1.1")
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    vars(copy).update(bound)
    return copy


class _Refused(Exception):
    """An error that the library does not look for: 403, 405, 500, 503."""


class _Gone(HarnessError):
    """The server does not know this proxy or toxic."""


@final
class ToxiproxyClient:
    """A typed client of one Toxiproxy server. Raises :class:`HarnessError` with the server's own sentence."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._host, self._port = parse_url(url)
        consumer = _consumer(self._host, self._port, timeout)
        self._proxies = _private_copy("proxy", APIConsumer=consumer)
        bound = {"APIConsumer": consumer, "Proxy": self._proxies.Proxy, "can_connect_to": _can_connect}
        self._server = _private_copy("server", **bound).Toxiproxy()

    def version(self) -> str | None:
        """What the server says of its version (``git`` in a plain build), or None if nobody listens there."""
        content = self._call("ask for its version", self._server.version)
        return None if content is None else str(json.loads(content).get("version", ""))

    def proxies(self) -> tuple[ProxyState, ...]:
        """Every proxy of the server, ours and others'."""
        found = self._call("list the proxies", self._server.proxies)
        return tuple(_state(proxy) for proxy in found.values())

    def open_proxy(self, name: str, upstream: str, toxics: Sequence[ToxicSpec], listen: str) -> ProxyState:
        """Create a proxy disabled, add its toxics, enable it, and read back what it became.

        The order matters: a toxic added to a proxy that listens already lets early connections through clean.
        """
        proxy = self._call(f"create proxy {name}", lambda: self._server.create(upstream, name, listen, enabled=False))
        for toxic in toxics:
            self._add(proxy, toxic)
        self._call(f"enable proxy {name}", proxy.enable)
        return self._read_back(name, len(toxics))

    def close_proxy(self, name: str) -> None:
        """Delete a proxy and every connection through it; one that is gone already is no error."""
        blank = self._proxies.Proxy(name=name, upstream="", enabled=False, listen="")
        try:
            self._call(f"delete proxy {name}", blank.destroy)
        except _Gone:
            return

    def _add(self, proxy: Any, toxic: ToxicSpec) -> None:
        fields = {field: getattr(toxic, field) for field in ("name", "type", "stream", "toxicity", "attributes")}
        self._call(f"add toxic {toxic.name} to proxy {proxy.name}", lambda: proxy.add_toxic(**fields))

    def _read_back(self, name: str, toxics: int) -> ProxyState:
        proxy = self._call(f"read proxy {name}", lambda: self._server.get_proxy(name))
        if proxy is None or not proxy.enabled:
            raise HarnessError(f"Toxiproxy at {self.url} took proxy {name} but does not have it enabled afterwards")
        found = len(self._call(f"list the toxics of proxy {name}", proxy.toxics))
        if found != toxics:
            raise HarnessError(f"Toxiproxy at {self.url} has {found} toxics on proxy {name}; {toxics} were added")
        return _state(proxy)

    def _call(self, what: str, call: Callable[[], T]) -> T:
        """Run one call of the library and say in a sentence what went wrong, whatever it raises."""
        try:
            return call()
        except NotFound as error:
            raise _Gone(f"Toxiproxy at {self.url} could not {what}: {_said(error.args[0])}") from error
        except (ProxyExists, InvalidToxic, _Refused) as error:
            raise HarnessError(f"Toxiproxy at {self.url} could not {what}: {_said(error.args[0])}") from error
        except requests.Timeout as error:
            raise HarnessError(f"Toxiproxy at {self.url} did not answer in time when asked to {what}") from error
        # Before the errors of the network: what is no JSON is a ValueError, and one of theirs too.
        except (ValueError, KeyError, TypeError) as error:
            raise HarnessError(f"what answers at {self.url} is no Toxiproxy (asked to {what}): {error!r}") from error
        except requests.RequestException as error:
            raise HarnessError(f"no Toxiproxy answers at {self.url} (asked to {what})") from error


def _state(proxy: Any) -> ProxyState:
    return ProxyState(name=proxy.name, listen=proxy.listen, upstream=proxy.upstream, enabled=proxy.enabled)
