"""The alert rules ask for nothing that /metrics does not tell."""

import re
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from broadcaster.store import callbacks, database, leases, tallies
from broadcaster.store.models import Channel
from broadcaster.store.tallies import Counted
from tests.support.broadcasts import settle
from tests.support.client import Client
from tests.support.readme import ROOT
from tests.support.samples import NOW, request_of

RULES = [
    rule
    for group in yaml.safe_load((ROOT / "contrib" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
_METRIC = re.compile(r"\b(broadcaster_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)="([^"]*)"')
_BY = re.compile(r"\b(?:by|on) \(([^)]*)\)")


@pytest.fixture
def told(client: Client) -> dict[str, list[dict[str, str]]]:
    """The labels of every sample by its name, from an installation where everything happens."""
    public_id = client.post("/v1/broadcasts", request_of(3)).json["id"]
    settle(public_id, ("sent", "read"), ("failed", None), ("pending", None))
    with database.transaction():
        Channel.update(tier="TIER_250").execute()
        leases.beat("w", "host", 1, NOW)
        callbacks.keep(["{}"], NOW)
        tallies.add([Counted("callbacks", word="understood")])
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_what_there_is(rule: dict[str, Any], told: dict[str, list[dict[str, str]]]) -> None:
    asked = _METRIC.findall(rule["expr"])
    assert asked
    for name, matchers in asked:
        if name == "up":
            continue
        assert name in told
        for label, value in _MATCHER.findall(matchers):
            assert value in {labels.get(label) for labels in told[name]}, (name, label)
    known = {label for name, _ in asked for labels in told.get(name, [{}]) for label in labels}
    for labels in _BY.findall(rule["expr"]):
        assert {label.strip() for label in labels.split(",") if label.strip()} <= known | {"le"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_and_what_to_do(
    rule: dict[str, Any], told: dict[str, list[dict[str, str]]]
) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    summary = rule["annotations"]["summary"]
    known = {
        label
        for name, _ in _METRIC.findall(rule["expr"])
        for labels in told.get(name, [])
        for label in labels
    }
    assert set(re.findall(r"\$labels\.(\w+)", summary)) <= known


def test_a_counter_is_asked_for_its_growth_and_a_gauge_for_its_height() -> None:
    for rule in RULES:
        for name, _ in _METRIC.findall(rule["expr"]):
            is_counter = name.endswith(("_total", "_bucket"))
            grows = re.search(rf"(?:rate|increase)\({name}\b", rule["expr"])
            assert bool(grows) == is_counter, (rule["alert"], name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_prometheus_understands_a_rule(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])


def test_every_alert_has_a_name_of_its_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) > 10
