"""The door for Meta's callbacks: receipts settle messages, people opt out, templates and numbers change."""

import unicodedata
from typing import NamedTuple

from broadcaster.config import Settings
from broadcaster.domain import strict_json, verdicts
from broadcaster.errors import Faults
from broadcaster.meta import payloads
from broadcaster.meta.payloads import Callback, Inbound, NumberNews, TemplateNews
from broadcaster.services import opt_outs
from broadcaster.store import broadcasts, callbacks, channels, contacts, definitions, events, suppressions
from broadcaster.store.callbacks import ReceivedCallback
from broadcaster.store.models import Channel

SENDABLE = "APPROVED"
_RECENT_MS = 15 * 60_000
"""How old a failure may be and still say that the next would fail alike."""


class Letter(NamedTuple):
    """One callback as it came, and what is known in it."""

    body: str
    callback: Callback


def take(letters: list[Letter], settings: Settings, now: int) -> None:
    """Keep these callbacks and do what they ask, in the caller's transaction."""
    callbacks.record([ReceivedCallback(letter.body, letter.callback.receipts) for letter in letters], now)
    settled(letters, now)
    for letter in letters:
        follow(letter.callback, settings, now)


def keep(letters: list[Letter], now: int) -> None:
    """Keep these callbacks as they came, whatever is in them."""
    callbacks.record([ReceivedCallback(letter.body, []) for letter in letters], now, understood=False)


def follow(callback: Callback, settings: Settings, now: int) -> None:
    """Everything a callback says besides receipts."""
    _opt_outs(callback, settings, now)
    contacts.note_names({said.person: said.name for said in callback.inbound if said.name})
    for news in callback.templates:
        _template(news, now)
    for number in callback.numbers:
        _number(number, now)


def replay(settings: Settings, since: int, now: int) -> int:
    """Let the receipts of callbacks kept since a time do their work again; twice changes nothing more.

    What else they asked for is done only where it could not be when they came: an old opt-out or ban
    must not undo what was decided since.
    """
    count, after = 0, 0
    while rows := callbacks.page(since, after, 500):
        for row in rows:
            callback = payloads.read(strict_json.loads(row.body.encode(), Faults()))
            callbacks.apply(callback.receipts, now)
            if not row.understood:
                follow(callback, settings, now)
                callbacks.note_understood(row.id)
        count, after = count + len(rows), rows[-1].id
    return count


# What receipts mean for those behind them


def settled(letters: list[Letter], now: int) -> None:
    """Opt-outs and reasons to hold that a receipt of failure tells, as an answer would have."""
    failures = [
        one for letter in letters for one in letter.callback.receipts if one.status == "failed" and one.code
    ]
    for message, channel, one in callbacks.senders([one for one in failures if _matters(one.code)]):
        if one.code in verdicts.OPT_OUTS:
            opt_outs.suppress([message.recipient], "opted out at Meta", "receipt", now)
        elif one.at > now - _RECENT_MS:
            detail = f"{one.code}: {one.text}"
            broadcasts.hold(verdicts.REASONS[int(one.code or 0)], channel, message.broadcast_id, detail, now)


def _matters(code: str | None) -> bool:
    known = code is not None and code.isdecimal() and int(code) in verdicts.REASONS
    return known or code in verdicts.OPT_OUTS


# People


def _opt_outs(callback: Callback, settings: Settings, now: int) -> None:
    words = {_plain(word) for word in settings.stop_words}
    stops = [said.person for said in callback.inbound if _is_stop(said, words)]
    if stops:
        opt_outs.suppress(stops, "stop word", "callback", now)
    for moved in callback.renumbered:
        if suppressions.find(moved.person):
            opt_outs.suppress([moved.now], "number changed", "callback", now)
    for preference in callback.preferences:
        if preference.stops:
            opt_outs.suppress([preference.person], "preference", "callback", now)
        else:
            opt_outs.lift(preference.person, "preference", now)


def _is_stop(said: Inbound, words: set[str]) -> bool:
    return any(len(word) < 100 and _plain(word) in words for word in said.said)


def _plain(text: str) -> str:
    """Without case, marks above letters and outer blanks: Iptal is IPTAL, with or without its dot."""
    apart = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))


# Templates and numbers


def _template(news: TemplateNews, now: int) -> None:
    row = definitions.find(news.waba_id, news.name, news.language)
    if row is None:
        return
    facts = {"status": news.status, "category": news.category, "quality": news.quality}
    changed = {name: value for name, value in facts.items() if value and value != getattr(row, name)}
    if not changed:
        return
    definitions.change(row.id, changed)
    if "status" in changed and changed["status"] != SENDABLE:
        detail = f"Meta set the template {row.name} to {news.status}"
        broadcasts.pause_template(row.waba_id, row.name, row.language, detail, now)
    told = {"name": row.name, "language": row.language, "wabaId": row.waba_id, **changed}
    events.add("template.updated", [told | {"detail": news.detail}], now)


def _number(news: NumberNews, now: int) -> None:
    for row in channels.all_channels():
        if row.waba_id == news.waba_id and (news.digits is None or _digits(row) == news.digits):
            _change_channel(row, news, now)


def _change_channel(row: Channel, news: NumberNews, now: int) -> None:
    changed: dict[str, str] = {}
    if news.tier and news.tier != row.tier:
        changed["tier"] = news.tier
    if news.is_throttle_up and row.throughput != "HIGH":
        changed["throughput"] = "HIGH"
    if changed:
        channels.change(row.id, changed)
    if news.is_blocked and channels.pause(row.id, "channel", f"Meta: {news.detail}", now):
        changed["paused"] = "channel"
    if changed:
        events.add("channel.updated", [{"channel": row.phone_number_id, **changed}], now)


def _digits(row: Channel) -> str:
    return "".join(c for c in row.display_phone_number or "" if c.isdigit())
