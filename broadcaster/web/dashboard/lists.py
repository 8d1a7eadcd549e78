"""The pages of what stands around broadcasts: templates, channels, opt-outs, tokens, events."""

import re
from typing import Any

import falcon

from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json, templates
from broadcaster.errors import BroadcasterError, Faults, NotFound
from broadcaster.services import access, channel_setup, recipients_csv, webhook_targets
from broadcaster.settlement import event_documents, opt_outs
from broadcaster.store import contacts, definitions, events, suppressions, tokens, webhooks
from broadcaster.store.models import Template
from broadcaster.web.bodies import valid
from broadcaster.web.dashboard import figures, forms
from broadcaster.web.dashboard.base import Page
from broadcaster.web.dialects import STYLES
from broadcaster.web.own import answers
from broadcaster.web.own.bodies import NewSuppressions

_PAGE = 100
_ALL = 100_000
_LARGEST_ID = 2**62
_BETWEEN = re.compile(r"[\n;]|,(?=\s|\+|[A-Z])|(?<=\w)[^\S\n]+(?=\+|[A-Z]{2}\.)")
"""What parts numbers: the end of a line, or a comma or blank that can be no part of one."""


class Templates(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session = self.entered(request)
        rows = [(row.id, answers.template(row)) for row in definitions.page(None, None, 0, _ALL)]
        rows.sort(key=lambda pair: (pair[1]["name"], pair[1]["language"]))
        self.page(response, "templates.html", session, rows=rows)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, template_id: int) -> None:
        session = self.entered(request)
        row = definitions.get(template_id)
        if row is None:
            raise NotFound("there is no such template; the channel may have been read anew")
        self.page(response, "template.html", session, t=answers.template(row), id=row.id, preview=sketch(row))


def sketch(row: Template) -> templates.Preview:
    """A template as its reader will see it, with its variables' names where their values will be."""
    definition = strict_json.loads(row.components.encode())
    carousel: dict[str, Any] = next((part for part in definition if part.get("type") == "CAROUSEL"), {})
    bare: list[templates.Card] = [
        {"card_index": i, "components": []} for i, _ in enumerate(carousel.get("cards") or [])
    ]
    return templates.preview(definition, [{"type": "carousel", "cards": bare}])


