"""Logs: one JSON object a line on stderr, phone numbers masked, whoever wrote them."""

import logging
import re
import sys
import threading
from typing import Any

import structlog

from broadcaster.domain import phone

_NUMBER = re.compile(r"\+\d{7,15}\b", re.ASCII)


def set_up(level: str) -> None:
    """Route structlog and the standard library's loggers through the same masking renderer."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                mask,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    threading.excepthook = _log_uncaught
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # huey announces every chore and waitress every queued request; neither is news.
    logging.getLogger("huey").setLevel(logging.WARNING)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # At DEBUG these repeat statements with their values, and addresses with what stands in them.
    for talker in ("peewee", "urllib3"):
        logging.getLogger(talker).setLevel(max(logging.INFO, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _log_uncaught(failed: threading.ExceptHookArgs) -> None:
    """A thread's error as a line like others; Python would print it as it is."""
    if failed.exc_type is not SystemExit:
        named = failed.thread.name if failed.thread else None
        logging.getLogger(__name__).error("a thread ended: %s", named, exc_info=failed.exc_value)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event and its facts: log.info("broadcast accepted", id=...)."""
    return structlog.stdlib.get_logger(name)


def is_detailed() -> bool:
    """Whether single messages are logged: what is only written then need not be gathered otherwise."""
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def about(**facts: str) -> None:
    """Put these facts on every line this thread logs from here on, in place of those before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**facts)


def mask(_logger: Any, _method: str, event: Any) -> Any:
    """Hide the middle of every international number in an event's texts."""
    for key, value in event.items():
        if isinstance(value, str) and "+" in value:
            event[key] = _NUMBER.sub(lambda found: phone.masked(found[0]), value)
    return event
