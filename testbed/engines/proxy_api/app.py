"""Toxiproxy's HTTP API, version 2.12, as a Starlette application.

The law of this module: HTTP and nothing else. A route is a row of a table; what a request changes is the affair of
:mod:`testbed.engines.proxy_api.collection`, what it means of :mod:`testbed.engines.proxy_api.messages`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from testbed.engines.proxy_api import gojson
from testbed.engines.proxy_api.collection import PopulateError, Proxies
from testbed.engines.proxy_api.messages import ApiError

# What the real server says when it was built without a version, which is how `go install` builds it.
VERSION = "git"

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuv"

Handler = Callable[[Proxies, Request], Awaitable[Response]]


def _json(value: object, status: int = 200) -> Response:
    return Response(gojson.encode(value), status, media_type=_JSON)


async def _version(_proxies: Proxies, _request: Request) -> Response:
    return Response(f'{{"version": "{VERSION}"}}\n', headers={"content-type": "application/json;charset=utf-8"})


async def _list(proxies: Proxies, _request: Request) -> Response:
    return _json({name: proxy.json() for name, proxy in proxies.all().items()})


async def _create(proxies: Proxies, request: Request) -> Response:
    return _json((await proxies.create(await request.body())).json(), 201)


async def _populate(proxies: Proxies, request: Request) -> Response:
    try:
        done = await proxies.populate(await request.body())
    except PopulateError as error:
        listed = [proxy.json() for proxy in error.done] or None
        return _json({"error": error.message, "status": error.status, "proxies": listed}, error.status)
    return _json({"proxies": [proxy.json() for proxy in done] or None}, 201)


async def _show(proxies: Proxies, request: Request) -> Response:
    return _json(proxies.get(request.path_params["proxy"]).json())


async def _update(proxies: Proxies, request: Request) -> Response:
    return _json((await proxies.update(request.path_params["proxy"], await request.body())).json())


async def _delete(proxies: Proxies, request: Request) -> Response:
    await proxies.delete(request.path_params["proxy"])
    return Response(status_code=204)


async def _reset(proxies: Proxies, _request: Request) -> Response:
    await proxies.reset()
    return Response(status_code=204)


async def _list_toxics(proxies: Proxies, request: Request) -> Response:
    return _json([toxic.json() for toxic in proxies.get(request.path_params["proxy"]).toxics])


async def _create_toxic(proxies: Proxies, request: Request) -> Response:
    proxy = proxies.get(request.path_params["proxy"])
    return _json(proxy.add_toxic(await request.body()).json())


async def _show_toxic(proxies: Proxies, request: Request) -> Response:
    return _json(proxies.get(request.path_params["proxy"]).toxic(request.path_params["toxic"]).json())


async def _update_toxic(proxies: Proxies, request: Request) -> Response:
    proxy = proxies.get(request.path_params["proxy"])
    return _json(proxy.update_toxic(request.path_params["toxic"], await request.body()).json())


async def _delete_toxic(proxies: Proxies, request: Request) -> Response:
    proxies.get(request.path_params["proxy"]).remove_toxic(request.path_params["toxic"])
    return Response(status_code=204)


ROUTES: Mapping[str, Mapping[str, Handler]] = MappingProxyType(
    {
        "/version": {"GET": _version},
        "/reset": {"POST": _reset},
        "/populate": {"POST": _populate},
        "/proxies": {"GET": _list, "POST": _create},
        "/proxies/{proxy}": {"GET": _show, "POST": _update, "PATCH": _update, "DELETE": _delete},
        "/proxies/{proxy}/toxics": {"GET": _list_toxics, "POST": _create_toxic},
        "/proxies/{proxy}/toxics/{toxic}": {
            "GET": _show_toxic,
            "POST": _update_toxic,
            "PATCH": _update_toxic,
            "DELETE": _delete_toxic,
        },
    }
)


def _endpoint(proxies: Proxies, handlers: Mapping[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    """One path: the method finds its handler; what every routed answer has in common is done here."""

    async def answer(request: Request) -> Response:
        handler = handlers.get(request.method)
        if handler is None:
            return Response(status_code=405)
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            # A web page that the tester looks at must not be able to reconfigure proxies on this machine.
            response = Response("User agent not allowed\n", 403, headers={"content-type": _TEXT})
        else:
            response = await _handle(handler, proxies, request)
        response.headers["x-toxiproxy-request-id"] = "".join(secrets.choice(_ID_ALPHABET) for _ in range(20))
        return response

    return answer


async def _handle(handler: Handler, proxies: Proxies, request: Request) -> Response:
    try:
        # A client that hangs up in the middle must not leave half a change behind.
        with trio.CancelScope(shield=True):
            response = await handler(proxies, request)
    except ApiError as error:
        body = gojson.encode({"error": error.message, "status": error.status})
        response = Response(body + "\n", error.status, headers={"content-type": _TEXT})
    return response


async def _no_route(_request: Request, _error: Any) -> Response:
    return Response("404 page not found\n", 404, headers={"content-type": _TEXT})


def make_app(proxies: Proxies) -> Starlette:
    """The application over `proxies`."""
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    routes = [Route(path, _endpoint(proxies, handlers), methods=every) for path, handlers in ROUTES.items()]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    # The real server knows /proxies/a/ as little as /proxies/a/b/c; Starlette would redirect it.
    app.router.redirect_slashes = False
    return app
