"""What is answered beside the four APIs: Meta's callbacks, health, figures, documentation.

It knows all of them, and so holds their list.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from broadcaster.domain import strict_json
from broadcaster.services import progress
from broadcaster.settlement import event_documents
from broadcaster.web import meta_callback, metrics, openapi
from broadcaster.web.dashboard import render
from broadcaster.web.dialects import DIALECTS
from broadcaster.web.operations import Api, Call, Reply, Text
from broadcaster.web.own.operations import own
from broadcaster.web.own.refusals import PROBLEM_TYPE, refuse
from broadcaster.web.queries import Query

service = Api("service", refuse, ".*", media=PROBLEM_TYPE)
APIS = (own, *DIALECTS, service)
"""All that is spoken here."""


# Meta's callbacks


class Plain(Text):
    media = "text/plain"


class Verification(Query):
    """What Meta asks with, to see whether this is the address somebody configured."""

    mode: Annotated[str, Field(alias="hub.mode")] = ""
    verify_token: Annotated[str, Field(alias="hub.verify_token")] = ""
    challenge: Annotated[str, Field(alias="hub.challenge")] = ""


@service.get(meta_callback.PATH, open=True, errors=(403,))
def verify_callbacks(call: Call, query: Verification) -> Plain:
    """Meta asks whether the address is ours"""
    meta_callback.check_verification(call.context.settings, query.mode, query.verify_token)
    return Plain(query.challenge)


@service.post(
    meta_callback.PATH,
    open=True,
    errors=(400, 401, 413, 503),
    largest=meta_callback.LARGEST,
    headers=(meta_callback.SIGNATURE,),
)
def receive_callback(call: Call) -> Plain:
    """Meta's webhooks, signed with the app's secret"""
    meta_callback.receive(call.context, call.request)
    return Plain("ok")


# For operators


class Alive(TypedDict):
    status: Literal["ok"]


class Checks(TypedDict):
    """What must hold for broadcasts to be accepted and sent."""

    database: bool
    schema: bool
    worker: bool


class Ready(TypedDict):
    status: Literal["ready", "not ready"]
    checks: Checks


class Figures(Text):
    media = metrics.CONTENT_TYPE


@service.get("/healthz", open=True)
def get_health(call: Call) -> Alive:
    """The web process answers"""
    return {"status": "ok"}


@service.get("/readyz", open=True, also={503: Ready})
def get_readiness(call: Call) -> Ready | Reply[Ready]:
    """Broadcasts can be accepted and sent; 503 says what is missing"""
    found = progress.is_ready(call.now)
    checks: Checks = {
        "database": found["database"],
        "schema": found["schema"],
        "worker": found["worker"],
    }
    if all(found.values()):
        return {"status": "ready", "checks": checks}
    return Reply({"status": "not ready", "checks": checks}, 503)


@service.get("/metrics", "channels:read")
def get_metrics(call: Call) -> Figures:
    """Figures for Prometheus"""
    return Figures(metrics.figures(call.context))


# Documentation


class Html(Text):
    media = "text/html; charset=utf-8"


@service.get("/openapi.json", open=True)
def get_openapi(call: Call) -> Reply[dict[str, Any]]:
    """This document"""
    return Reply(stored=_document_text(call.context.settings.public_url))


@service.get("/docs", open=True)
def get_docs(call: Call) -> Reply[Html]:
    """This document as a page"""
    html = _docs_page(call.context.settings.public_url)
    return Reply(Html(html), headers=render.HEADERS)


@cache
def document(public_url: str | None) -> dict[str, Any]:
    """All that is said here, as OpenAPI."""
    events = (*event_documents.EVENT_TYPES, event_documents.WEBHOOK_TEST)
    return openapi.document(APIS, events, public_url)


@cache
def _document_text(public_url: str | None) -> str:
    return strict_json.dumps(document(public_url))


@cache
def _docs_page(public_url: str | None) -> bytes:
    return render.html("docs.html", session=None, d=document(public_url)).encode()
