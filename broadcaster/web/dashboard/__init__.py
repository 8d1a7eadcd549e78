"""The dashboard: pages for people, rendered here, usable without JavaScript."""

from broadcaster.web.dashboard.pages import add_routes, refuse, speaks

__all__ = ["add_routes", "refuse", "speaks"]
