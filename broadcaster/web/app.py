"""The WSGI application: the routes of all APIs, and for each path the one that words its refusals."""

from collections.abc import Sequence
from typing import Any

import falcon

from broadcaster import log
from broadcaster.config import Settings
from broadcaster.errors import BroadcasterError, Busy, Invalid
from broadcaster.store import database
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.web import dashboard, operations
from broadcaster.web.admission import Application
from broadcaster.web.dialects import DIALECTS
from broadcaster.web.large_bodies import LargeBodies
from broadcaster.web.own.operations import own
from broadcaster.web.refusals import Refusal, status_of
from broadcaster.web.requests import Context, request_id
from broadcaster.web.service import APIS
from broadcaster.worker.schedule import Schedule

logger = log.get(__name__)


def make_app(
    settings: Settings,
    schedule: Schedule,
    vault: Vault,
    writer: Writer | None = None,
    extra: Sequence[Any] = (),
) -> Application:
    """The application over the open database; `schedule` is told of what it accepts.

    With a `writer`, callbacks that come together share a commit; `extra` is middleware of the server's.
    """
    app = Application(middleware=[_Trace(), LargeBodies(), *extra])
    # Errors are ours to shape, whatever falcon itself refuses (unknown paths and methods).
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(BroadcasterError, _refused)
    context = Context(settings, schedule, vault, writer)
    operations.add_routes(app, APIS, context)
    dashboard.add_routes(app, context)
    return app


class _Trace:
    """Gives each request an id that stands in its answer and on every line logged for it."""

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        request.context.id = request_id(request.get_header("X-Request-Id"))
        log.about(request=request.context.id)

    def process_response(
        self, request: falcon.Request, response: falcon.Response, _resource: Any, _succeeded: bool
    ) -> None:
        response.set_header("X-Request-Id", request.context.id)
        database.release()
        response.set_header("X-Content-Type-Options", "nosniff")
        if response.get_header("Cache-Control") is None:
            # Whatever is answered is somebody's: numbers, names, texts.
            response.set_header("Cache-Control", "no-store")
        location = response.get_header("Location")
        if location:
            # Paths hold what people type, headers hold ASCII alone.
            response.location = location
        if log.is_detailed():
            # The route, not the path: a path may hold somebody's number.
            logger.debug(
                "answered", method=request.method, route=request.uri_template, status=response.status_code
            )


def _refused(
    request: falcon.Request, response: falcon.Response, error: BroadcasterError, _params: Any
) -> None:
    faults = error.faults if isinstance(error, Invalid) else None
    _refuse(request, response, Refusal(status_of(error), str(error), faults, error))


def _unexpected(request: falcon.Request, response: falcon.Response, error: Exception, _params: Any) -> None:
    if isinstance(error, falcon.HTTPError):
        _serialize(request, response, error)
        return
    if database.is_unstorable(error):
        _refuse(request, response, Refusal(400, "a text has the character NUL, which cannot be stored"))
        return
    logger.error("request failed", method=request.method, path=request.path, exc_info=error)
    if database.is_trouble(error):
        response.set_header("Retry-After", "5")
        _refuse(request, response, Refusal(503, "the database cannot be used at the moment"))
        return
    _refuse(request, response, Refusal(500, "something went wrong here; the log says what"))


def _serialize(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    for name, value in (error.headers or {}).items() if isinstance(error.headers, dict) else ():
        response.set_header(name, value)
    details = {404: "there is nothing at this path", 405: "this path does not take this method"}
    detail = error.description or details.get(error.status_code) or error.title
    _refuse(request, response, Refusal(error.status_code, detail))


def _refuse(request: falcon.Request, response: falcon.Response, refusal: Refusal) -> None:
    api = next((api for api in DIALECTS if api.speaks(request.path)), own)
    if api is own and dashboard.speaks(request.path):
        dashboard.refuse(response, refusal)
    else:
        api.refuse(response, refusal)
    if refusal.status == 401:
        response.set_header("WWW-Authenticate", "Bearer")
    if isinstance(refusal.cause, Busy):
        response.set_header("Retry-After", "1")
