"""Graph's management calls, against the sandbox and against answers that are wrong."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from broadcaster import config
from broadcaster.errors import GraphError
from broadcaster.meta import management
from broadcaster.meta.management import Graph
from broadcaster.sandbox import testbed
from broadcaster.services import channel_setup
from broadcaster.store.models import Template
from broadcaster.vault import open_vault
from tests.support.client import Client
from tests.support.samples import CHANNEL, DEFINITIONS, NOW


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with testbed.sandbox(tmp_path_factory.mktemp("sandbox"), "--latency", "1") as url:
        yield url


def test_a_number_is_read_with_all_that_is_known_of_it(sandbox: str) -> None:
    assert Graph(sandbox, "v25.0", "t").number("100000000000004") == {
        "display_phone_number": "+1 555-0104",
        "verified_name": "Sandbox 4",
        "status": "CONNECTED",
        "code_verification_status": "VERIFIED",
        "quality_rating": "GREEN",
        "tier": "TIER_10K",
        "throughput": "STANDARD",
        "coexistence": True,
    }


def test_templates_are_read_over_all_pages(sandbox: str) -> None:
    found = Graph(sandbox, "v25.0", "t").templates("77")
    assert [(row["name"], row["language"]) for row in found] == [
        (row["name"], row["language"]) for row in DEFINITIONS
    ]
    assert found[2]["components"] == DEFINITIONS[2]["components"]


def test_refusals_are_told_with_metas_code(sandbox: str) -> None:
    with pytest.raises(GraphError, match="190") as caught:
        Graph(sandbox, "v25.0", "expired-token").number("100000000000001")
    assert caught.value.code == 190
    with pytest.raises(GraphError, match="no such object"):
        Graph(sandbox, "v25.0", "t").number("42")


def test_an_unreachable_graph_is_told_in_a_sentence() -> None:
    with pytest.raises(GraphError, match="cannot be reached"):
        Graph("http://127.0.0.1:9", "v25.0", "t").number("1")


def test_adding_twice_updates_and_keeps_pace_and_portfolio(sandbox: str, db: Any, tmp_path: Path) -> None:
    settings = config.load(
        {"BROADCASTER_GRAPH_URL": sandbox, "BROADCASTER_DATA_DIR": str(tmp_path / "data")}, tmp_path / "none"
    )
    vault = open_vault(settings.data_dir)
    first, count = channel_setup.add("100000000000001", "77", "one", settings, vault, NOW, 12.5, "p1")
    second, again = channel_setup.add("100000000000001", "77", "two", settings, vault, NOW + 1)
    assert (first.id, count) == (second.id, again)
    assert (second.pace_override, second.portfolio) == (12.5, "p1")
    assert vault.unlock(second.access_token) == "two"
    assert Template.select().count() == len(DEFINITIONS)
    synced, _ = channel_setup.sync("100000000000001", settings, vault, NOW + 2)
    assert (synced.synced_at, vault.unlock(synced.access_token)) == (NOW + 2, "two")


class Canned(BaseHTTPRequestHandler):
    """Answers every request with the next canned answer; the last one stays."""

    answers: list[tuple[int, bytes]] = []
    asked: list[str] = []
    date = ""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.date or super().date_time_string(timestamp)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status, body = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def canned() -> Iterator[Any]:
    class Handler(Canned):
        answers: list[tuple[int, bytes]] = []
        asked: list[str] = []

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Handler, Graph(f"http://127.0.0.1:{server.server_port}", "v25.0", "t")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (200, b"<html>", "no JSON object"),
        (200, b"[]", "no JSON object"),
        (307, b"{}", "HTTP 307"),
        (500, b"{}", "HTTP 500"),
    ],
)
def test_wrong_answers_are_errors_and_redirects_are_not_followed(
    canned: Any, status: int, body: bytes, complaint: str
) -> None:
    handler, graph = canned
    handler.answers.append((status, body))
    with pytest.raises(GraphError, match=complaint):
        graph.number("1")


LIES = [
    b"[" * 50_000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b'{"data": null}',
    b'{"data": 7}',
    b'{"data": "abc"}',
    b'{"data": [1]}',
    b'{"data": [{"name": ["a"], "language": {}}]}',
    b'{"data": [{"name": "\\ud800", "language": "en", "components": [7], "category": {}, "status": []}]}',
    b'{"data": [{"name": "a", "language": "en", "components": {"a": 1}, "quality_score": {"score": []}}]}',
    b'{"data": [], "paging": {"next": 7}}',
    b'{"data": [], "paging": {"next": "http://[::1/?after=1", "cursors": [1]}}',
    b'{"data": [], "paging": {"next": "x", "cursors": {"after": {"a": 1}}}}',
    b'{"data": [{"whatsapp_business_api_data": {"name": {}, "id": 1}}]}',
    b'{"error": {"code": {}, "message": [1]}}',
    b'{"error": {"code": 190, "message": "' + b"x" * 60_000 + b'"}}',
    b'{"verified_name": ["a"], "status": {}, "quality_rating": 1, "throughput": {"level": []}}',
    b'{"whatsapp_business_manager_messaging_limit": 1' + b"0" * 4000 + b"}",
    b'{"verified_name": NaN}',
    b"\xff\xfe{}",
]


@pytest.mark.parametrize("body", LIES, ids=range(len(LIES)))
def test_an_answer_of_any_shape_is_kept_or_refused_in_a_sentence(
    canned: Any, db: Any, settings: config.Settings, body: bytes
) -> None:
    handler, graph = canned
    handler.answers.append((200, body))
    settings.graph_url = graph._base.removesuffix("/v25.0")
    vault = open_vault(settings.data_dir)
    calls: list[Callable[[], object]] = [
        lambda: graph.subscribed_apps("1"),
        lambda: channel_setup.add("1", "77", "token", settings, vault, NOW),
    ]
    for call in calls:
        try:
            call()
        except GraphError as error:
            assert 0 < len(str(error)) < 700


def test_a_clock_that_cannot_be_is_no_clock(canned: Any) -> None:
    handler, graph = canned
    handler.answers.append((200, b"{}"))
    handler.date = "Thu, 26 Nov 2026 10:00:00 +99999999999999"
    graph.number("1")
    assert graph.time is None


def test_a_list_of_templates_ends(canned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handler, graph = canned
    page = b'{"data": [], "paging": {"next": "http://x/?after=%d", "cursors": {}}}'
    monkeypatch.setattr(management, "_MOST_PAGES", 3)
    handler.answers += [(200, page % number) for number in range(9)]
    with pytest.raises(GraphError, match="3 pages"):
        graph.templates("7")
    monkeypatch.setattr(management, "_ALL_PAGES_SECONDS", 0)
    with pytest.raises(GraphError, match="took more than"):
        graph.templates("7")


def test_an_object_has_64_kilobytes_and_a_page_of_templates_a_megabyte(canned: Any) -> None:
    handler, graph = canned
    padded = b'{"data": [{"name": "a", "language": "en", "components": [{"text": "%s"}]}]}'
    handler.answers.append((200, padded % (b"x" * 500_000)))
    assert len(graph.templates("7")) == 1
    with pytest.raises(GraphError, match="more than 65536 bytes"):
        graph.number("1")
    handler.answers[0] = (200, padded % (b"x" * 1_100_000))
    with pytest.raises(GraphError, match="more than 1048576 bytes"):
        graph.templates("7")


def test_a_number_of_which_little_is_told_is_taken(canned: Any) -> None:
    handler, graph = canned
    handler.answers += [
        (200, b'{"id": "1", "display_phone_number": "15550100"}'),
        (400, b'{"error": {"code": 100, "message": "no such field"}}'),
    ]
    assert graph.number("1") | {"display_phone_number": None} == dict.fromkeys(
        (
            "display_phone_number", "verified_name", "status", "code_verification_status",
            "quality_rating", "tier", "throughput",
        ),
    ) | {"coexistence": False}  # fmt: skip


def test_a_stale_cursor_restarts_the_list_once(canned: Any) -> None:
    handler, graph = canned
    paging = b'{"next": "http://x/?after=C2", "cursors": {}}'
    page = b'{"data": [{"name": "a", "language": "en"}], "paging": ' + paging + b"}"
    last = b'{"data": [{"name": "b", "language": "en"}]}'
    handler.answers += [(200, page), (400, b'{"error": {"code": 131059}}'), (200, page), (200, last)]
    assert [row["name"] for row in graph.templates("7")] == ["a", "b"]
    assert sum("after=C2" in path for path in handler.asked) == 2


def test_what_was_read_just_now_is_not_read_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start must not undo by chance what was read a moment ago, nor ask Meta twice."""
    read: list[str] = []
    monkeypatch.setattr(channel_setup, "sync", lambda number, *_: read.append(number))
    channel_setup.refresh_all(client.settings, client.vault, NOW + 60_000)
    assert read == []
    channel_setup.refresh_all(client.settings, client.vault, NOW + 15 * 60_000)
    assert read == [CHANNEL]
