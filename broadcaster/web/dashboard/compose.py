"""A new broadcast, step by step on one page: channel and template, recipients, a look at all faults, a
test, and only then the sending. Nothing is stored before the last step."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from zoneinfo import ZoneInfo, available_timezones

import falcon

from broadcaster.clock import epoch_ms
from broadcaster.domain import phone, strict_json, templates
from broadcaster.domain.strict_json import dumps
from broadcaster.domain.templates import Slots
from broadcaster.domain.variables import TemplateRef
from broadcaster.domain.words import OnInvalid
from broadcaster.errors import BroadcasterError, Faults, Invalid, Malformed
from broadcaster.services import planning, recipients_csv, submit
from broadcaster.services.planning import Plan
from broadcaster.services.recipients_csv import Table
from broadcaster.services.specs import Names, Recipient, Spec
from broadcaster.services.submit import Accepted, Once
from broadcaster.store import channels, definitions
from broadcaster.store.models import Channel, Template
from broadcaster.web.dashboard import forms
from broadcaster.web.dashboard.base import Page
from broadcaster.web.dashboard.forms import Form
from broadcaster.web.dashboard.lists import sketch
from broadcaster.web.dashboard.session import Session
from broadcaster.web.own import answers

_FIXED = "="
"""In place of a column: the same text for all."""
_MOST_FIXED = 2000
_NAMES = Names(to="number", own_variables="variables", due_at="time")
_ALL = 100_000
_TITLE = 200


@dataclass
class Draft:
    """What the form says so far."""

    channel: Channel
    template: Template
    slots: Slots
    form: Form
    table: Table | None = None
    faults: Faults = field(default_factory=Faults)
    country: str | None = None
    """Where national numbers are from (ISO code)."""

    @cached_property
    def number_column(self) -> str:
        """The column with the numbers: as chosen, or the one whose name and content say so."""
        columns = self.table.columns if self.table else []
        if self.form["number_column"] in columns:
            return self.form["number_column"]
        found = recipients_csv.number_column(self.table, self.country) if self.table else None
        return found or (columns[0] if columns else "")

    @cached_property
    def sources(self) -> dict[str, str]:
        """For each variable the column it comes from: as chosen, or of the same name, or the same place."""
        # Read once for thousands of rows, when the table is there.
        columns = [c for c in self.table.columns if c != self.number_column] if self.table else []
        return {place.name: self._source(place.name, columns) for place in self.slots.places}

    def _source(self, name: str, columns: list[str]) -> str:
        chosen = self.form[f"from.{name}"]
        if chosen == _FIXED or chosen in columns:
            return chosen
        if self.form[f"text.{name}"]:
            return _FIXED
        same = next((c for c in columns if c.casefold() == name.casefold()), None)
        places = [place.name for place in self.slots.places]
        if same or name not in places:
            return same or ""
        free = [c for c in columns if c.casefold() not in {place.casefold() for place in places}]
        unnamed = [n for n in places if n.casefold() not in {c.casefold() for c in columns}]
        at = unnamed.index(name)
        return free[at] if at < len(free) and name.isdecimal() else ""

    def value(self, name: str, row: dict[str, str]) -> str:
        source = self.sources[name]
        return self.form[f"text.{name}"][:_MOST_FIXED] if source == _FIXED else row.get(source, "")


class Compose(Page):
    largest_form = forms.LARGEST

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        session = self.entered(request)
        form = Form({name: request.get_param(name, default="") or "" for name in ("channel", "template")})
        form["key"] = secrets.token_urlsafe(12)
        self._show(response, session, form, _draft(form, self.settings.default_country))

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        session, form = self.posted(request)
        draft = _draft(form, self.settings.default_country)
        if draft is None:
            self._show(response, session, form, None, status=400)
            return
        _take_file(form)
        steps = {"test": self._test, "send": self._send}
        try:
            _read_table(draft)
            plan = _plan(draft, self.settings.stop_words, epoch_ms())
            done = steps[form["do"]](session, draft, plan) if form["do"] in steps else None
        except Invalid as error:
            draft.faults = error.faults
            self._show(response, session, form, draft, status=400)
        except BroadcasterError as error:
            self._show(response, session, form, draft, error=error, status=400)
        else:
            self._show(response, session, form, draft, plan, done)

    def _send(self, session: Session, draft: Draft, plan: Plan) -> None:
        """Accept it, once for this form; leads to the broadcast's page."""
        fields = sorted((k, v) for k, v in draft.form.items() if k not in ("form_token", "do", "test_to"))
        fingerprint = hashlib.sha256(dumps(fields).encode()).hexdigest()
        once = Once(session.token_id or "dashboard", f"form {draft.form['key']}", fingerprint)
        accepted = self._submit(session, plan, once)
        raise falcon.HTTPSeeOther(f"/broadcasts/{accepted.id}?done=accepted")

    def _test(self, session: Session, draft: Draft, plan: Plan) -> Accepted:
        """Send the first row's message to one number, now and before all others; returns the broadcast."""
        rows = draft.table.rows[:1] if draft.table else []
        people = [_recipient(draft, "test", row, draft.form["test_to"].strip()) for _, row in rows]
        spec = Spec(
            channel=plan.spec.channel,
            template=plan.spec.template,
            recipients=people,
            title=f"Test: {plan.spec.title or draft.template.name}"[:_TITLE],
            priority=submit.HIGH,
            names=_NAMES,
            arrange=_arrange,
            country=draft.country,
        )
        test = planning.plan(spec, Faults(), self.settings.stop_words, epoch_ms())
        return self._submit(session, test, None)

    def _submit(self, session: Session, plan: Plan, once: Once | None) -> Accepted:
        return submit.submit(
            plan,
            self.schedule,
            lambda tracked: dumps(answers.broadcast(tracked)),
            epoch_ms(),
            session.token_id,
            once,
        )

    def _show(
        self,
        response: falcon.Response,
        session: Session,
        form: Form,
        draft: Draft | None,
        plan: Plan | None = None,
        tested: Accepted | None = None,
        error: BroadcasterError | None = None,
        status: int = 200,
    ) -> None:
        now = epoch_ms()
        self.page(
            response,
            "compose.html",
            session,
            status,
            form=form,
            draft=draft,
            channels=channels.all_channels(),
            templates=_sendable(),
            sketch=sketch(draft.template) if draft else None,
            plan=answers.plan(plan, now) if plan else None,
            tested=tested,
            error=error,
            zones=sorted(available_timezones()),
            countries=sorted(phone.known_countries()),
            fixed=_FIXED,
        )


