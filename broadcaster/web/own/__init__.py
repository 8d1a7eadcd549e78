"""Our own API: JSON, camelCase, RFC 3339 times, RFC 9457 problems."""

from broadcaster.web.own.answers import refuse
from broadcaster.web.own.resources import add_routes

__all__ = ["add_routes", "refuse"]
