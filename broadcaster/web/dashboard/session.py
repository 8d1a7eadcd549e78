"""Who looks at the dashboard: signing in, the session's cookie, and what keeps forged posts out."""

import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import falcon
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from broadcaster.errors import BroadcasterError, Forbidden, Unauthorized
from broadcaster.services import access
from broadcaster.web import requests

COOKIE = "broadcaster_session"
HOURS = 12
_FREE_TRIES = 3
_LONGEST_WAIT = 300
_MOST_CLIENTS = 10_000


class Patience(BroadcasterError):
    """Too many failed sign-ins from there; `seconds` until the next is looked at."""

    def __init__(self, seconds: int):
        self.seconds = seconds
        super().__init__(f"Too many failed attempts. Try again in {seconds} s.")


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person: by a token, or by the password (`token_id` is None then)."""

    token_id: str | None
    name: str
    form_token: str


class Sessions:
    """Opens and recognises sessions. Nothing is stored: the cookie is signed with the installation's key,
    and names a token that must still be good, or the password it was opened with."""

    def __init__(self, context: requests.Context):
        key = context.vault.key_for("dashboard")
        self._cookies = URLSafeTimedSerializer(key, salt="cookie")
        self._forms = URLSafeSerializer(key, salt="form")
        self._public_url = context.settings.public_url or ""
        self._failures: dict[str, tuple[int, float]] = {}

    def open(self, request: falcon.Request, response: falcon.Response, secret: str, now: int) -> None:
        """Sign in with a token of scope `admin` or with the password; raises Unauthorized, Forbidden
        and Patience."""
        client = request.remote_addr or ""
        self._check_patience(client)
        try:
            facts = _identified(secret, now)
        except (Unauthorized, Forbidden):
            self._note_failure(client)
            raise
        self._failures.pop(client, None)
        facts["nonce"] = secrets.token_urlsafe(12)
        response.set_cookie(
            COOKIE,
            str(self._cookies.dumps(facts)),
            max_age=HOURS * 3600,
            path="/",
            http_only=True,
            same_site="Lax",
            secure=self._public_url.startswith("https://"),
        )

    def close(self, response: falcon.Response) -> None:
        response.unset_cookie(COOKIE, path="/", same_site="Lax")

    def of(self, request: falcon.Request, now: int) -> Session | None:
        """The session of a request, None if there is none or it has ended."""
        try:
            facts = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=HOURS * 3600)
            caller = None if facts["token"] is None else access.holder(facts["token"], now)
            if caller is None and facts["password"] != access.password_mark():
                return None
        except (BadData, Unauthorized):
            return None
        if caller:
            caller.require("admin")
        name = caller.name if caller else "password"
        return Session(facts["token"], name, str(self._forms.dumps(facts["nonce"])))

    def check_form(self, request: falcon.Request, session: Session, shown: str) -> None:
        """Raises Forbidden for a post that none of our pages made."""
        check_origin(request, self._public_url)
        if not secrets.compare_digest(session.form_token.encode(), shown.encode()):
            raise Forbidden("the form is out of date: load the page again")

    def _check_patience(self, client: str) -> None:
        _, until = self._failures.get(client, (0, 0.0))
        left = until - time.monotonic()
        if left > 0:
            raise Patience(int(left) + 1)

    def _note_failure(self, client: str) -> None:
        count = self._failures.pop(client, (0, 0.0))[0] + 1
        wait = min(_LONGEST_WAIT, 2 ** (count - _FREE_TRIES)) if count >= _FREE_TRIES else 0
        while len(self._failures) >= _MOST_CLIENTS:
            del self._failures[next(iter(self._failures))]
        self._failures[client] = (count, time.monotonic() + wait)


def check_origin(request: falcon.Request, public_url: str = "") -> None:
    """Raises Forbidden for a post that a page of somebody else's made, as browsers tell."""
    origin = request.get_header("Origin")
    hosts = {request.netloc, urlsplit(public_url).netloc} - {""}
    foreign = origin is not None and urlsplit(origin).netloc not in hosts
    if foreign or request.get_header("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Forbidden("this form was sent from another site")


def _identified(secret: str, now: int) -> dict[str, Any]:
    if access.is_password(secret):
        return {"token": None, "password": access.password_mark()}
    caller = access.authenticate(secret, now)
    caller.require("admin")
    return {"token": caller.token_id, "password": None}
