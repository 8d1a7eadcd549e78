"""The README begins with what works and names every command, setting, event and route there is."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import falcon.inspect
import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook, WebhookVerificationError

from broadcaster.cli import cli
from broadcaster.config import Settings
from broadcaster.domain import retries
from broadcaster.sandbox.outcomes import BY_LAST_DIGITS
from broadcaster.services import access
from broadcaster.settlement import event_documents
from tests.support.client import Client
from tests.support.commands import commands_of
from tests.support.readme import README, ROOT, Example, examples
from tests.support.samples import CHANNEL


def test_it_begins_with_the_two_commands() -> None:
    commands = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    assert commands[:2] == ["make demo", "make test"]


def test_every_guarantee_names_tests_there_are() -> None:
    guarantees = README.partition("What it promises")[2].partition("The dashboard")[0]
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"``(test_\w+)(\.py)?``", guarantees)
    assert len(named) >= 14
    for name, is_file in named:
        assert f"{name}.py" in files if is_file else any(f"def {name}(" in text for text in files.values()), (
            name
        )


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_named_with_its_default(field: str) -> None:
    (row,) = (line for line in README.splitlines() if line.startswith(f"``BROADCASTER_{field.upper()}``  "))
    default = Settings.model_fields[field].default
    shown = ", ".join(default) if isinstance(default, list) else str(default)
    meaning = row.partition("  ")[2].strip()
    if default in (None, []):
        assert not re.match(r"``(?!sqlite:///PATH``)", meaning)
    else:
        assert re.match(rf"``{re.escape(shown)}``(?![^\s:,])", meaning), row


@pytest.mark.parametrize("command", [name for name, _ in commands_of(cli)])
def test_every_command_is_named(command: str) -> None:
    group, _, name = command.rpartition(" ")
    lines = [line for line in README.splitlines() if line.startswith("``broadcaster ")]
    assert any(name in line and group in line for line in lines)


@pytest.mark.parametrize("scope", access.SCOPES)
def test_every_scope_is_named(scope: str) -> None:
    assert f"``{scope}``" in README


@pytest.mark.parametrize("kind", event_documents.TYPES)
def test_every_event_is_named(kind: str) -> None:
    assert f"``{kind}``" in README


def test_every_event_there_is_may_be_asked_for() -> None:
    named = vars(event_documents).values()
    declared = {one.type for one in named if isinstance(one, event_documents.EventType)}
    assert declared - {event_documents.WEBHOOK_TEST.type} == set(event_documents.TYPES)
    assert len(event_documents.TYPES) == len(set(event_documents.TYPES))


JSON = [pytest.param(example, id=f"line {example.line}") for example in examples("json")]
TEMPLATES = [one for one in JSON if '"variables"' in one.values[0].text]
EVENTS = [one for one in JSON if one not in TEMPLATES]


@pytest.mark.parametrize("example", TEMPLATES)
def test_a_template_with_variables_is_accepted(client: Client, example: Example) -> None:
    recipients = [{"to": "+905554443309"}]
    document = {"channel": CHANNEL, "template": json.loads(example.text), "recipients": recipients}
    answer = client.post("/v1/broadcasts?dryRun=true", document)
    assert answer.status_code == 200, answer.text
    assert (answer.json["valid"], answer.json["invalid"]) == (1, 0)


@pytest.mark.parametrize("example", EVENTS)
def test_an_event_is_shown_as_its_type_says(example: Example) -> None:
    shown = json.loads(example.text)
    kind = next(kind for kind in event_documents.EVENT_TYPES if kind.type == shown["type"])
    TypeAdapter(kind.document).validate_python(shown["data"], strict=True, extra="forbid")
    assert set(shown["data"]) == set(kind.document.__annotations__)
    assert list(shown) == ["id", "type", "timestamp", "data"] and shown["id"].startswith("evt_")


def test_every_kind_of_event_document_is_shown() -> None:
    types = {json.loads(one.values[0].text)["type"] for one in EVENTS}
    shown = {kind.document for kind in event_documents.EVENT_TYPES if kind.type in types}
    assert shown == {kind.document for kind in event_documents.EVENT_TYPES}


def test_the_signature_is_checked_as_shown() -> None:
    (block,) = (one.text for one in examples("python") if "standardwebhooks" in one.text)
    shown: dict[str, Any] = {}
    exec(block, shown)  # noqa: S102, it is our own README
    secret, moment, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.now(UTC), '{"id": "evt_1"}'
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", moment, body),
    }
    assert shown["read_event"](body.encode(), headers, secret) == {"id": "evt_1"}
    with pytest.raises(WebhookVerificationError):
        shown["read_event"](b'{"id": "evt_2"}', headers, secret)


def test_the_tries_and_pauses_it_tells_are_those_of_the_code() -> None:
    minutes = round(sum(retries.DELAYS_MS) / 60_000)
    assert f"tried up to {retries.MOST_TRIES} times, within about {minutes} minutes" in README
    assert f"at most every {retries.PAIR_MS // 1000} seconds" in README


@pytest.mark.parametrize("digits", BY_LAST_DIGITS)
def test_every_magic_number_is_named(digits: str) -> None:
    assert f"{digits}  " in README


PATHS = re.compile(r"``(?:[A-Z]+ )?(/[^`?]*)(?:\?[^`]*)?``")
"""Whole paths between backticks, with or without a method."""


def named_in(text: str) -> set[str]:
    """The paths a text names, and what its short ones stand for.

    A short path continues the longest one of its row, from any slash on. A row that begins with two dots
    continues the row before it.
    """
    found: set[str] = set()
    longest = ""
    for line in text.splitlines():
        longest = longest if line.startswith("..  ") else ""
        for path in PATHS.findall(line):
            slashes = [one.start() for one in re.finditer("/", longest)] + [len(longest)]
            found |= {longest[:end] + path for end in slashes}
            longest = max(longest, path, key=len)
    return found


def shape(path: str) -> str:
    """A path whose places have no name."""
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/") or "/"


def test_every_route_is_named(client: Client) -> None:
    dashboard_section = README.partition("\nThe dashboard\n---")[2].partition("\nThe API\n---")[0]
    pages, others = named_in(dashboard_section), named_in(README.replace(dashboard_section, ""))
    routes = falcon.inspect.inspect_routes(client.app)
    assert len(routes) >= 13
    for route in routes:
        is_page = "/web/dashboard/" in (route.source_info or "")
        assert shape(route.path) in {shape(path) for path in (pages if is_page else others)}, route.path
