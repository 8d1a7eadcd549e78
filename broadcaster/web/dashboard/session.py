"""Who looks at the dashboard: signing in, the session's cookie, and what keeps forged posts out."""

import hashlib
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import falcon
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from broadcaster.errors import BroadcasterError, Busy, Forbidden, Unauthorized
from broadcaster.services import access
from broadcaster.store import sessions
from broadcaster.web import requests

COOKIE = "broadcaster_session"
HOURS = 12
_FREE_TRIES = 3
_LONGEST_WAIT = 300
_MOST_CLIENTS = 10_000
_PASSWORDS_AT_ONCE, _PASSWORD_SECONDS = 2, 5


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
    """Opens and recognises sessions. Only those signed out of are stored: the cookie is signed with the
    installation's key, and names a token that must still be good, or the password it was opened with."""

    def __init__(self, context: requests.Context):
        key = context.vault.key_for("dashboard")
        self._cookies = URLSafeTimedSerializer(key, salt="cookie")
        self._forms = URLSafeSerializer(key, salt="form")
        self._public_url = context.settings.public_url or ""
        self._trusted = context.settings.trusted_proxies
        self._patience = _Patience()
        # Each takes 32 MiB and a tenth of a second.
        self._passwords = threading.BoundedSemaphore(_PASSWORDS_AT_ONCE)

    def open(self, request: falcon.Request, response: falcon.Response, secret: str, now: int) -> None:
        """Sign in with a token of scope `admin` or with the password.

        Failed passwords from one address are looked at later and later; a token, which nobody guesses, at
        once. Raises Unauthorized, Forbidden, Patience, and Busy while other passwords are looked at.
        """
        caller = _holder(secret, now)
        if caller:
            caller.require("admin")
            access.note_use(caller.token_id, now)
            facts = {"token": caller.token_id, "password": None}
        else:
            self._check_password(requests.client_address(request, self._trusted), secret)
            facts = {"token": None, "password": access.password_mark()}
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

    def close(self, request: falcon.Request, response: falcon.Response, now: int) -> None:
        """Sign out: the cookie opens nothing more, wherever a copy of it is."""
        with suppress(BadData):
            facts = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=HOURS * 3600)
            sessions.end(_mark(facts), now + HOURS * 3_600_000)
        response.unset_cookie(COOKIE, path="/", same_site="Lax")

    def of(self, request: falcon.Request, now: int) -> Session | None:
        """The session of a request, None if there is none or it has ended."""
        try:
            facts = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=HOURS * 3600)
            caller = None if facts["token"] is None else access.holder(facts["token"], now)
            if caller is None and facts["password"] != access.password_mark():
                return None
            if sessions.has_ended(_mark(facts)):
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

    def _check_password(self, client: str, secret: str) -> None:
        # Counted before it is looked at: sixty at once are one after the other.
        self._patience.try_once(client)
        if not self._passwords.acquire(timeout=_PASSWORD_SECONDS):
            raise Busy("other passwords are being looked at: try again in a moment")
        try:
            if not access.is_password(secret):
                raise Unauthorized("this is neither the password nor a token")
        finally:
            self._passwords.release()
        self._patience.forget(client)


class _Patience:
    """How often each client has tried in vain, and when the next try is looked at."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def try_once(self, client: str) -> None:
        """Count a try, as one in vain until forget() says else; raises Patience while it is too early."""
        with self._lock:
            count, until = self._tries.pop(client, (0, 0.0))
            now = time.monotonic()
            if until > now:
                self._tries[client] = (count, until)
                raise Patience(int(until - now) + 1)
            count += 1
            wait = min(_LONGEST_WAIT, 2 ** (count - _FREE_TRIES)) if count >= _FREE_TRIES else 0
            while len(self._tries) >= _MOST_CLIENTS:
                del self._tries[next(iter(self._tries))]
            self._tries[client] = (count, now + wait)

    def forget(self, client: str) -> None:
        """The client may try as if for the first time."""
        with self._lock:
            self._tries.pop(client, None)


def check_origin(request: falcon.Request, public_url: str = "") -> None:
    """Raises Forbidden for a post that a page of somebody else's made, as browsers tell."""
    origin = request.get_header("Origin")
    hosts = {request.netloc, urlsplit(public_url).netloc} - {""}
    foreign = origin is not None and urlsplit(origin).netloc not in hosts
    if foreign or request.get_header("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Forbidden("this form was sent from another site")


def _holder(secret: str, now: int) -> access.Caller | None:
    """Whose token this is, None if it is none."""
    try:
        return access.authenticate(secret, now)
    except Unauthorized:
        return None


def _mark(facts: dict[str, Any]) -> str:
    """What a session is known by where it is stored; it opens nothing."""
    return hashlib.sha256(str(facts["nonce"]).encode()).hexdigest()
