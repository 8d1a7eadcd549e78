"""Webhook delivery: posts events, signed as Standard Webhooks, until the receiver takes them; never to an
address inside our own network."""

import ipaddress
import socket
import threading
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from standardwebhooks import Webhook as Signer

from broadcaster import log, outbound
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.domain import strict_json, timestamps
from broadcaster.errors import BroadcasterError
from broadcaster.store import database, events, webhooks
from broadcaster.store.models import Event, Webhook
from broadcaster.store.webhooks import Due
from broadcaster.vault import Vault
from broadcaster.worker.webhook_slots import Slot, Slots

DELAYS = (5, 30, 120, 600, 1800, 7200, 21_600, 43_200, 86_400, 86_400)
"""Seconds between one attempt and the next: eleven in about three days."""
_DAY_MS = 86_400_000
_SECONDS = 15
"""Of real time, from the first look for the address of a connection to the status."""
_LOOK_SECONDS = 1.0
_GONE = 410
_FAILING_MS = sum(DELAYS) * 1000
"""Of failure alone, after which a webhook is told nothing more: as long as one event is tried."""

logger = log.get(__name__)


class Refused(BroadcasterError):
    """The target is an address that events do not go to."""


class WebhookDelivery:
    """Delivers events on threads of its own, from start() to stop()."""

    def __init__(self, settings: Settings, vault: Vault):
        self._settings = settings
        self._vault = vault
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._slots = Slots()
        self._thread = threading.Thread(target=self._run, name="webhook-delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """No new deliveries; what is under way is tried again by the next worker if it takes longer."""
        self._stopping.set()
        self._news.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                claimed = self._claim()
            except Exception:
                claimed = []
                logger.exception("events wait, trying again")
            for due in claimed:
                self._begin(due)
            self._news.wait(0 if claimed else _LOOK_SECONDS)
            self._news.clear()
        while not self._slots.are_free():
            self._news.wait(_LOOK_SECONDS)
            self._news.clear()
        database.close()

    def _claim(self) -> list[Due]:
        """What is due and has a slot."""
        now = epoch_ms()
        room = self._slots.room(webhooks.with_due(now), time.monotonic())
        return webhooks.claim(room, now) if room else []

    def _begin(self, due: Due) -> None:
        # No pool: at its end Python waits for a pool's threads, and looking up a name has no deadline.
        slot = self._slots.begin(due.webhook.id, time.monotonic())
        threading.Thread(target=self._deliver, args=(due, slot), name="webhook-delivery", daemon=True).start()

    def _deliver(self, due: Due, slot: Slot) -> None:
        try:
            deliver(due, self._settings, self._vault)
        except Exception:
            logger.exception("how a delivery went could not be written down", event_id=due.event.id)
        finally:
            database.close()
            self._slots.end(slot, time.monotonic())
            self._news.set()


def deliver(due: Due, settings: Settings, vault: Vault) -> None:
    """Post a claimed event, and write down how it went and when it is tried again."""
    answer, status = "", 0
    try:
        status = post(due.webhook, due.event, settings, vault, epoch_ms())
        answer = f"HTTP {status}"
    except Exception as error:
        if not isinstance(error, outbound.Unreachable | BroadcasterError | OSError):
            logger.exception("an event could not be delivered", webhook=due.webhook.id, event_id=due.event.id)
        answer = str(error)[:200]
    now = epoch_ms()
    if 200 <= status < 300:
        webhooks.settle(due.id, "delivered", answer, now, now)
        if due.webhook.failing_since is not None:
            webhooks.note_taken(due.webhook.id)
    elif status == _GONE:
        webhooks.settle(due.id, "failed", answer, now, now)
        with database.transaction():
            webhooks.disable(due.webhook.id, "the target answered 410 Gone", now)
    else:
        _settle_failure(due, answer, now)


def _settle_failure(due: Due, answer: str, now: int) -> None:
    """Try again later, or not at all; and disable the webhook once it has taken nothing for days."""
    if due.attempts < len(DELAYS):
        webhooks.settle(due.id, "pending", answer, now + DELAYS[due.attempts] * 1000, now)
    else:
        webhooks.settle(due.id, "failed", answer, now, now)
    since = due.webhook.failing_since
    if since is None:
        webhooks.note_failing(due.webhook.id, now)
        return
    reason = f"it took nothing for {round((now - since) / _DAY_MS)} days, at last: {answer}"
    if now - since >= _FAILING_MS and webhooks.give_up(due.webhook.id, now - _FAILING_MS, reason, now):
        logger.warning("webhook disabled", webhook=due.webhook.id)


def post(webhook: Webhook, event: Event, settings: Settings, vault: Vault, now: int) -> int:
    """Send one event; returns the HTTP status. Raises Refused, Unreachable."""
    event_id = events.public_id(event.id)
    body = strict_json.dumps(
        {
            "id": event_id,
            "type": event.type,
            "timestamp": timestamps.format_time(event.created_at),
            "data": strict_json.loads(event.data.encode()),
        }
    )
    moment = datetime.fromtimestamp(now // 1000, UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "broadcaster",
        "webhook-id": event_id,
        "webhook-timestamp": str(now // 1000),
        "webhook-signature": " ".join(
            Signer(secret).sign(event_id, moment, body) for secret in _secrets(webhook, vault, now)
        ),
    }
    return _post_pinned(webhook.url, body.encode(), headers, settings.event_targets)


def _secrets(webhook: Webhook, vault: Vault, now: int) -> list[str]:
    """The secret, and the one before while both hold."""
    locked = [webhook.secret]
    if webhook.old_secret and (webhook.old_secret_until or 0) > now:
        locked.append(webhook.old_secret)
    return [vault.unlock(secret) for secret in locked]


def _post_pinned(url: str, body: bytes, headers: dict[str, str], allowed: list[str]) -> int:
    """POST to the very address that was looked at, whatever the name says a moment later."""
    parts = urlsplit(url)
    address = resolve(url, allowed)
    netloc = f"[{address}]" if ":" in address else address
    port = parts.port or (443 if parts.scheme == "https" else 80)
    pinned = parts._replace(netloc=f"{netloc}:{port}").geturl()
    named = {**headers, "Host": parts.netloc.rpartition("@")[2]}
    return outbound.post(pinned, body, named, _SECONDS, tls_name=parts.hostname)


def resolve(url: str, allowed: list[str]) -> str:
    """The address of a target; raises Refused for those of this machine, its network and the like,
    unless the settings list them."""
    parts = urlsplit(url)
    if parts.port is not None and parts.port not in _PORTS and parts.port < _FIRST_FREE_PORT:
        raise Refused(f"events go to ports 80, 443 and from {_FIRST_FREE_PORT}, not to {parts.port}")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused(f"the name {parts.hostname} cannot be resolved") from None
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    networks = [ipaddress.ip_network(one, strict=False) for one in allowed]
    for address in addresses:
        plain = _meant(ipaddress.ip_address(address.partition("%")[0]))
        listed = any(plain in network for network in networks)
        if not listed and not _is_public(plain):
            raise Refused(f"events do not go to {plain}; BROADCASTER_EVENT_TARGETS may list its network")
    return addresses[0]


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PORTS = (80, 443)
_FIRST_FREE_PORT = 1024
"""Below it stand mail, remote shells and the like, which a POST must not speak to."""
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
_RESERVED = tuple(
    map(
        ipaddress.ip_network,
        (
            # Special by IANA's registries, and public by Python's tables, in whole or in part.
            "192.0.0.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.175.48.0/24",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "2620:4f:8000::/48",
            "3fff::/20",
            # A cloud's own services for its machines, at a public address.
            "168.63.129.16/32",
        ),
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _meant(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64 or (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip


def _is_public(ip: Address) -> bool:
    # Outside 2000::/3 nothing is routed, whatever else it may be called.
    is_routed = ip.is_global and not ip.is_multicast and (ip.version == 4 or ip in _PUBLIC_V6)
    return is_routed and not any(ip in network for network in _RESERVED)
