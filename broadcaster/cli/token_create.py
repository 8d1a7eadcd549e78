"""The command that makes a token: alone of the commands about tokens it needs the vendors' dialects."""

import click

from broadcaster.cli.installation import Installation, installed
from broadcaster.cli.saying import say
from broadcaster.clock import epoch_ms
from broadcaster.services import access
from broadcaster.web.dialects import STYLES


@click.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help=f"One of {', '.join(access.SCOPES)}; repeatable."
)
@click.option("--expires-in", "days", type=click.IntRange(1, 36_500), metavar="DAYS", help="Its end.")
@click.option("--style", type=click.Choice(list(STYLES)), help="Look like a token of this vendor.")
@installed
def create(
    _here: Installation, name: str, scopes: tuple[str, ...], days: int | None, style: str | None
) -> None:
    """Make a token and print it, this once.

    Example: broadcaster token create crm --scope broadcasts:write --scope broadcasts:read
    """
    prefix = STYLES[style] if style else access.PREFIX
    say(access.create_token(name, list(dict.fromkeys(scopes)), days, epoch_ms(), prefix))
