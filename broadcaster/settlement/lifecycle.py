"""The life of a broadcast: started, held, stopped, finished. Each change tells its event.

The changes themselves are those of `store/broadcasts.py`; the caller's transaction makes change and event
one.
"""

from collections.abc import Iterable, Sequence

from broadcaster.domain.words import PauseReason
from broadcaster.settlement import event_documents
from broadcaster.settlement.event_documents import (
    BROADCAST_FINISHED,
    BROADCAST_PAUSED,
    BROADCAST_STARTED,
    CHANNEL_UPDATED,
    ChannelDocument,
    tell_broadcasts,
)
from broadcaster.store import broadcasts, channels, messages
from broadcaster.store.models import Channel


def tell_started(broadcast_ids: Sequence[int], now: int) -> None:
    """Tell that these broadcasts began to send, which a claim has noted."""
    tell_broadcasts(BROADCAST_STARTED, broadcast_ids, now)


def finish(broadcast_ids: Iterable[int], now: int) -> list[int]:
    """Note the end of those in which no message is pending, sending or unknown; returns them."""
    finished = broadcasts.finish(broadcast_ids, now)
    tell_broadcasts(BROADCAST_FINISHED, finished, now)
    return finished


def stop(broadcast_id: int, now: int) -> None:
    """Cancel what has not left; nothing changes if the broadcast was stopped or has ended."""
    if broadcasts.stop(broadcast_id, now):
        finish([broadcast_id], now)


def expire(now: int) -> list[int]:
    """Cancel what has not left of broadcasts whose time has run out; returns these."""
    expired = broadcasts.expire(now)
    finish(expired, now)
    return expired


def pause(broadcast_id: int, reason: PauseReason, detail: str | None, now: int) -> bool:
    """Hold a broadcast that has not ended; False if it was paused, stopped or over."""
    paused = broadcasts.pause(broadcast_id, reason, detail, now)
    if paused:
        tell_broadcasts(BROADCAST_PAUSED, [broadcast_id], now)
    return paused


def pause_template(waba_id: str, name: str, language: str, detail: str, now: int) -> int:
    """Hold all that has not ended of a template; returns how many broadcasts."""
    ids = broadcasts.unfinished_of_template(waba_id, name, language)
    return sum(pause(broadcast_id, "template", detail, now) for broadcast_id in ids)


def pause_channel(row: Channel, reason: PauseReason, detail: str, now: int) -> bool:
    """Hold all that a channel sends; False if the channel was paused."""
    paused = channels.pause(row.id, reason, detail, now)
    if paused:
        told: ChannelDocument = {"channel": row.phone_number_id, "paused": reason, "detail": detail}
        event_documents.tell(CHANNEL_UPDATED, [told], now)
        tell_held_broadcasts(row.id, now)
    return paused


def tell_held_broadcasts(channel_id: int, now: int) -> None:
    """Tell of each broadcast under way that it is paused because its channel is."""
    tell_broadcasts(BROADCAST_PAUSED, broadcasts.under_way(channel_id, now), now)


def hold(reason: PauseReason, row: Channel, broadcast_id: int, detail: str, now: int) -> bool:
    """Hold what would fail in the same way: the broadcast for its template, else its whole channel.

    Returns False if it was held already.
    """
    if reason == "template":
        return pause(broadcast_id, reason, detail, now)
    return pause_channel(row, reason, detail, now)


def pause_all(detail: str, now: int) -> int:
    """Hold all that has not ended, and make unknown what was on its way; returns how many broadcasts."""
    for row in channels.all_channels():
        finish({lost.broadcast_id for lost in messages.lose_abandoned(row.id, now)}, now)
    return sum(pause(broadcast_id, "paused", detail, now) for broadcast_id in broadcasts.going())
