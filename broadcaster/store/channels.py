"""Channels: the sending numbers and what Graph told about them."""

from collections.abc import Collection
from typing import Any

from broadcaster.domain import pacing
from broadcaster.domain.words import PauseReason
from broadcaster.store import database
from broadcaster.store.models import Broadcast, Channel, Template

_assumed_tier = "TIER_250"


def assume_tier(tier: str) -> None:
    """The tier of channels for which Graph tells none we know, from here on in this process."""
    global _assumed_tier
    _assumed_tier = tier


def portfolio_of(waba_id: str | None) -> str | None:
    """The portfolio of a business account, None if no channel of it is known."""
    row = Channel.get_or_none(Channel.waba_id == waba_id)
    return None if row is None else row.portfolio


def tier_of(row: Channel) -> str:
    """Meta's word for the tier of the channel's portfolio, or the assumed one."""
    return pacing.known_tier(row.tier, _assumed_tier)


def pace_of(row: Channel) -> float:
    """A channel's pace in messages a second when nothing throttles it."""
    return pacing.pace_of(row.throughput, row.coexistence, tier_of(row), row.pace_override)


def save(facts: dict[str, Any], now: int) -> Channel:
    """Add the channel or bring it up to date; what is not in `facts` stays as it is."""
    with database.transaction():
        database.lock_name("channel", facts["phone_number_id"])
        known = Channel.get_or_none(Channel.phone_number_id == facts["phone_number_id"])
        if known is None:
            return Channel.create(created_at=now, synced_at=now, **facts)
        Channel.update(synced_at=now, **facts).where(Channel.id == known.id).execute()
        return Channel.get_by_id(known.id)


def find(phone_number_id: str) -> Channel | None:
    """The channel with Meta's id for its number."""
    return Channel.get_or_none(Channel.phone_number_id == phone_number_id)


def change(channel_id: int, facts: dict[str, Any]) -> None:
    """What a callback told about a number."""
    Channel.update(facts).where(Channel.id == channel_id).execute()


def pause(channel_id: int, reason: PauseReason, detail: str | None, now: int) -> bool:
    """Nothing is sent through the channel until it is resumed; False if it was paused already."""
    query = Channel.update(paused_at=now, pause_reason=reason, pause_detail=detail)
    is_free = (Channel.id == channel_id) & Channel.paused_at.is_null()
    return database.change(query.where(is_free)) == 1


def resume(channel_id: int) -> bool:
    """Let a paused channel go on; False if it was not paused."""
    query = Channel.update(paused_at=None, pause_reason=None, pause_detail=None)
    is_paused = (Channel.id == channel_id) & Channel.paused_at.is_null(False)
    return database.change(query.where(is_paused)) == 1


def find_by_id(channel_id: int) -> Channel | None:
    """The channel with our own number for it."""
    return Channel.get_or_none(Channel.id == channel_id)


def with_number(digits: str) -> Channel | None:
    """The channel that sends from this number, however Meta writes it."""
    for channel in all_channels():
        if "".join(c for c in channel.display_phone_number or "" if c.isdigit()) == digits:
            return channel
    return None


def get(channel_id: int) -> Channel:
    return Channel.get_by_id(channel_id)


def among(channel_ids: Collection[int]) -> list[Channel]:
    """These channels, in no order."""
    return list(Channel.select().where(Channel.id.in_(list(channel_ids))))


def all_channels() -> list[Channel]:
    return list(Channel.select().order_by(Channel.id))


def remove(channel_id: int) -> bool:
    """Forget a channel that no broadcast ever used; False when one did."""
    with database.transaction():
        if Broadcast.select().where(Broadcast.channel_id == channel_id).exists():
            return False
        channel = Channel.get_by_id(channel_id)
        Channel.delete().where(Channel.id == channel_id).execute()
        if not Channel.select().where(Channel.waba_id == channel.waba_id).exists():
            Template.delete().where(Template.waba_id == channel.waba_id).execute()
        return True
