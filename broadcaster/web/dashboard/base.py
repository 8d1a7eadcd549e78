"""What every page needs: the installation, the session, and the words for what was just done."""

from typing import Any
from urllib.parse import quote

import falcon

from broadcaster.clock import epoch_ms
from broadcaster.services import access
from broadcaster.services.progress import Progress
from broadcaster.web import requests
from broadcaster.web.admission import SMALL, Allowed
from broadcaster.web.dashboard import figures, forms, render
from broadcaster.web.dashboard.forms import Form
from broadcaster.web.dashboard.session import Session, Sessions
from broadcaster.web.own import answers

_NOTES = {
    "accepted": "The broadcast is accepted.",
    "paused": "The broadcast is paused.",
    "resumed": "The broadcast goes on.",
    "stopped": "The broadcast is stopped.",
    "retried": "{count} messages are tried again.",
    "suppressed": "{count} people were added.",
    "lifted": "Marketing may go to this person again.",
    "revoked": "The token is revoked.",
    "synced": "The channel was read anew.",
    "removed": "The webhook is removed.",
    "tested": "A test event is on its way.",
    "replayed": "{count} events are delivered once more.",
}


class Desk:
    """What the pages share."""

    def __init__(self, context: requests.Context):
        self.context = context
        self.settings = context.settings
        self.sessions = Sessions(context)


class Page:
    largest_form = SMALL
    """Bytes of a form that is posted here."""

    def __init__(self, desk: Desk):
        self.desk = desk
        self.settings = desk.settings
        self.schedule = desk.context.schedule
        self.vault = desk.context.vault

    def allowed_body(self, request: falcon.Request) -> Allowed:
        """What this request may bring: a form, from whoever has signed in."""
        return Allowed(self.largest_form if self.desk.sessions.of(request, epoch_ms()) else 0)

    def entered(self, request: falcon.Request) -> Session:
        """The session of a request; leads to the sign-in if there is none."""
        session = self.desk.sessions.of(request, epoch_ms())
        if session is None:
            following = request.relative_uri if request.method == "GET" else "/"
            if request.get_header("HX-Request"):
                # A page that refreshes itself must not take the sign-in for its news.
                raise falcon.HTTPStatus(200, headers={"HX-Redirect": "/sign-in"})
            raise falcon.HTTPSeeOther(f"/sign-in?next={quote(following, safe='')}")
        if session.token_id:
            access.note_use(session.token_id, epoch_ms())
        return session

    def posted(self, request: falcon.Request) -> tuple[Session, Form]:
        """The session and the form of a post; raises Forbidden for one that none of our pages made."""
        session, form = self.entered(request), forms.read(request, self.largest_form)
        self.desk.sessions.check_form(request, session, form["form_token"])
        return session, form

    def page(
        self, response: falcon.Response, name: str, session: Session, status: int = 200, **facts: Any
    ) -> None:
        render.page(response, name, status, session=session, **facts)

    def row(self, progress: Progress) -> dict[str, Any]:
        """A broadcast as the API tells it, and the parts of its bar."""
        return {**answers.broadcast(progress), "parts": figures.parts(progress)}

    @staticmethod
    def note(request: falcon.Request) -> str | None:
        """What was just done, in words of ours."""
        count = request.get_param_as_int("count", min_value=0) if request.has_param("count") else 0
        text = _NOTES.get(request.get_param("done", default="") or "")
        return text.format(count=count) if text else None
