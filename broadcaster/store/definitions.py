"""Templates: the definitions Graph returned, by business account."""

from typing import Any

from broadcaster.store import database
from broadcaster.store.models import Template


def replace_all(waba_id: str, definitions: list[dict[str, Any]], now: int) -> int:
    """Make the account's templates exactly these, those it had keep their ids; returns how many."""
    with database.transaction():
        database.lock_name("templates", waba_id)
        kept = [_save({**definition, "waba_id": waba_id, "synced_at": now}) for definition in definitions]
        gone = (Template.waba_id == waba_id) & Template.id.not_in(kept)
        Template.delete().where(gone).execute()
    return len(kept)


def _save(facts: dict[str, Any]) -> int:
    known = find(facts["waba_id"], facts["name"], facts["language"])
    if known is None:
        return int(Template.create(**facts).id)
    Template.update(facts).where(Template.id == known.id).execute()
    return int(known.id)


def find(waba_id: str, name: str, language: str) -> Template | None:
    return Template.get_or_none(
        (Template.waba_id == waba_id) & (Template.name == name) & (Template.language == language)
    )


def change(template_id: int, facts: dict[str, Any]) -> None:
    """What a callback told about a template."""
    Template.update(facts).where(Template.id == template_id).execute()


def get(template_id: int) -> Template | None:
    return Template.get_or_none(Template.id == template_id)


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
