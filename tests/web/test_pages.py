"""A page of the dashboard is known wherever pages are listed."""

from pathlib import Path
from typing import Any

import falcon.inspect

from broadcaster.web import dashboard
from tests.support.client import Client

BROWSER_TESTS = Path(__file__).with_name("test_browser.py").read_text()
NOT_OPENED = ("/sign-in", "/sign-out")
"""The browser tests pass through these on their way."""


def pages(client: Client) -> list[Any]:
    """The routes whose resources are the dashboard's."""
    routes = falcon.inspect.inspect_routes(client.app)
    return [route for route in routes if "/web/dashboard/" in (route.source_info or "")]


def test_refusals_at_every_page_are_pages(client: Client) -> None:
    found = pages(client)
    assert len(found) > 15
    assert [route.path for route in found if not dashboard.speaks(route.path)] == []


def test_the_browser_tests_open_every_page_that_has_a_fixed_address(client: Client) -> None:
    fixed = [
        route.path
        for route in pages(client)
        if "{" not in route.path and any(method.method == "GET" for method in route.methods)
    ]
    assert len(fixed) > 8
    assert [path for path in fixed if path not in NOT_OPENED and f'"{path}",' not in BROWSER_TESTS] == []
