"""Those who ask for broadcasts until they are accepted, steer them, and look at what the product says."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from broadcaster.sandbox import testbed
from tests.torture import judge
from tests.torture.judge import Order

_FINE = range(200, 300)
_AGAIN = (0, 429, 500, 502, 503, 504)
"""No answer, or one that says to come again."""


class Product:
    """The product as a client calls it, wherever it listens at the moment."""

    def __init__(self, here: testbed.Installation):
        self._here = here
        self._local = threading.local()
        self.errors: list[str] = []
        """Answers of 500: faults, whatever failed around them."""

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One answer: its status, 0 for none, and its JSON."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        headers = {"Authorization": f"Bearer {self._here.token}"} | options.pop("headers", {})
        try:
            answer = self._local.session.request(
                method, self._here.url + path, headers=headers, timeout=15, **options
            )
        except (requests.RequestException, OSError):
            return 0, None
        if answer.status_code == 500:
            self.errors.append(f"{method} {path} was answered with 500: {answer.text[:200]}")
        if "json" not in answer.headers.get("Content-Type", ""):
            return answer.status_code, answer.text
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return 0, None

    def insist(self, method: str, path: str, until: float, **options: Any) -> tuple[int, Any]:
        """Ask until it is answered by more than "come again", or the time (monotonic) has come."""
        while True:
            status, document = self.ask(method, path, **options)
            if status not in _AGAIN or time.monotonic() > until:
                return status, document
            time.sleep(0.2)

    def pages(self, path: str, until: float, limit: int = 1000) -> list[dict[str, Any]]:
        """All rows of a list; raises AssertionError where it is not answered."""
        rows: list[dict[str, Any]] = []
        after = None
        while True:
            given = {"limit": str(limit)} | ({"after": after} if after else {})
            status, document = self.insist("GET", path, until, params=given)
            if status not in _FINE:
                raise AssertionError(f"GET {path} was answered with {status}: {document}")
            rows += document["data"]
            after = document["next"]
            if not after:
                return rows


def place(product: Product, order: Order, until: float, complain: Callable[[str], None]) -> None:
    """Ask for a broadcast under its key until it is accepted, and once more."""
    for _ in range(2):
        status, document = product.insist(
            "POST", "/v1/broadcasts", until, json=order.body, headers={"Idempotency-Key": order.key}
        )
        if status in _FINE:
            order.ids.add(document["id"])
            order.id = document["id"]
        elif status not in _AGAIN:
            complain(f"{order.key} was refused with {status}: {document}")
            return


def steer(product: Product, order: Order, rng: random.Random, until: float) -> None:
    """Stop a broadcast, send what failed again, or hold it for a moment."""
    if order.id is None:
        return
    path = f"/v1/broadcasts/{order.id}"
    kind = rng.choice(("stop", "retry", "retry unknown", "pause"))
    if kind == "stop":
        # It may have been done though no answer came.
        order.stop_asked = True
        product.insist("POST", f"{path}/stop", until)
    elif kind == "retry":
        # Each request may send again, those without an answer too; insisting would be several.
        order.retries += 1
        product.ask("POST", f"{path}/retry")
    elif kind == "retry unknown":
        order.risks += 1
        product.ask("POST", f"{path}/retry", params={"code": judge.UNKNOWN})
    else:
        product.insist("POST", f"{path}/pause", until)
        time.sleep(rng.random())
        product.insist("POST", f"{path}/resume", until)


class Observer:
    """Looks at counters all the while: they must sum, and never go backwards."""

    def __init__(self, product: Product, orders: list[Order], complain: Callable[[str], None]):
        self._product = product
        self._orders = orders
        self._complain = complain
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._counted: dict[tuple[str, str], float] = {}
        self.looks = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.3):
            self.look_at_counters(0)
            for order in list(self._orders):
                if order.id and not self._stopping.is_set():
                    self._look_at(order)

    def _look_at(self, order: Order) -> None:
        status, document = self._product.ask("GET", f"/v1/broadcasts/{order.id}")
        if status == 404:
            self._complain(f"{order.id} was accepted and is not there")
        if status != 200:
            return
        self.looks += 1
        stats = document["stats"]
        total = sum(stats[key] for key in ("pending", "success", "failed", "cancelled"))
        if total != stats["total"] or total != len(order.people):
            self._complain(f"{order.id} has {len(order.people)} people and says {stats}")

    def by_name(self) -> dict[str, float]:
        """The counters as they were seen last, the labels of each added up."""
        sums: Counter[str] = Counter()
        for (name, _), value in self._counted.items():
            sums[name] += value
        return dict(sums)

    def look_at_counters(self, until: float) -> None:
        """Compare the counters of /metrics with those of the look before; ask for them until a time
        (monotonic), once at least."""
        status, text = self._product.insist("GET", "/metrics", until)
        if status != 200:
            return
        counted = counters(text)
        for fault in judge.fell(self._counted, counted):
            self._complain(fault)
        self._counted = counted


def counters(text: str) -> dict[tuple[str, str], float]:
    """The counters of an exposition that come from the database, by name and labels."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == "counter"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
