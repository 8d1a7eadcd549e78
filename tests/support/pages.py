"""The pages of the dashboard, as its routes say."""

from types import SimpleNamespace
from typing import Any

import falcon
import falcon.inspect

from broadcaster.config import Settings
from broadcaster.web import dashboard
from broadcaster.web.requests import Context

ON_THE_WAY = ("/sign-in", "/sign-out")
"""Everybody who signs in passes through these."""


def routes() -> list[Any]:
    """The routes of the dashboard."""
    app = falcon.App()
    vault: Any = SimpleNamespace(key_for=lambda _purpose: b"")
    schedule: Any = None
    dashboard.add_routes(app, Context(Settings(), schedule, vault))
    return falcon.inspect.inspect_routes(app)


def _is_read(route: Any) -> bool:
    return any(method.method == "GET" for method in route.methods)


PAGES = tuple(
    route.path
    for route in routes()
    if "{" not in route.path and _is_read(route) and route.path not in ON_THE_WAY
)
"""Every page that has a fixed address; a new route is in here by itself."""
