"""Commands about the numbers that send and the templates Meta approved."""

import json
import sys
from typing import Any

import click

from broadcaster.cli.installation import Installation, installed, with_json
from broadcaster.cli.saying import say
from broadcaster.cli.terminal import print_rows
from broadcaster.clock import epoch_ms
from broadcaster.errors import Misconfigured
from broadcaster.services import channel_setup
from broadcaster.store import channels, definitions
from broadcaster.web.own import answers


@click.group()
def channel() -> None:
    """The numbers that send."""


@channel.command("add")
@click.argument("phone_number_id")
@click.option("--waba-id", required=True, help="The WhatsApp business account the number belongs to.")
@click.option("--access-token", required=True, help="Meta's token; - reads it from standard input.")
@click.option("--pace", type=float, help="Messages a second, overrides Meta's tier.")
@click.option("--portfolio", help="Numbers of one portfolio share its allowance.")
@with_json
@installed
def channel_add(
    here: Installation,
    phone_number_id: str,
    waba_id: str,
    access_token: str,
    pace: float | None,
    portfolio: str | None,
    as_json: bool,
) -> None:
    """Add a number, or bring it up to date: reads it and its templates from Graph.

    Example: broadcaster channel add 813497231850626 --waba-id 102290129340398 --access-token - < token.txt
    """
    if access_token == "-":
        access_token = sys.stdin.read().strip()
    if not access_token:
        raise click.UsageError("the access token is empty")
    row, count = channel_setup.add(
        phone_number_id, waba_id, access_token, here.settings, here.vault, epoch_ms(), pace, portfolio
    )
    _print_channel(row, count, as_json)


@channel.command("sync")
@click.argument("phone_number_id", required=False)
@click.option(
    "--access-token", help="A new token of Meta's for this channel; - reads it from standard input."
)
@with_json
@installed
def channel_sync(
    here: Installation, phone_number_id: str | None, access_token: str | None, as_json: bool
) -> None:
    """Read one channel, or all, and their templates from Graph anew.

    What was held for want of a good token goes on.

    Example: broadcaster channel sync 813497231850626 --access-token - < token.txt
    """
    if access_token is not None and phone_number_id is None:
        raise click.UsageError("--access-token needs the PHONE_NUMBER_ID it is for")
    token = sys.stdin.read().strip() if access_token == "-" else access_token
    if token == "":
        raise click.UsageError("the access token is empty")
    ids = [phone_number_id] if phone_number_id else [row.phone_number_id for row in channels.all_channels()]
    for one in ids:
        row, count = channel_setup.sync(one, here.settings, here.vault, epoch_ms(), token)
        _print_channel(row, count, as_json)


@channel.command("list")
@with_json
@installed
def channel_list(here: Installation, as_json: bool) -> None:
    """Show the numbers that send, with their tiers and paces.

    Example: broadcaster channel list
    """
    rows = [answers.channel(row) for row in channels.all_channels()]
    columns = ("id", "displayPhoneNumber", "verifiedName", "status", "qualityRating", "tier", "pace")
    print_rows(rows, columns, as_json)


@channel.command("remove")
@click.argument("phone_number_id")
@installed
def channel_remove(here: Installation, phone_number_id: str) -> None:
    """Forget a number that no broadcast ever used.

    Example: broadcaster channel remove 813497231850626
    """
    row = channel_setup.get(phone_number_id)
    if not channels.remove(row.id):
        raise Misconfigured(f"channel {phone_number_id} has broadcasts, which keep it on record")
    say(f"channel {phone_number_id} removed")


def _print_channel(row: Any, count: int, as_json: bool) -> None:
    document = answers.channel(row) | {"templates": count}
    if as_json:
        say(json.dumps(document))
        return
    say(
        f"channel {row.phone_number_id} ({row.display_phone_number or 'number unknown'}): "
        f"{document['tier']}, {document['pace']} messages a second, {count} templates"
    )


@click.group()
def template() -> None:
    """The templates Meta approved."""


@template.command("list")
@with_json
@installed
def template_list(here: Installation, as_json: bool) -> None:
    """Show all templates with the variables they ask for.

    Example: broadcaster template list --json
    """
    rows = [answers.template(row) for row in definitions.page(None, None, 0, 100_000)]
    shown = rows if as_json else [row | {"variables": _slot_names(row["variables"])} for row in rows]
    print_rows(shown, ("name", "language", "status", "category", "variables"), as_json)


@template.command("show")
@click.argument("name")
@click.argument("language")
@with_json
@installed
def template_show(here: Installation, name: str, language: str, as_json: bool) -> None:
    """Show one template: its texts and what each of its slots takes.

    Example: broadcaster template show order_update en
    """
    found = [row for row in definitions.page(None, name, 0, 1000) if row.language == language]
    if not found:
        raise Misconfigured(f'there is no template "{name}" in {language}; `template list` shows all')
    document = answers.template(found[0])
    if as_json:
        say(json.dumps(document))
        return
    say(f"{name} ({language}), {document['status']}, {document['category']}")
    for component in document["components"]:
        text = component.get("text") or component.get("format") or ""
        labels = ", ".join(button.get("text", button["type"]) for button in component.get("buttons", []))
        say(f"  {component['type']}: {text or labels}")
    slots = [slot | {"component": _slot_place(slot)} for slot in document["variables"]]
    print_rows(slots, ("component", "key", "type", "required"), False)


def _slot_names(slots: list[answers.TemplateVariable]) -> str:
    return ", ".join(f"{_slot_place(slot)} {slot['key']}" for slot in slots)


def _slot_place(slot: answers.TemplateVariable) -> str:
    return f"card {slot['card']} {slot['component']}" if "card" in slot else str(slot["component"])
