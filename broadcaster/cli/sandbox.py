"""The command that runs the sandbox."""

from typing import IO

import click

from broadcaster.domain import strict_json
from broadcaster.sandbox.server import serve


@click.command()
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
    more = strict_json.loads(templates.read()) if templates else []
    if not isinstance(more, list) or not all(isinstance(row, dict) and "components" in row for row in more):
        raise click.UsageError("--templates must be a JSON list of templates with components")
    serve("127.0.0.1", port, latency / 1000, throughput, more, callbacks, app_secret)
