"""Commands about who may come in."""

import sys

import click

from broadcaster.cli.installation import Installation, installed, with_json
from broadcaster.cli.lazy import LazyGroup, Place
from broadcaster.cli.saying import say
from broadcaster.cli.terminal import print_rows
from broadcaster.clock import epoch_ms
from broadcaster.domain import timestamps
from broadcaster.errors import Misconfigured
from broadcaster.services import access
from broadcaster.store import tokens


@click.group(
    cls=LazyGroup, places={"create": Place("token_create", "create", "Make a token and print it, this once.")}
)
def token() -> None:
    """The tokens programs use to call the API."""


@token.command("list")
@with_json
@installed
def token_list(_here: Installation, as_json: bool) -> None:
    """Show the tokens: names, scopes and ends, never the tokens themselves.

    Example: broadcaster token list
    """
    rows = [
        {
            "id": row.id,
            "name": row.name,
            "scopes": row.scopes.split() if as_json else row.scopes,
            "createdAt": timestamps.format_time(row.created_at),
            "expiresAt": timestamps.format_time(row.expires_at),
            "revokedAt": timestamps.format_time(row.revoked_at),
            "usedAt": timestamps.format_time(row.used_at),
        }
        for row in tokens.all_tokens()
    ]
    print_rows(rows, ("id", "name", "scopes", "expiresAt", "revokedAt", "usedAt"), as_json)


@token.command("revoke")
@click.argument("token_id")
@installed
def token_revoke(_here: Installation, token_id: str) -> None:
    """End a token for good, by the id `token list` shows.

    Example: broadcaster token revoke 7Hq2mZ0aXk3P
    """
    if not tokens.revoke(token_id, epoch_ms()):
        raise Misconfigured(f'no valid token has the id "{token_id}"; `token list` shows all')
    say(f"token {token_id} revoked")


@click.command("dashboard-password")
@installed
def dashboard_password(_here: Installation) -> None:
    """Set the password that opens the dashboard, asked for twice; a line on standard input does as well.

    Example: broadcaster dashboard-password
    """
    if sys.stdin.isatty():
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    access.set_password(password)
    say("the password is set; whoever signed in with the one before is signed out")
