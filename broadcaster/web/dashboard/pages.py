"""The dashboard's routes: signing in, the overview, broadcasts and their messages."""

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import falcon

from broadcaster.clock import epoch_ms
from broadcaster.domain.words import BroadcastStatus
from broadcaster.errors import BroadcasterError, Busy, NotFound
from broadcaster.services import contact_book, progress, steering
from broadcaster.store import contacts, counters, message_queries, statuses
from broadcaster.web import refusals, requests
from broadcaster.web.dashboard import figures, forms, render
from broadcaster.web.dashboard.base import Desk, Page
from broadcaster.web.dashboard.compose import Compose
from broadcaster.web.dashboard.lists import (
    Channels,
    Events,
    Suppressions,
    Templates,
    Tokens,
    Webhooks,
)
from broadcaster.web.dashboard.session import Patience, check_origin
from broadcaster.web.own import answers, message_csv
from broadcaster.web.queries import LARGEST_ID

STATIC = Path(__file__).with_name("static")
_ROOTS = (
    "", "sign-in", "sign-out", "broadcasts", "messages", "templates", "channels", "suppressions", "tokens",
    "events", "webhooks", "static", "contacts",
)  # fmt: skip
_ID = f"int(min=0, max={LARGEST_ID})"
_PAGE = 50
_MOST_SEARCHED = 40


def add_routes(app: "falcon.App[falcon.Request, falcon.Response]", context: requests.Context) -> None:
    desk = Desk(context)
    app.add_route("/", Overview(desk))
    app.add_route("/sign-in", SignIn(desk))
    app.add_route("/sign-out", SignOut(desk))
    app.add_route("/broadcasts", Broadcasts(desk))
    app.add_route("/broadcasts/new", Compose(desk))
    app.add_route("/broadcasts/{public_id}", Broadcast(desk))
    app.add_route("/broadcasts/{public_id}/{move}", Move(desk))
    app.add_route("/broadcasts/{public_id}/messages.csv", Download(desk))
    app.add_route(f"/messages/{{message_id:{_ID}}}", Message(desk))
    app.add_route("/contacts/{public_id}", Contact(desk))
    app.add_route("/templates", Templates(desk))
    app.add_route(f"/templates/{{template_id:{_ID}}}", Templates(desk), suffix="one")
    app.add_route("/channels", Channels(desk))
    app.add_route("/channels/{phone_number_id}/sync", Channels(desk), suffix="sync")
    app.add_route("/suppressions", Suppressions(desk))
    app.add_route("/tokens", Tokens(desk))
    app.add_route("/events", Events(desk))
    app.add_route("/webhooks", Webhooks(desk))
    app.add_route("/webhooks/{reference}", Webhooks(desk), suffix="one")
    app.add_route("/static/{name}", Static())


def speaks(path: str) -> bool:
    """Whether a path is one of the dashboard's."""
    return path.lstrip("/").partition("/")[0] in _ROOTS


def refuse(response: falcon.Response, refusal: refusals.Refusal) -> None:
    """The refusal as a page."""
    render.page(response, "error.html", refusal.status, refusal=refusal, session=None)


class Static:
    """Files of ours: scripts and styles. Only names that are there, never a path."""

    def on_get(self, _request: falcon.Request, response: falcon.Response, name: str) -> None:
        path = next((path for path in STATIC.iterdir() if path.name == name), None)
        if path is None:
            raise NotFound("there is no such file")
        response.content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        response.set_header("X-Content-Type-Options", "nosniff")
        response.set_header("Cache-Control", "public, max-age=3600")
        response.data = path.read_bytes()


class SignIn:
    def __init__(self, desk: Desk):
        self._desk = desk

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        self._show(request, response, None)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        check_origin(request, self._desk.settings.public_url or "")
        secret = forms.read(request)["secret"].strip()
        try:
            self._desk.sessions.open(request, response, secret, epoch_ms())
        except Busy:
            raise
        except Patience as error:
            self._show(request, response, error, 429)
            response.set_header("Retry-After", str(error.seconds))
        except BroadcasterError as error:
            self._show(request, response, error, 403)
        else:
            raise falcon.HTTPSeeOther(_ours(request.get_param("next")))

    @staticmethod
    def _show(
        request: falcon.Request, response: falcon.Response, error: BroadcasterError | None, status: int = 200
    ) -> None:
        following = _ours(request.get_param("next"))
        render.page(response, "sign_in.html", status, session=None, error=error, following=quote(following))


def _ours(path: str | None) -> str:
    """A path of our own to go on to: anything else could lead to another site."""
    fine = path and path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if path and fine else "/"


class SignOut(Page):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        self.posted(request)
        self.desk.sessions.close(request, response, epoch_ms())
        raise falcon.HTTPSeeOther("/sign-in")


