"""Webhooks: who is told of which events, and the secret that signs them."""

import base64
import secrets
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from broadcaster.config import Settings
from broadcaster.errors import Faults, Invalid, NotFound
from broadcaster.settlement import event_documents
from broadcaster.settlement.event_documents import TYPES, USUAL, TestDocument
from broadcaster.store import webhooks
from broadcaster.store.models import Webhook
from broadcaster.vault import Vault
from broadcaster.worker import webhook_delivery

MOST = 50
"""Webhooks of an installation: each event is delivered to every one."""
OVERLAP_MS = 24 * 3_600_000
"""How long the secret before still signs after a rotation."""


def create(
    url: str, types: Sequence[str] | None, settings: Settings, vault: Vault, now: int
) -> tuple[Webhook, str]:
    """A new webhook and its secret, told this once; raises Invalid.

    Without types it is told of everything but single messages.
    """
    faults = Faults()
    wanted = list(dict.fromkeys(USUAL if types is None else types))
    for kind in wanted:
        if kind not in TYPES:
            faults.add("types", f'there is no event "{kind[:40]}"; there are {", ".join(TYPES)}')
    if not wanted:
        faults.add("types", "must name at least one event, or be left out")
    _check_url(url, settings, faults)
    if len(webhooks.all_webhooks()) >= MOST:
        faults.add("url", f"there are {MOST} webhooks already: remove one first")
    if faults:
        raise Invalid(faults)
    secret = _new_secret()
    return webhooks.add(url, wanted, vault.lock(secret), now), secret


def _check_url(url: str, settings: Settings, faults: Faults) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or len(url) > 2000 or not (url.isascii() and url.isprintable()) or " " in url:
        faults.add("url", "must be an http or https address")
    elif parts.username is not None or parts.fragment:
        faults.add("url", "must have neither a user nor a fragment")
    else:
        try:
            webhook_delivery.resolve(url, settings.event_targets)
        except webhook_delivery.Refused as error:
            faults.add("url", str(error))


def get(reference: str) -> Webhook:
    """The webhook with this id; raises NotFound."""
    row = webhooks.find(reference)
    if row is None:
        raise NotFound(f'there is no webhook "{reference[:40]}"')
    return row


def public_id(reference: str) -> str:
    """The id callers know a webhook by; raises NotFound."""
    return webhooks.public_id(get(reference).id)


def remove(reference: str) -> None:
    """Forget a webhook and what was on its way to it; raises NotFound."""
    webhooks.remove(get(reference).id)


def rotate(reference: str, vault: Vault, now: int) -> tuple[Webhook, str]:
    """A new secret, told this once; for a day the one before signs beside it. Raises NotFound."""
    row, secret = get(reference), _new_secret()
    webhooks.rotate(row.id, vault.lock(secret), now + OVERLAP_MS)
    return get(reference), secret


def send_test(reference: str, now: int) -> None:
    """Deliver an event that says nothing to this webhook alone; raises NotFound."""
    document: TestDocument = {"webhook": reference}
    event_documents.tell_one(get(reference).id, event_documents.WEBHOOK_TEST, document, now)


def replay(reference: str, after: int, now: int) -> int:
    """Deliver once more what happened after an event, and let a disabled webhook be told again; returns
    how many events; raises NotFound."""
    row = get(reference)
    webhooks.enable(row.id)
    return webhooks.send_again(row.id, types_of(row), after, now)


def types_of(row: Webhook) -> Iterable[str]:
    return row.types.split()


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