def _sendable() -> list[Template]:
    rows = [row for row in definitions.page(None, None, 0, _ALL) if row.status == "APPROVED"]
    return sorted(rows, key=lambda row: (row.name, row.language))


def _draft(form: Form, default_country: str | None) -> Draft | None:
    """The channel and template that were chosen, None while they are not or do not belong together."""
    channel = channels.find(form["channel"])
    number = form["template"]
    row = definitions.get(int(number[:18])) if number.isascii() and number.isdecimal() else None
    if channel is None or row is None or row.waba_id != channel.waba_id:
        return None
    slots = templates.slots(strict_json.loads(row.components.encode()), row.parameter_format)
    chosen = form.get("country", default_country)
    country = chosen if chosen in phone.known_countries() else None
    return Draft(channel, row, slots, form, country=country)


def _take_file(form: Form) -> None:
    """An uploaded file takes the place of the text; from then on it can be corrected there."""
    if form.files.get("file"):
        try:
            form["csv"] = form.files["file"].decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise Malformed("the file is not UTF-8: save it as CSV UTF-8") from None


def _read_table(draft: Draft) -> None:
    """Read the rows; raises Malformed, and Invalid while a variable has no column."""
    if not draft.form["csv"].strip():
        raise Malformed("Paste the recipients or choose a file.")
    draft.table = recipients_csv.table(draft.form["csv"].encode())
    faults = Faults()
    for place in draft.slots.places:
        if place.required and not draft.sources[place.name]:
            faults.add(f"{place.component.lower()} {place.key}", "choose its column below, or a text for all")
    faults.check()


def _plan(draft: Draft, stop_words: Iterable[str], now: int) -> Plan:
    """What would be sent; raises Invalid with every faulty row."""
    faults, form, table = Faults(), draft.form, draft.table
    for number, message in table.faults if table else ():
        faults.add(f"row {number}", message)
    leave_out: OnInvalid = "fail" if form["leave_out"] else "reject"
    spec = Spec(
        channel=draft.channel.phone_number_id,
        template=TemplateRef(draft.template.name, draft.template.language),
        recipients=[
            _recipient(draft, f"row {number}", row, row[draft.number_column])
            for number, row in (table.rows if table else ())
        ],
        title=form["title"].strip()[:_TITLE] or None,
        due_at=_due_at(form, faults),
        priority=submit.HIGH if form["priority"] == "high" else submit.NORMAL,
        on_invalid=leave_out,
        on_bad_number=leave_out,
        names=_NAMES,
        arrange=_arrange,
        country=draft.country,
    )
    return planning.plan(spec, faults, stop_words, now)


def _recipient(draft: Draft, where: str, row: dict[str, str], to: str) -> Recipient:
    values = {place.name: draft.value(place.name, row) for place in draft.slots.places}
    filled = {name: value for name, value in values.items() if value != ""}
    return Recipient(where, to, filled or None)


def _arrange(slots: Slots, variables: templates.Variables, _at: str, _faults: Faults) -> templates.Variables:
    return templates.spread(slots, variables.get("BODY", {}))


def _due_at(form: Form, faults: Faults) -> int | None:
    """The chosen time in its zone, as epoch milliseconds; None for now."""
    if form["when"] != "later":
        return None
    if form["zone"] not in available_timezones():
        faults.add("zone", "must be a time zone's name, like Europe/Istanbul")
        return None
    try:
        local = datetime.fromisoformat(form["at"]).replace(tzinfo=ZoneInfo(form["zone"]))
    except ValueError:
        faults.add("time", "must be a date and a time")
        return None
    moment = local.astimezone(UTC)
    if moment.astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
        faults.add("time", "does not exist in this zone: the clocks are set forward then")
        return None
    return int(moment.timestamp() * 1000)
