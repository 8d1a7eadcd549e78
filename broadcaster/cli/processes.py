"""Commands that run the server: whole, or one of its halves."""

import signal
import sys
from typing import Any

import click

from broadcaster import config, log


def _run(web: bool, worker: bool) -> None:
    signal.signal(signal.SIGTERM, _leave)
    # Half a second: until all is imported and opened, a stop ends it at once.
    from broadcaster.cli import serving

    settings = config.load()
    log.set_up(settings.log_level)
    serving.run(settings, web=web, worker=worker)


def _leave(*_: Any) -> None:
    """End before anything has begun."""
    sys.exit(0)


@click.command()
def run() -> None:
    """Run web and worker in one process, the usual way.

    Example: BROADCASTER_PORT=9000 broadcaster run
    """
    _run(web=True, worker=True)


@click.command()
def web() -> None:
    """Run the web half alone, beside `broadcaster worker`.

    Example: broadcaster web
    """
    _run(web=True, worker=False)


@click.command()
def worker() -> None:
    """Run the sending half alone, beside `broadcaster web`.

    Example: broadcaster worker
    """
    _run(web=False, worker=True)
