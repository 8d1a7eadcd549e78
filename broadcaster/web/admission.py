"""Admission: how large a body may come, decided from the head of a request before any of it is taken in.

A body up to SMALL is always taken in. A larger one is only if the path takes one so large, and if whoever
sends it may: an unknown token would be refused anyway. What is turned away is served with an empty body,
so that the API it came to words the refusal.
"""

import sys
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple, Protocol, runtime_checkable

import falcon
from falcon.routing import CompiledRouter

from broadcaster.errors import BroadcasterError
from broadcaster.store import database

SMALL = 16 * 1024
"""Bytes; a sign-in or the move of a broadcast has some hundred."""


class Allowed(NamedTuple):
    """How many bytes a body may have, and whether just anybody may send it."""

    size: int
    is_strangers: bool = False


_NO_MORE = Allowed(SMALL, is_strangers=True)


@runtime_checkable
class TakesBodies(Protocol):
    """What stands behind a path and takes more than small bodies."""

    def allowed_body(self, request: falcon.Request) -> Allowed:
        """What the sender of this request may send; raises what the request will be refused with.

        Asked on the thread that serves everybody, so it must not write.
        """


class Application(falcon.App[falcon.Request, falcon.Response]):
    """falcon's application, which also says how large a body it takes."""

    def __init__(self, middleware: list[Any]):
        self._paths = CompiledRouter()
        super().__init__(middleware=middleware, router=self._paths)

    def allowed_body(self, request: falcon.Request) -> Allowed:
        """What this request may bring."""
        found = self._paths.find(request.path)
        resource = found[0] if found else None
        if not isinstance(resource, TakesBodies):
            return _NO_MORE
        try:
            allowed = resource.allowed_body(request)
        except BroadcasterError:
            return _NO_MORE
        except Exception as error:
            if database.is_trouble(error):
                return _NO_MORE
            raise
        return allowed if allowed.size > SMALL else _NO_MORE


def head(method: str, path: str, query: str, headers: Mapping[str, str]) -> falcon.Request:
    """A request without its body, from a head as a server reads it: names in capitals, parted by _."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    for name, value in headers.items():
        environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = value
    return falcon.Request(environ)
