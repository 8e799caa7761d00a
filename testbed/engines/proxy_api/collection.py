"""The proxies and their toxics: what Toxiproxy's API changes, without HTTP and without sockets.

The law of this module: what is stored here is what the API shows, and every change of it is told to the proxy's carrier
in the same step, so that the two cannot differ. What carries the connections is behind :class:`Carrier`; a change
that fails to start a proxy leaves it stored and disabled, as in the real server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, final

import trio

from testbed.engines.proxy_api.messages import (
    ApiError,
    ProxyFields,
    ToxicEntry,
    check_complete,
    parse_proxies,
    parse_proxy,
    parse_toxic,
    parse_toxic_update,
)
from testbed.faults.toxics import Direction


class Carrier(Protocol):
    """What a proxy needs of the network."""

    async def start(self, listen: str, upstream: str, toxics: Sequence[ToxicEntry]) -> str:
        """Listen, and return where; raise :class:`ApiError` if that cannot be done."""
        ...

    async def stop(self) -> None:
        """Close the listener and every connection."""
        ...

    async def resolve(self, listen: str) -> str:
        """The address that `listen` would come out as; raise :class:`ApiError` if it is none."""
        ...

    def add(self, toxic: ToxicEntry) -> None:
        """Add a toxic to the connections that are open, and to those to come."""
        ...

    def update(self, toxic: ToxicEntry) -> None:
        """Change the toxic of that name."""
        ...

    def remove(self, name: str) -> None:
        """Remove the toxic of that name."""
        ...


@final
class Proxy:
    """One proxy: its four fields, its toxics, and its carrier."""

    def __init__(self, name: str, listen: str, upstream: str, carrier: Carrier) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self._asked = listen  # what `listen` was before it was bound
        self._carrier = carrier
        self._toxics: list[ToxicEntry] = []

    def json(self) -> dict[str, object]:
        """The proxy as the API shows it, the real server's unused Logger included."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": [toxic.json() for toxic in self.toxics],
        }

    @property
    def toxics(self) -> list[ToxicEntry]:
        """Upstream ones first, each stream in the order of creation."""
        return sorted(self._toxics, key=lambda toxic: toxic.direction is Direction.DOWNSTREAM)

    async def start(self) -> None:
        """Listen, if it does not yet."""
        if not self.enabled:
            self.listen = await self._carrier.start(self.listen, self.upstream, self._toxics)
            self.enabled = True

    async def stop(self) -> None:
        """Stop listening and close what is open. Toxics stay."""
        if self.enabled:
            self.enabled = False
            await self._carrier.stop()

    async def update(self, fields: ProxyFields) -> None:
        """Apply what a request gives; a new address stops the proxy in between."""
        listen = self.listen if fields.listen is None else fields.listen
        upstream = self.upstream if fields.upstream is None else fields.upstream
        enabled = self.enabled if fields.enabled is None else fields.enabled
        if await self.differs(listen, upstream):
            await self.stop()
            self.listen = self._asked = listen
            self.upstream = upstream
        await (self.start() if enabled else self.stop())

    async def differs(self, listen: str, upstream: str) -> bool:
        """Whether these are other addresses. What it was asked for, and what that became, are the same one."""
        # Resolved first: an address that is none is an error even if nothing would come of it.
        resolved = await self._carrier.resolve(listen)
        return self.upstream != upstream or not ({listen, resolved} & {self.listen, self._asked})

    # --- toxics -------------------------------------------------------------------------------------------------------

    def toxic(self, name: str) -> ToxicEntry:
        """The toxic of that name."""
        return self._toxics[self._find(name)]

    def add_toxic(self, body: bytes) -> ToxicEntry:
        """Create a toxic from a request."""
        toxic = parse_toxic(body, [known.name for known in self._toxics])
        self._toxics.append(toxic)
        self._carrier.add(toxic)
        return toxic

    def update_toxic(self, name: str, body: bytes) -> ToxicEntry:
        """Change a toxic as a request says; a request with a mistake changes nothing."""
        at = self._find(name)
        self._toxics[at] = toxic = parse_toxic_update(body, self._toxics[at])
        self._carrier.update(toxic)
        return toxic

    def remove_toxic(self, name: str) -> None:
        """Delete a toxic."""
        del self._toxics[self._find(name)]
        self._carrier.remove(name)

    def remove_toxics(self) -> None:
        """Delete all toxics."""
        for toxic in tuple(self._toxics):
            self.remove_toxic(toxic.name)

    def _find(self, name: str) -> int:
        for at, toxic in enumerate(self._toxics):
            if toxic.name == name:
                return at
        raise ApiError(404, "toxic not found")


class PopulateError(ApiError):
    """A /populate that failed on the way: it tells what it had done by then."""

    def __init__(self, error: ApiError, done: Sequence[Proxy]) -> None:
        super().__init__(error.status, error.message)
        self.done = tuple(done)


@final
class Proxies:
    """All proxies of one server, by name."""

    def __init__(self, make_carrier: Callable[[], Carrier]) -> None:
        self._make_carrier = make_carrier
        self._proxies: dict[str, Proxy] = {}
        # Binding and resolving wait; two requests must not both find a name free.
        self._changing = trio.Lock()

    def all(self) -> dict[str, Proxy]:
        """Every proxy, sorted by name."""
        return dict(sorted(self._proxies.items()))

    def get(self, name: str) -> Proxy:
        """The proxy of that name."""
        if name not in self._proxies:
            raise ApiError(404, "proxy not found")
        return self._proxies[name]

    async def create(self, body: bytes) -> Proxy:
        """Make a proxy from a request, and start it unless told otherwise."""
        fields = parse_proxy(body)
        check_complete(fields)
        async with self._changing:
            if fields.name in self._proxies:
                raise ApiError(409, "proxy already exists")
            return await self._add(fields)

    async def update(self, name: str, body: bytes) -> Proxy:
        """Change a proxy as a request says."""
        self.get(name)
        fields = parse_proxy(body)
        async with self._changing:
            proxy = self.get(name)
            await proxy.update(fields)
            return proxy

    async def delete(self, name: str) -> None:
        """Stop and forget a proxy."""
        async with self._changing:
            proxy = self.get(name)
            del self._proxies[name]
            await proxy.stop()

    async def reset(self) -> None:
        """Start every proxy and remove every toxic."""
        async with self._changing:
            for proxy in self.all().values():
                await proxy.start()
                proxy.remove_toxics()

    async def populate(self, body: bytes) -> list[Proxy]:
        """Create the proxies that do not exist or differ; the first failure ends it, and what was done stays done."""
        done: list[Proxy] = []
        try:
            entries = parse_proxies(body)
            async with self._changing:
                for fields in entries:
                    done.append(await self._add_or_replace(fields))  # noqa: PERF401  # what is done by an error counts
        except ApiError as error:
            raise PopulateError(error, done) from error
        return done

    async def _add(self, fields: ProxyFields) -> Proxy:
        name = fields.name or ""
        proxy = Proxy(name, fields.listen or "", fields.upstream or "", self._make_carrier())
        if fields.enabled is not False:
            await proxy.start()
        self._proxies[name] = proxy
        return proxy

    async def _add_or_replace(self, fields: ProxyFields) -> Proxy:
        old = self._proxies.get(fields.name or "")
        if old is not None:
            if not await old.differs(fields.listen or "", fields.upstream or ""):
                return old
            await old.stop()
        return await self._add(fields)