class Channels(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session, now = self.entered(request), epoch_ms()
        rows = figures.channel_rows(now)
        self.page(response, "channels.html", session, channels=rows, note=self.note(request), error=None)

    def on_post_sync(self, request: falcon.Request, response: falcon.Response, phone_number_id: str) -> None:
        session, _ = self.posted(request)
        now = epoch_ms()
        try:
            channel_setup.sync(phone_number_id, self.settings, self.vault, now)
        except BroadcasterError as error:
            rows = figures.channel_rows(now)
            self.page(response, "channels.html", session, 502, channels=rows, note=None, error=error)
            return
        raise falcon.HTTPSeeOther("/channels?done=synced")


class Suppressions(Page):
    largest_form = forms.LARGEST

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session = self.entered(request)
        after = request.get_param("after", default="") or ""
        found = suppressions.listed(after, _PAGE + 1)
        self.page(
            response,
            "suppressions.html",
            session,
            rows=[
                {
                    **answers.suppression(one.facts),
                    "contact": contacts.public_id(one.facts.contact_id),
                    "names": [name for name in one.names if name != one.facts.recipient],
                }
                for one in found[:_PAGE]
            ],
            following=found[_PAGE - 1].facts.recipient if len(found) > _PAGE else None,
            note=self.note(request),
        )

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        _, form = self.posted(request)
        now, country = epoch_ms(), self.settings.default_country
        if form["lift"]:
            opt_outs.lift(form["lift"], "dashboard", now, country)
            raise falcon.HTTPSeeOther("/suppressions?done=lifted")
        listed = recipients_csv.read(form.files["file"], country).recipients if form.files.get("file") else []
        given = [
            *filter(None, map(str.strip, _BETWEEN.split(form["numbers"]))),
            *(row["to"] for row in listed),
        ]
        document = {"to": given, "reason": form["reason"] or "by hand"}
        asked = valid(NewSuppressions, document, Faults(), country)
        new = opt_outs.suppress(asked.to, asked.reason, "dashboard", now)
        raise falcon.HTTPSeeOther(f"/suppressions?done=suppressed&count={len(new)}")


class Tokens(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        self._show(request, response, None, self.note(request))

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        _, form = self.posted(request)
        now = epoch_ms()
        if form["revoke"]:
            if not tokens.revoke(form["revoke"], now):
                raise NotFound("there is no such token, or it was revoked before")
            raise falcon.HTTPSeeOther("/tokens?done=revoked")
        faults = Faults()
        days = form["days"].strip()
        if days and not (days.isascii() and days.isdecimal() and 1 <= int(days[:9]) <= 36_500):
            faults.add("days", "must be a whole number from 1 to 36500, or empty")
        scopes = [scope for scope in access.SCOPES if form[f"scope.{scope}"]]
        if not scopes:
            faults.add("scopes", "choose at least one")
        faults.check()
        prefix = STYLES.get(form["style"], access.PREFIX)
        made = access.create_token(form["name"][:100], scopes, int(days) if days else None, now, prefix)
        self._show(request, response, made, None)

    def _show(
        self, request: falcon.Request, response: falcon.Response, made: str | None, note: str | None
    ) -> None:
        self.page(
            response,
            "tokens.html",
            self.entered(request),
            rows=tokens.all_tokens(),
            scopes=access.SCOPES,
            styles=STYLES,
            made=made,
            note=note,
        )


class Events(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session = self.entered(request)
        before = request.get_param_as_int("before", min_value=1, max_value=_LARGEST_ID)
        found = events.latest(before, _PAGE + 1)
        self.page(
            response,
            "events.html",
            session,
            rows=[answers.event(row) for row in found[:_PAGE]],
            deliveries={
                events.public_id(event_id): found_of
                for event_id, found_of in webhooks.standing([row.id for row in found[:_PAGE]]).items()
            },
            following=found[_PAGE - 1].id if len(found) > _PAGE else None,
        )


class Webhooks(Page):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        self._show(response, self.entered(request), None, self.note(request))

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        session, form = self.posted(request)
        types = [kind for kind in event_documents.TYPES if form[f"type.{kind}"]]
        _, secret = webhook_targets.create(form["url"].strip(), types, self.settings, self.vault, epoch_ms())
        self._show(response, session, secret, None)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, reference: str) -> None:
        session = self.entered(request)
        row = webhook_targets.get(reference)
        log = [answers.delivery(*entry) for entry in webhooks.log(row.id, None, _PAGE)]
        self.page(response, "webhook.html", session, w=answers.webhook(row), log=log, note=self.note(request))

    def on_post_one(self, request: falcon.Request, response: falcon.Response, reference: str) -> None:
        _, form = self.posted(request)
        now = epoch_ms()
        if form["do"] == "remove":
            webhook_targets.remove(reference)
            raise falcon.HTTPSeeOther("/webhooks?done=removed")
        if form["do"] == "replay":
            after = form["after"] if form["after"].isascii() and form["after"].isdecimal() else "0"
            count = webhook_targets.replay(reference, min(int(after[:18]), _LARGEST_ID), now)
            raise falcon.HTTPSeeOther(
                f"/webhooks/{webhook_targets.public_id(reference)}?done=replayed&count={count}"
            )
        webhook_targets.send_test(reference, now)
        raise falcon.HTTPSeeOther(f"/webhooks/{webhook_targets.public_id(reference)}?done=tested")

    def _show(self, response: falcon.Response, session: Any, secret: str | None, note: str | None) -> None:
        rows = [answers.webhook(row) for row in webhooks.all_webhooks()]
        types = [(kind, kind in event_documents.USUAL) for kind in event_documents.TYPES]
        self.page(response, "webhooks.html", session, rows=rows, types=types, secret=secret, note=note)
