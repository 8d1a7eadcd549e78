"""/metrics for Prometheus. Everything is read from the database when it is asked for, so that whichever
process answers says the same; only the time callbacks take is this process's own."""

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from broadcaster import __version__
from broadcaster.clock import epoch_ms
from broadcaster.domain.words import TallyName
from broadcaster.services import progress
from broadcaster.store import callbacks, channels, counters, database, leases, message_queries, tallies
from broadcaster.store.models import Channel
from broadcaster.web.requests import Context

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Counter(NamedTuple):
    """How a tally is shown: what it is, the label of its word and the words it may have, if it has one, and
    whether each channel has its own."""

    text: str
    label: str | None = None
    words: tuple[str, ...] = ("",)
    is_channels: bool = True


_COUNTERS: dict[TallyName, _Counter] = {
    "broadcasts_accepted": _Counter("Broadcasts ever accepted."),
    "messages_accepted": _Counter("Messages ever accepted, those that failed at once included."),
    "answers": _Counter(
        "What Meta's answers led to: sent, failed, put back to be tried again, or lost for lack of one.",
        "outcome",
        ("sent", "failed", "put_back", "lost"),
    ),
    "messages_sent": _Counter(
        "Messages ever handed over to Meta, by what said so.", "source", ("answer", "receipt")
    ),
    "messages_failed": _Counter(
        "Messages that ever failed after acceptance, by what said so; sweep is our own giving up.",
        "source",
        ("answer", "receipt", "sweep"),
    ),
    "receipts": _Counter(
        "Receipts ever taken for our messages, repeated ones included.",
        "status",
        ("sent", "delivered", "read", "failed"),
    ),
    "callbacks": _Counter(
        "Meta's callbacks ever taken; put_aside are those nobody could read.",
        "outcome",
        ("understood", "put_aside"),
        is_channels=False,
    ),
    "webhook_deliveries": _Counter(
        "Attempts to deliver an event to a webhook; put_back are tried again.",
        "outcome",
        ("delivered", "failed", "put_back"),
        is_channels=False,
    ),
}

_callbacks = Histogram(
    "broadcaster_callback_seconds", "Until one of Meta's callbacks was durable and answered.", registry=None
)


@contextmanager
def timed_callback() -> Iterator[None]:
    """Note how long the callback took that is answered within."""
    begun = time.perf_counter()
    yield
    note_callback(time.perf_counter() - begun)


def note_callback(seconds: float) -> None:
    """Note how long a callback took."""
    _callbacks.observe(seconds)


def figures(context: Context) -> bytes:
    """The figures of this moment."""
    registry = CollectorRegistry()
    registry.register(_Figures(context))
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, context: Context):
        self._context = context

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now, rows = epoch_ms(), channels.all_channels()
        names = {row.id: row.phone_number_id for row in rows}
        yield self._build()
        yield self._messages(names)
        yield from self._counters(rows)
        yield self._oldest_due(names, now)
        yield self._paces(rows, now)
        yield self._paused(rows)
        yield self._leases(names, now)
        yield self._allowances(rows, now)
        yield from self._ages(now)
        yield self._queue()
        yield from _callbacks.collect()

    def _build(self) -> Metric:
        labels = {"version": __version__, "python": platform.python_version(), "sqlite": database.version()}
        family = GaugeMetricFamily("broadcaster_build_info", "What runs here.", labels=list(labels))
        family.add_metric(list(labels.values()), 1)
        return family

    def _messages(self, names: dict[int, str]) -> Metric:
        family = GaugeMetricFamily(
            "broadcaster_messages",
            "Messages of broadcasts that have not ended, by what we did (state) and what Meta said of them"
            " (delivery); in flight is sending.",
            labels=["channel", "state", "delivery"],
        )
        for channel_id, state, delivery, count in counters.of_channels():
            family.add_metric([names[channel_id], state, delivery or "none"], count)
        return family

    def _counters(self, rows: list[Channel]) -> Iterator[Metric]:
        """Totals that only grow; from 0, so that the first of a kind is a growth, too."""
        totals = {(row.name, row.about, row.word): row.total for row in tallies.all_totals()}
        known = [row.phone_number_id for row in rows]
        for name, counter in _COUNTERS.items():
            labels = ["channel"] if counter.is_channels else []
            family = CounterMetricFamily(
                f"broadcaster_{name}",
                counter.text,
                labels=[*labels, *([counter.label] if counter.label else [])],
            )
            zeros = {
                (name, about, word): 0
                for about in (known if counter.is_channels else [""])
                for word in counter.words
            }
            found = {key: total for key, total in totals.items() if key[0] == name}
            for (_, about, word), total in sorted((zeros | found).items()):
                shown = [about] if counter.is_channels else []
                family.add_metric([*shown, *([word] if counter.label else [])], total)
            yield family

    def _oldest_due(self, names: dict[int, str], now: int) -> Metric:
        family = GaugeMetricFamily(
            "broadcaster_oldest_due_seconds",
            "How long the longest-waiting message could have left by its time alone.",
            labels=["channel"],
        )
        oldest = message_queries.oldest_due(now)
        for channel_id, name in names.items():
            family.add_metric([name], max(0, now - oldest.get(channel_id, now)) / 1000)
        return family

    def _paces(self, rows: list[Channel], now: int) -> Metric:
        family = GaugeMetricFamily(
            "broadcaster_pace", "Messages a second it may send now.", labels=["channel"]
        )
        current = leases.paces(now)
        for row in rows:
            nominal = channels.pace_of(row)
            family.add_metric([row.phone_number_id], min(nominal, current.get(row.id, nominal)))
        return family

    def _paused(self, rows: list[Channel]) -> Metric:
        family = GaugeMetricFamily("broadcaster_channel_paused", "1 while it is held.", labels=["channel"])
        for row in rows:
            family.add_metric([row.phone_number_id], int(row.paused_at is not None))
        return family

    def _leases(self, names: dict[int, str], now: int) -> Metric:
        family = GaugeMetricFamily(
            "broadcaster_lease_held", "1 while a worker sends for the channel.", labels=["channel"]
        )
        held = leases.paces(now)
        for channel_id, name in names.items():
            family.add_metric([name], int(channel_id in held))
        return family

    def _allowances(self, rows: list[Channel], now: int) -> Metric:
        family = GaugeMetricFamily(
            "broadcaster_allowance_left",
            "More people the portfolio may reach now; missing where there is no limit.",
            labels=["portfolio"],
        )
        for portfolio, row in {row.portfolio: row for row in rows}.items():
            left = progress.quota(row, 0, now).available
            if left is not None:
                family.add_metric([portfolio], left)
        return family

    def _ages(self, now: int) -> Iterator[Metric]:
        """Seconds since signs of life; missing where there was none."""
        for name, text, at in (
            (
                "broadcaster_last_receipt_age_seconds",
                "Since Meta's last callback.",
                callbacks.last_received(),
            ),
            ("broadcaster_worker_age_seconds", "Since a worker last showed itself.", leases.last_beat()),
        ):
            family = GaugeMetricFamily(name, text)
            if at is not None:
                family.add_metric([], max(0, now - at) / 1000)
            yield family

    def _queue(self) -> Metric:
        family = GaugeMetricFamily("broadcaster_huey_tasks", "Tasks in huey.", labels=["queue"])
        for queue, count in self._context.schedule.waiting().items():
            family.add_metric([queue], count)
        return family
