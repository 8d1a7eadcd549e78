"""Commands that run: the server and its halves, the sandbox, the demo."""

import sys
from typing import IO

import click

from broadcaster import config, log
from broadcaster.cli.base import cli
from broadcaster.cli.terminal import out
from broadcaster.domain import strict_json


def _run(web: bool, worker: bool) -> None:
    # The sender's and the server's libraries are half of the start-up time of every other command.
    from broadcaster.cli import serving

    settings = config.load()
    log.set_up(settings.log_level)
    serving.run(settings, web=web, worker=worker)


@cli.command()
def run() -> None:
    """Run web and worker in one process, the usual way.

    Example: BROADCASTER_PORT=9000 broadcaster run
    """
    _run(web=True, worker=True)


@cli.command()
def web() -> None:
    """Run the web half alone, beside `broadcaster worker`.

    Example: broadcaster web
    """
    _run(web=True, worker=False)


@cli.command()
def worker() -> None:
    """Run the sending half alone, beside `broadcaster web`.

    Example: broadcaster worker
    """
    _run(web=False, worker=True)


@cli.command()
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--latency", default=50, show_default=True, help="Milliseconds until an answer.")
@click.option("--throughput", default=0.0, help="Messages a sliding second before 130429; 0 for no limit.")
@click.option(
    "--templates",
    type=click.File("rb"),
    help="A JSON list of more templates, as Graph's message_templates shows them.",
)
@click.option("--callbacks", metavar="URL", help="Send signed receipts there.")
@click.option("--app-secret", default="sandbox", show_default=True, help="What receipts are signed with.")
def sandbox(
    port: int,
    latency: int,
    throughput: float,
    templates: IO[bytes] | None,
    callbacks: str | None,
    app_secret: str,
) -> None:
    """Run a local stand-in for Meta's Graph API, to try everything without an account.

    Example: broadcaster sandbox --port 8090 --latency 100
    """
    from broadcaster.sandbox.server import serve

    more = strict_json.loads(templates.read()) if templates else []
    if not isinstance(more, list) or not all(isinstance(row, dict) and "components" in row for row in more):
        raise click.UsageError("--templates must be a JSON list of templates with components")
    serve("127.0.0.1", port, latency / 1000, throughput, more, callbacks, app_secret)


@cli.command()
@click.option("--stay", is_flag=True, help="Keep everything running afterwards, to look at the dashboard.")
def demo(stay: bool) -> None:
    """Start sandbox and server in a temporary directory, send a sample broadcast and check its counters.

    Example: broadcaster demo --stay
    """
    from broadcaster.cli.demo import run_demo

    sys.exit(run_demo(out, stay))
