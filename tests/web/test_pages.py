"""A page of the dashboard is known wherever pages are listed."""

import falcon.inspect

from broadcaster.web import dashboard
from tests.support.client import Client
from tests.support.pages import ON_THE_WAY, PAGES, routes


def test_refusals_at_every_page_are_pages() -> None:
    found = routes()
    assert len(found) > 15
    assert [route.path for route in found if not dashboard.speaks(route.path)] == []


def test_the_tests_open_every_page_that_has_a_fixed_address(client: Client) -> None:
    """PAGES is made without an installation; the application that is served has no page beside it."""
    served = {
        route.path
        for route in falcon.inspect.inspect_routes(client.app)
        if "/web/dashboard/" in (route.source_info or "") and "{" not in route.path
    }
    assert len(served) > 8
    assert served - set(ON_THE_WAY) == set(PAGES)
