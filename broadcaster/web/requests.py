"""What every request has: the installation it came to, a token, and the wish to be carried out once."""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address, ip_network
from threading import BoundedSemaphore
from typing import Any

import falcon

from broadcaster.config import Settings
from broadcaster.errors import Busy, Faults, Invalid
from broadcaster.services import access
from broadcaster.services.submit import Once
from broadcaster.store import database
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.worker.schedule import Schedule

MOST_GATHERED = 64
"""Rows that wait for the writer at a time, half of the threads there are."""
_GATHER_SECONDS = 5
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_NOT_NOW = "the database takes nothing at the moment"


@dataclass(frozen=True)
class Context:
    """What the operations are given to work with."""

    settings: Settings
    schedule: Schedule
    vault: Vault
    writer: Writer | None = None
    gathering: BoundedSemaphore = field(default_factory=partial(BoundedSemaphore, MOST_GATHERED))

    def gather(self, function: Callable[[list[Any]], None], row: Any) -> None:
        """Have the function take the row, with all others that wait, and return once it is durable.

        Raises Busy while the database takes nothing: whoever waits for it holds a thread that others need.
        """
        if self.writer is None:
            with database.transaction():
                function([row])
        elif self.writer.is_stuck() or not self.gathering.acquire(timeout=_GATHER_SECONDS):
            raise Busy(_NOT_NOW)
        else:
            try:
                self._wait_for(self.writer.gather(function, row))
            finally:
                self.gathering.release()

    @staticmethod
    def _wait_for(taken: "Future[None]") -> None:
        try:
            taken.result(_GATHER_SECONDS)
        except TimeoutError:
            # Taken after all, it is taken twice, which changes nothing.
            taken.cancel()
            raise Busy(_NOT_NOW) from None


def request_id(given: str | None) -> str:
    """The id a request is logged and answered with: the caller's own where it may stand there."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def authenticated(request: falcon.Request, now: int) -> access.Caller:
    """The holder of the request's token, whatever it may do; raises Unauthorized."""
    scheme, _, token = (request.auth or "").partition(" ")
    is_bearer = scheme.lower() == "bearer" and bool(token.strip())
    return access.authenticate(token.strip() if is_bearer else request.get_header("X-API-Key"), now)


def client_address(request: falcon.Request, trusted: Iterable[str]) -> str:
    """Who sent a request: the peer or, where that is a trusted proxy, whom the proxies name.

    `trusted` are the networks of proxies. The last address in X-Forwarded-For that is in none of them counts;
    of IPv6 its network of 64 bits, which is one client's.
    """
    networks = [ip_network(one, strict=False) for one in trusted]
    told = (request.get_header("X-Forwarded-For") or "").split(",")
    client = ""
    for text in (request.remote_addr or "", *reversed(told)):
        try:
            address = ip_address(text.strip().strip("[]"))
        except ValueError:
            break
        client = str(ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
        if not any(address in network for network in networks):
            break
    return client


def once(request: falcon.Request, token_id: str, raw: bytes) -> Once | None:
    """The caller's wish that this very request be carried out once, from its Idempotency-Key; raises
    Invalid."""
    key = request.get_header("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        faults = Faults()
        faults.add("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
        raise Invalid(faults)
    call = f"{request.method} {request.path.rstrip('/')}\n".encode()
    return Once(token_id, key, hashlib.sha256(call + raw).hexdigest())
