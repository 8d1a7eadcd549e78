"""Templates: the definitions Graph returned, by business account."""

from typing import Any

from broadcaster.models import Template
from broadcaster.store import database


def replace_all(waba_id: str, definitions: list[dict[str, Any]], now: int) -> int:
    """Make the account's templates exactly these; returns how many there are."""
    with database.transaction():
        Template.delete().where(Template.waba_id == waba_id).execute()
        for definition in definitions:
            Template.create(waba_id=waba_id, synced_at=now, **definition)
    return len(definitions)


def find(waba_id: str, name: str, language: str) -> Template | None:
    return Template.get_or_none(
        (Template.waba_id == waba_id) & (Template.name == name) & (Template.language == language)
    )


def languages(waba_id: str, name: str) -> list[str]:
    """The languages a template of this name exists in."""
    found = Template.select(Template.language).where((Template.waba_id == waba_id) & (Template.name == name))
    return sorted(row.language for row in found)


def page(waba_id: str | None, name: str | None, after: int, limit: int) -> list[Template]:
    """Templates after an id, of one account or name if given."""
    query = Template.select().where(Template.id > after)
    if waba_id is not None:
        query = query.where(Template.waba_id == waba_id)
    if name is not None:
        query = query.where(Template.name == name)
    return list(query.order_by(Template.id).limit(limit))