class Overview(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session, now = self.entered(request), epoch_ms()
        running = [p for status in figures.UNDER_WAY for p in self._of(status, now)]
        ended = [p for p in progress.page(None, None, 30, now) if p.facts.finished_at][:5]
        self.page(
            response,
            "overview.html",
            session,
            running=[self.row(tracked) for tracked in running],
            ended=[self.row(tracked) for tracked in ended],
            channels=figures.channel_rows(now),
            plot=figures.lately(now),
            receipt_age=figures.receipt_age(now),
            ready=progress.is_ready(now),
            now=now,
        )

    def _of(self, status: BroadcastStatus, now: int) -> list[progress.Progress]:
        return progress.page(status, None, 20, now)


class Broadcasts(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session, now = self.entered(request), epoch_ms()
        status = next((word for word in statuses.STATUSES if word == request.get_param("status")), None)
        before = request.get_param_as_int("after", min_value=1, max_value=2**62)
        found = progress.page(status, before, _PAGE + 1, now)
        following = found[_PAGE - 1].facts.id if len(found) > _PAGE else None
        self.page(
            response,
            "broadcasts.html",
            session,
            rows=[self.row(tracked) for tracked in found[:_PAGE]],
            chosen=status,
            statuses=statuses.STATUSES,
            following=following,
            now=now,
        )


class Broadcast(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        session, now = self.entered(request), epoch_ms()
        tracked = progress.of(public_id, now)
        wanted = _wanted(request)
        after = request.get_param_as_int("after", min_value=0, max_value=2**62) or 0
        names = contact_book.all_names(wanted.search, self.settings.default_country)
        found = message_queries.page(tracked.facts.id, wanted.filters, after, _PAGE + 1, wanted.search, names)
        self.page(
            response,
            "broadcast.html",
            session,
            b=self.row(tracked),
            facts=tracked.facts,
            plot=figures.minutes([tracked.facts.id], 0),
            failures=[answers.failure(*row) for row in progress.errors(public_id)],
            rows=[answers.message(row, public_id) for row in found[:_PAGE]],
            following=found[_PAGE - 1].id if len(found) > _PAGE else None,
            wanted=wanted,
            states=(*counters.STATES, *(f"delivery:{word}" for word in counters.DELIVERIES)),
            here=request.relative_uri,
            note=self.note(request),
            now=now,
        )


class _Wanted:
    """Which messages of a broadcast are looked for."""

    def __init__(self, state: str, search: str, code: str):
        self.state, self.search, self.code = state, search, code
        self.filters: dict[str, str] = {}
        if state.startswith("delivery:"):
            self.filters["delivery"] = state.removeprefix("delivery:")
        elif state:
            self.filters["state"] = state
        if code:
            self.filters["error_code"] = code

    @property
    def query(self) -> str:
        """The same wish as the query of an address."""
        return f"state={quote(self.state)}&search={quote(self.search)}&code={quote(self.code)}"


def _wanted(request: falcon.Request) -> _Wanted:
    given = {name: request.get_param(name, default="") or "" for name in ("state", "search", "code")}
    return _Wanted(given["state"][:40], given["search"].strip()[:_MOST_SEARCHED], given["code"][:40])


class Move(Page):
    """Pause, resume, stop, retry: stop asks first."""

    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str, move: str) -> None:
        session = self.entered(request)
        if move != "stop":
            raise NotFound("there is nothing at this path")
        tracked = progress.of(public_id, epoch_ms())
        self.page(response, "stop.html", session, b=self.row(tracked))

    def on_post(self, request: falcon.Request, response: falcon.Response, public_id: str, move: str) -> None:
        _, form = self.posted(request)
        moves: dict[str, Callable[..., str]] = {
            "pause": self._pause, "resume": self._resume, "stop": self._stop, "retry": self._retry,
        }  # fmt: skip
        if move not in moves:
            raise NotFound("there is nothing at this path")
        done = moves[move](public_id, form, epoch_ms())
        raise falcon.HTTPSeeOther(f"/broadcasts/{public_id}?done={done}")

    def _pause(self, public_id: str, _form: forms.Form, now: int) -> str:
        steering.pause(public_id, now)
        return "paused"

    def _resume(self, public_id: str, _form: forms.Form, now: int) -> str:
        steering.resume(public_id, self.schedule, now)
        return "resumed"

    def _stop(self, public_id: str, _form: forms.Form, now: int) -> str:
        steering.stop(public_id, now)
        return "stopped"

    def _retry(self, public_id: str, form: forms.Form, now: int) -> str:
        _, count = steering.retry(public_id, form["code"] or None, self.schedule, now)
        return f"retried&count={count}"


class Download(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        self.entered(request)
        progress.facts(public_id)
        failed = request.get_param("only") == "failed"
        response.content_type = "text/csv; charset=utf-8"
        response.downloadable_as = f"{'failed' if failed else 'messages'}.csv"
        pages = message_csv.csv_pages(public_id, {"state": "failed"} if failed else {})
        response.stream = (lines.encode() for lines in pages)


class Message(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response, message_id: int) -> None:
        session = self.entered(request)
        row, public_id = progress.find_message(str(message_id))
        document = answers.message(row, public_id)
        facts: list[tuple[str, Any]] = figures.history(row)
        person = contacts.of(row.recipient) if row.recipient else None
        self.page(
            response,
            "message.html",
            session,
            m=document,
            history=facts,
            content=row.content,
            contact=contacts.public_id(person.id) if person and person.erased_at is None else None,
        )


class Contact(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        session = self.entered(request)
        found = answers.contact_details(contact_book.known(public_id))
        self.page(response, "contact.html", session, c=found)
