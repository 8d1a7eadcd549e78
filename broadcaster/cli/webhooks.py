"""Commands about who is told of events."""

import click

from broadcaster.cli.installation import Installation, installed, with_json
from broadcaster.cli.saying import say
from broadcaster.cli.terminal import print_document, print_rows
from broadcaster.clock import epoch_ms
from broadcaster.services import webhook_targets
from broadcaster.settlement import event_documents
from broadcaster.store import webhooks
from broadcaster.web.own import answers


@click.group("webhook")
def webhook() -> None:
    """Programs that are told what happens."""


@webhook.command("add")
@click.argument("url")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(event_documents.TYPES),
    help="What to tell of; repeatable.",
)
@with_json
@installed
def webhook_add(here: Installation, url: str, types: tuple[str, ...], as_json: bool) -> None:
    """Tell an address of events, and print its secret, this once.

    Example: broadcaster webhook add https://crm.example/hooks --type broadcast.finished
    """
    row, secret = webhook_targets.create(url, list(types) or None, here.settings, here.vault, epoch_ms())
    print_document(answers.webhook(row) | {"secret": secret}, as_json)


@webhook.command("list")
@with_json
@installed
def webhook_list(_here: Installation, as_json: bool) -> None:
    """Show who is told of what.

    Example: broadcaster webhook list
    """
    rows = [answers.webhook(row) for row in webhooks.all_webhooks()]
    print_rows(rows, ("id", "url", "types", "disabledReason"), as_json)


@webhook.command("remove")
@click.argument("webhook_id")
@installed
def webhook_remove(_here: Installation, webhook_id: str) -> None:
    """Tell an address nothing more.

    Example: broadcaster webhook remove wh_1
    """
    webhook_targets.remove(webhook_id)
    say(f"webhook {webhook_id} removed")


@webhook.command("test")
@click.argument("webhook_id")
@installed
def webhook_test(_here: Installation, webhook_id: str) -> None:
    """Send an event that says nothing; a running worker delivers it.

    Example: broadcaster webhook test wh_1
    """
    webhook_targets.send_test(webhook_id, epoch_ms())
    say("a test event is on its way")
