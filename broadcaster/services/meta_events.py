"""What Meta tells: receipts settle messages, people opt out, templates and numbers change."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from broadcaster.domain import opt_out_words, strict_json
from broadcaster.domain.opt_out_words import OptOutWords
from broadcaster.errors import Faults
from broadcaster.meta import payloads
from broadcaster.meta.payloads import Callback, Inbound, NumberNews, TemplateNews
from broadcaster.settlement import event_documents, lifecycle, opt_outs, outcomes
from broadcaster.settlement.event_documents import ChannelDocument, TemplateDocument
from broadcaster.store import callbacks, channels, contacts, definitions, people, tallies
from broadcaster.store.models import Channel
from broadcaster.store.tallies import Counted

SENDABLE = "APPROVED"


class ReceivedCallback(NamedTuple):
    """One callback: its body as it came, and what is known in it."""

    body: str
    known: Callback


def take(received: Sequence[ReceivedCallback], stop_words: Iterable[str], now: int) -> None:
    """Keep these callbacks and do what they ask, in the caller's transaction."""
    _keep(received, now, True)
    outcomes.receive([receipt for one in received for receipt in one.known.receipts], now)
    for one in received:
        if one.known.says_more:
            follow(one.known, stop_words, now)


def keep(received: Sequence[ReceivedCallback], now: int) -> None:
    """Keep these callbacks as they came, whatever is in them; they are replayed once they can be read."""
    _keep(received, now, False)


def _keep(received: Sequence[ReceivedCallback], now: int, understood: bool) -> None:
    callbacks.keep([one.body for one in received], now, understood)
    word = "understood" if understood else "put_aside"
    tallies.add([Counted("callbacks", word=word, many=len(received))])


def follow(callback: Callback, stop_words: Iterable[str], now: int) -> None:
    """Do everything a callback asks besides its receipts."""
    _opt_outs(callback, stop_words, now)
    _learn_names(callback, now)
    contacts.note_names({said.person: said.name for said in callback.inbound if said.name})
    for news in callback.templates:
        _template(news, now)
    for number in callback.numbers:
        _number(number, now)


def replay(stop_words: Iterable[str], since: int, now: int) -> int:
    """Let the receipts of callbacks kept since a time do their work again; twice changes nothing more.

    What else they asked for is done only where it could not be when they came: an old opt-out or ban
    must not undo what was decided since. Returns how many callbacks.
    """
    count, after = 0, 0
    while rows := callbacks.page(since, after, 500):
        for row in rows:
            known = payloads.read(strict_json.loads(row.body.encode(), Faults()))
            outcomes.receive(known.receipts, now, heed_failures=not row.understood)
            if not row.understood:
                follow(known, stop_words, now)
                callbacks.note_understood(row.id)
        count, after = count + len(rows), rows[-1].id
    return count


# People


def _opt_outs(callback: Callback, stop_words: Iterable[str], now: int) -> None:
    """Who wants no marketing (any more), in the order of Meta's own times."""
    words = opt_out_words.with_added(tuple(stop_words))
    for said in callback.inbound:
        if _opts_out(said, words):
            opt_outs.heed_stop(said.person, "stop word", said.at or now, now)
    for preference in callback.preferences:
        if preference.stops:
            opt_outs.heed_stop(preference.person, "preference", preference.at or now, now)
        elif preference.consents:
            opt_outs.heed_consent(preference.person, "preference", preference.at or now, now)


def _learn_names(callback: Callback, now: int) -> None:
    """Which names mean one person. After the opt-outs, so that a stranger who stopped is known by all."""
    if not (callback.pairs or callback.changes):
        # Most callbacks are receipts that name one number.
        return
    portfolio = channels.portfolio_of(callback.account)
    people.learn(callback.pairs, portfolio, now)
    for change in callback.changes:
        if change.old.preferred and change.new.preferred:
            people.join([(change.old.preferred, change.new.preferred)])
        people.learn([change.new], portfolio, now)


def _opts_out(said: Inbound, words: OptOutWords) -> bool:
    return any(words.is_stop(text, text in said.tapped) for text in said.said)


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
        lifecycle.pause_template(row.waba_id, row.name, row.language, detail, now)
    told: TemplateDocument = {
        "name": row.name,
        "language": row.language,
        "wabaId": row.waba_id,
        "detail": news.detail,
    }
    # Only what changed is told; the names of the columns are those of the document.
    told.update(changed)  # type: ignore[typeddict-item]
    event_documents.tell(event_documents.TEMPLATE_UPDATED, [told], now)


def _number(news: NumberNews, now: int) -> None:
    for row in channels.all_channels():
        if row.waba_id == news.waba_id and (news.digits is None or _digits(row) == news.digits):
            _change_channel(row, news, now)


def _change_channel(row: Channel, news: NumberNews, now: int) -> None:
    told: ChannelDocument = {"channel": row.phone_number_id}
    if news.tier and news.tier != row.tier:
        told["tier"] = news.tier
        channels.change(row.id, {"tier": news.tier})
    if news.is_throttle_up and row.throughput != "HIGH":
        told["throughput"] = "HIGH"
        channels.change(row.id, {"throughput": "HIGH"})
    if len(told) > 1:
        event_documents.tell(event_documents.CHANNEL_UPDATED, [told], now)
    if news.is_blocked:
        lifecycle.pause_channel(row, "channel", f"Meta: {news.detail}", now)


def _digits(row: Channel) -> str:
    return "".join(c for c in row.display_phone_number or "" if c.isdigit())
