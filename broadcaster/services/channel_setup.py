"""Channels: a number and its templates, added from Graph and read again."""

import re
from typing import Any

from broadcaster import log
from broadcaster.config import Settings
from broadcaster.domain import strict_json
from broadcaster.errors import BroadcasterError, Faults, Invalid, NotFound
from broadcaster.meta.management import Graph
from broadcaster.store import channels, database, definitions
from broadcaster.store.models import Channel
from broadcaster.vault import Vault

logger = log.get(__name__)
_JUST_NOW_MS = 5 * 60_000
LEAST_PACE, MOST_PACE = 0.01, 100_000


def add(
    phone_number_id: str,
    waba_id: str,
    access_token: str,
    settings: Settings,
    vault: Vault,
    now: int,
    pace: float | None = None,
    portfolio: str | None = None,
) -> tuple[Channel, int]:
    """Read the number and its templates from Graph and keep them; again: bring them up to date.

    Without a portfolio the business account stands for it. Pace and portfolio given before stay.
    Returns the channel and how many templates it has; raises Invalid and GraphError.
    """
    _check(phone_number_id, waba_id, access_token, pace)
    graph = Graph(settings.graph_url, settings.graph_version, access_token)
    facts = graph.number(phone_number_id)
    found = graph.templates(waba_id)
    known = channels.find(phone_number_id)
    kept: dict[str, Any] = {"portfolio": portfolio or (known.portfolio if known else waba_id)}
    if pace is not None:
        kept["pace_override"] = pace
    told = {
        "phone_number_id": phone_number_id,
        "waba_id": waba_id,
        "access_token": vault.lock(access_token),
        **kept,
        **facts,
    }
    with database.transaction():
        row = channels.save(told, now)
        # The token has just proved good: what was held for want of one may go on.
        if row.pause_reason == "token" and channels.resume(row.id):
            row = channels.get(row.id)
        return row, _keep_templates(waba_id, found, now)


def _check(phone_number_id: str, waba_id: str, access_token: str, pace: float | None) -> None:
    faults = Faults()
    for name, value in (("PHONE_NUMBER_ID", phone_number_id), ("--waba-id", waba_id)):
        # It becomes part of an address that the token is sent to.
        if not (value.isascii() and value.isdecimal() and len(value) <= 30):
            faults.add(name, f'must be the digits Meta shows for it, not "{value[:40]}"')
    if not re.fullmatch(r"[\x21-\x7e]{1,2000}", access_token):
        faults.add("--access-token", "must be one word of plain characters, as Meta shows it")
    if pace is not None and not LEAST_PACE <= pace <= MOST_PACE:
        faults.add("--pace", f"must be {LEAST_PACE} to {MOST_PACE} messages a second, not {pace}")
    if faults:
        raise Invalid(faults)


def sync(
    phone_number_id: str, settings: Settings, vault: Vault, now: int, access_token: str | None = None
) -> tuple[Channel, int]:
    """Read a known channel anew, with the token it has or a new one; raises NotFound and GraphError."""
    row = get(phone_number_id)
    token = access_token or vault.unlock(row.access_token)
    return add(phone_number_id, row.waba_id, token, settings, vault, now)


def refresh_all(settings: Settings, vault: Vault, now: int) -> None:
    """Read tier, throughput, quality and templates of every channel that was not read in the last five
    minutes. A channel that cannot be read is logged and left as it is."""
    for row in channels.all_channels():
        if row.synced_at is not None and now - row.synced_at < _JUST_NOW_MS:
            continue
        try:
            sync(row.phone_number_id, settings, vault, now)
        except BroadcasterError as error:
            logger.warning("a channel could not be read anew", channel=row.phone_number_id, reason=str(error))


def get(phone_number_id: str) -> Channel:
    """The channel with this id of Meta's; raises NotFound."""
    row = channels.find(phone_number_id)
    if row is None:
        raise NotFound(f'there is no channel "{phone_number_id[:40]}"')
    return row


def _keep_templates(waba_id: str, found: list[dict[str, Any]], now: int) -> int:
    rows = [{**row, "components": strict_json.dumps(row["components"])} for row in found]
    return definitions.replace_all(waba_id, rows, now)
