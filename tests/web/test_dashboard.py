"""The dashboard without a browser: who comes in, what a post may change, and that text stays text."""

import html
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from broadcaster.errors import Invalid
from broadcaster.services import access
from broadcaster.store import contacts, database, events, suppressions
from broadcaster.store.models import Broadcast, Message, Suppression, Token
from broadcaster.web.admission import SMALL
from broadcaster.web.dashboard import forms
from tests.support.broadcasts import settle
from tests.support.client import Client
from tests.support.hostile import HOSTILE
from tests.support.pages import PAGES
from tests.support.person import FORM, Person
from tests.support.samples import CHANNEL, NOW, request_of
from tests.support.written_numbers import NO_NUMBERS, rounds

PASSWORD = "correct horse battery"
OPENED = (*PAGES, "/templates/1")


@pytest.fixture
def stranger(client: Client) -> Person:
    return Person(client)


@pytest.fixture
def person(client: Client) -> Person:
    found = Person(client)
    found.sign_in(client.token)
    return found


# Who comes in


@pytest.mark.parametrize("path", OPENED)
def test_a_stranger_is_led_to_the_sign_in_and_back(stranger: Person, client: Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    entrance = answer.headers["location"]
    assert entrance.startswith("/sign-in?next=")
    entered = stranger.post(entrance, {"secret": client.token})
    assert entered.headers["location"] == path
    assert stranger.get(path).status_code == 200


def test_a_page_that_refreshes_itself_is_led_to_the_sign_in_whole(stranger: Person) -> None:
    answer = stranger.get("/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"], answer.text) == (200, "/sign-in", "")


def test_the_password_opens_and_a_new_one_shuts_out(stranger: Person, client: Client) -> None:
    assert stranger.sign_in(PASSWORD).status_code == 403
    access.set_password(PASSWORD)
    assert stranger.sign_in(PASSWORD).status_code == 303
    assert stranger.get("/").status_code == 200
    access.set_password("another long password")
    assert stranger.get("/").status_code == 303


def test_a_short_password_is_refused(db: Any) -> None:
    with pytest.raises(Invalid, match="at least 12"):
        access.set_password("short")
    assert not access.is_password("short")


def test_a_token_without_admin_does_not_open(stranger: Person, client: Client) -> None:
    weak = access.create_token("weak", ["broadcasts:read", "broadcasts:write"], None, NOW)
    assert stranger.sign_in(weak).status_code == 403
    assert stranger.get("/").status_code == 303


def test_a_revoked_token_ends_its_session(person: Person, client: Client) -> None:
    assert person.get("/").status_code == 200
    person.post("/tokens", {"revoke": Token.get(Token.name == "tests").id})
    assert person.get("/").status_code == 303


def test_signing_out_ends_the_session_wherever_its_cookie_is(person: Person, client: Client) -> None:
    copied = dict(person.cookies)
    assert person.post("/sign-out").headers["location"] == "/sign-in"
    assert person.get("/").status_code == 303
    thief = Person(client)
    thief.cookies = copied
    assert thief.get("/").status_code == 303
    person.sign_in(client.token)
    assert person.get("/").status_code == 200


def test_failed_passwords_wait_longer_and_longer_and_a_token_never(stranger: Person, client: Client) -> None:
    access.set_password(PASSWORD)
    statuses = [stranger.sign_in("wrong").status_code for _ in range(4)]
    assert statuses == [403, 403, 403, 429]
    right = stranger.sign_in(PASSWORD)
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) >= 1
    assert stranger.sign_in(client.token).status_code == 303


def test_of_sixty_passwords_at_once_three_are_looked_at(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    access.set_password(PASSWORD)
    looked_at = []
    monkeypatch.setattr(access, "is_password", lambda secret: bool(looked_at.append(secret)))
    people = [Person(client) for _ in range(60)]
    for one in people:
        one.get("/sign-in")
    with ThreadPoolExecutor(60) as pool:
        statuses = list(pool.map(lambda one: one.sign_in("wrong").status_code, people))
    assert (len(looked_at), statuses.count(403), statuses.count(429)) == (3, 3, 57)


def forwarded(stranger: Person, secret: str, told: str) -> int:
    headers = {"X-Forwarded-For": told}
    return int(stranger.post("/sign-in", {"secret": secret}, headers=headers).status_code)


def test_behind_a_trusted_proxy_each_client_waits_for_itself(stranger: Person, client: Client) -> None:
    access.set_password(PASSWORD)
    client.settings.trusted_proxies.append("127.0.0.0/8")
    assert [forwarded(stranger, "wrong", "203.0.113.9") for _ in range(4)] == [403, 403, 403, 429]
    # What stands before the last address was not written by our proxy.
    assert forwarded(stranger, PASSWORD, "198.51.100.7, 203.0.113.9") == 429
    assert forwarded(stranger, PASSWORD, "203.0.113.9, 198.51.100.7") == 303


def test_nobody_else_is_believed_about_addresses(stranger: Person) -> None:
    access.set_password(PASSWORD)
    assert [forwarded(stranger, "wrong", f"198.51.100.{i}") for i in range(4)] == [403, 403, 403, 429]


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(stranger: Person, client: Client) -> None:
    cookie = stranger.sign_in(client.token).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_a_made_up_cookie_opens_nothing(client: Client) -> None:
    for value in ("x", "eyJ0b2tlbiI6bnVsbH0.abc.def", "null", ""):
        forged = Person(client)
        forged.cookies["broadcaster_session"] = value
        assert forged.get("/").status_code == 303


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\tb"]
)
def test_the_sign_in_leads_nowhere_else(stranger: Person, client: Client, path: str) -> None:
    answer = stranger.post(f"/sign-in?{urlencode({'next': path})}", {"secret": client.token})
    assert answer.headers["location"] == "/"


# What a post may change


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_post_from_another_site_changes_nothing(
    person: Person, client: Client, headers: dict[str, str]
) -> None:
    accepted = client.post("/v1/broadcasts", request_of(2)).json
    for move in ("pause", "stop"):
        assert person.post(f"/broadcasts/{accepted['id']}/{move}", headers=headers).status_code == 403
    assert client.get(f"/v1/broadcasts/{accepted['id']}").json["status"] == "queued"


def test_a_post_without_the_forms_token_changes_nothing(person: Person, client: Client) -> None:
    accepted = client.post("/v1/broadcasts", request_of(2)).json
    for token in ("", "x", "IngiLg.abc"):
        answer = person.post(f"/broadcasts/{accepted['id']}/stop", {"form_token": token})
        assert answer.status_code == 403
    assert client.get(f"/v1/broadcasts/{accepted['id']}").json["status"] == "queued"


def test_the_api_takes_no_cookie(person: Person) -> None:
    assert person.get("/v1/broadcasts").status_code == 401


def test_stop_asks_first_and_tells_the_numbers(person: Person, client: Client) -> None:
    accepted = client.post("/v1/broadcasts", request_of(3)).json
    path = f"/broadcasts/{accepted['id']}"
    assert "3 messages have not left" in person.get(f"{path}/stop").text
    assert client.get(f"/v1{path}").json["status"] == "queued"
    person.post(f"{path}/stop")
    assert "3 cancelled, 0 were already on their way" in person.get(path).text


def test_pause_resume_and_retry(person: Person, client: Client) -> None:
    accepted = client.post("/v1/broadcasts", request_of(3)).json
    path = f"/broadcasts/{accepted['id']}"
    person.post(f"{path}/pause")
    assert client.get(f"/v1{path}").json["status"] == "paused"
    person.post(f"{path}/resume")
    assert client.get(f"/v1{path}").json["status"] == "queued"
    settle(accepted["id"], ("failed", None), ("sent", "read"), ("failed", None))
    answer = person.post(f"{path}/retry", {"code": "131026"})
    assert "2 messages are tried again" in person.get(answer.headers["location"]).text
    assert client.get(f"/v1{path}").json["stats"]["pending"] == 2


@pytest.mark.parametrize("body", [b"\xff\xfe=1", b"a=%FF", b"form_token=" + b"x=1&" * 600])
def test_a_form_that_cannot_be_read_is_refused(person: Person, body: bytes) -> None:
    answer = person.call("POST", "/sign-out", body=body, headers=FORM)
    assert answer.status_code == 400


def test_a_broken_upload_is_refused(person: Person) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x", b"--x\r\nnonsense\r\n--x--\r\n", b"\x00" * 50):
        assert person.call("POST", "/suppressions", body=body, headers=headers).status_code in (400, 403)
    assert Suppression.select().count() == 0


@pytest.mark.parametrize(
    ("path", "size"),
    [("/suppressions", forms.LARGEST_TYPED), ("/broadcasts/new", forms.LARGEST_TYPED), ("/tokens", SMALL)],
)
def test_a_form_over_its_limit_is_refused(person: Person, path: str, size: int) -> None:
    answer = person.post(path, {"numbers": "1" * size})
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/html")


def test_a_sign_in_is_short(stranger: Person) -> None:
    assert stranger.post("/sign-in", {"secret": "x" * SMALL}).status_code == 413


# What the pages say


def test_every_number_of_a_broadcast_is_the_apis(person: Person, client: Client) -> None:
    accepted = client.post("/v1/broadcasts", request_of(7)).json
    settle(
        accepted["id"], ("sent", "read"), ("sent", "delivered"), ("sent", None), ("sent", "failed"),
        ("failed", None), ("unknown", None), ("pending", None),
    )  # fmt: skip
    told = client.get(f"/v1/broadcasts/{accepted['id']}").json
    page = person.get(f"/broadcasts/{accepted['id']}").text
    shown = dict(re.findall(r'id="n-([\w-]+)">([^<]*)<', page))
    expected = {name: str(value) for name, value in told["stats"].items()}
    expected |= {f"delivery-{name}": str(value) for name, value in told["delivery"].items()}
    expected |= {name: str(told[name]) for name in ("inFlight", "unknown", "duplicates", "pace")}
    assert shown == expected
    bar = re.search(r'role="img" aria-label="([^"]*)"', page)
    assert bar
    assert bar[1] == "1 read, 1 delivered, 1 sent, 1 undelivered, 1 failed, 1 unknown, 1 pending"


def test_recipients_are_found_by_number_state_and_code(person: Person, client: Client) -> None:
    accepted = client.post("/v1/broadcasts", request_of(3)).json
    settle(accepted["id"], ("sent", "read"), ("failed", None), ("pending", None))
    path = f"/broadcasts/{accepted['id']}"

    def found(query: str) -> list[str]:
        return re.findall(r">(\+90555444\d{4})<", person.get(f"{path}?{query}").text)

    assert found("") == ["+905554440000", "+905554440001", "+905554440002"]
    assert found("search=0002") == ["+905554440002"]
    assert found("state=delivery:read") == ["+905554440000"]
    assert found("code=131026") == ["+905554440001"]
    assert found("search=%25") == []
    assert found("state=nonsense") == []


def test_a_missing_thing_is_a_page_that_says_so(person: Person) -> None:
    for path in (
        "/broadcasts/nope",
        "/messages/99999",
        "/templates/99999",
        "/webhooks/wh_9",
        "/static/nope.js",
    ):
        answer = person.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")


def test_static_files_are_only_ours(person: Person) -> None:
    assert person.get("/static/app.css").status_code == 200
    for name in ("..%2fpages.py", "%2e%2e/pages.py", "../pages.py", "app.css%00"):
        assert person.get(f"/static/{name}").status_code == 404


def test_pages_trust_nobody_else(person: Person) -> None:
    headers = person.get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_on_every_page(person: Person, client: Client, text: str) -> None:
    document = request_of(1, title=text)
    document["recipients"][0]["variables"] = [text, text, text, text]
    document["recipients"][0]["metadata"] = {text: text}
    accepted = client.post("/v1/broadcasts", document).json
    [message_id] = settle(accepted["id"], ("failed", None))
    with database.transaction():
        Message.update(error_text=text, error_code=text[:20]).execute()
        contacts.note_names({"+905554440000": text})
        events.add("template.updated", [{"name": text, "detail": text}], NOW)
        suppressions.add(["+905554440001"], text, "callback", NOW)
    access.create_token(text, ["channels:read"], None, NOW)
    pages = (
        *OPENED,
        f"/broadcasts/{accepted['id']}",
        f"/messages/{message_id}",
        f"/broadcasts/{accepted['id']}/stop",
    )
    seen = 0
    for path in pages:
        page = person.get(path).text
        # Whatever could begin markup is escaped wherever it stands.
        if any(mark in text for mark in "<>\"'"):
            assert text not in page, path
        seen += html.escape(text) in page or text in html.unescape(page)
    assert seen >= 5


# A new broadcast


def compose(person: Person, csv: str, do: str, **fields: str) -> Any:
    page = person.get(f"/broadcasts/new?channel={CHANNEL}&template={_template_id(person)}").text
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert key
    form = {"key": key[1], "channel": CHANNEL, "template": _template_id(person), "csv": csv, "do": do}
    return person.post("/broadcasts/new", form | fields)


def _template_id(person: Person) -> str:
    found = re.search(r'value="(\d+)"[^>]*>appointment \(en\)', person.get("/broadcasts/new").text)
    assert found
    return found[1]


def rows(*lines: str) -> str:
    return "\n".join(("to,1,2,3,4", *lines))


def test_faulty_rows_are_told_and_nothing_is_stored(person: Person) -> None:
    answer = compose(
        person,
        rows("+905554440001,Ana,Mon,10:00,x", "0911,Ben,Tue,11:00,y", "+905554440003,,Wed,1,z"),
        "send",
    )
    assert answer.status_code == 400
    shown = re.findall(r"<td>(row \d+[^<]*)</td>", answer.text)
    assert shown == ["row 3, number", "row 4"]
    assert Broadcast.select().count() == 0


def test_a_check_shows_the_plan_and_stores_nothing(person: Person) -> None:
    lines = [f"+90555444{i:04d},Ana,Mon,10:00,x" for i in range(3)]
    answer = compose(person, rows(*lines, lines[0]), "check")
    plan = dict(re.findall(r'id="plan-(\w+)">(\d+)<', answer.text))
    assert plan == {"recipients": "4", "valid": "3", "invalid": "0", "duplicates": "1", "suppressed": "0"}
    assert Broadcast.select().count() == 0


def test_a_form_sent_twice_is_one_broadcast(person: Person, client: Client) -> None:
    page = person.get(f"/broadcasts/new?channel={CHANNEL}&template={_template_id(person)}").text
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert key
    form = {
        "key": key[1], "channel": CHANNEL, "template": _template_id(person), "do": "send", "title": "Once",
        "csv": rows("+905554440001,Ana,Mon,10:00,x"),
    }  # fmt: skip
    first, second = person.post("/broadcasts/new", form), person.post("/broadcasts/new", form)
    assert first.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    changed = person.post("/broadcasts/new", form | {"title": "Twice"})
    assert changed.status_code == 400
    assert [row["title"] for row in client.get("/v1/broadcasts").json["data"]] == ["Once"]


def test_columns_are_mapped_and_texts_can_be_the_same_for_all(person: Person, client: Client) -> None:
    csv = "Mobile;first name;when\n+905554440001;Ana;Monday\n"
    unmapped = compose(person, csv, "check")
    assert re.findall(r"<td>(body \d)</td>", unmapped.text) == ["body 3", "body 4"]
    fields = {"from.1": "when", "from.2": "first name", "from.3": "=", "text.3": "10:00", "text.4": "x"}
    done = compose(person, csv, "send", **fields)
    assert done.status_code == 303
    [accepted] = client.get("/v1/broadcasts").json["data"]
    [message] = client.get(f"/v1/broadcasts/{accepted['id']}/messages").json["data"]
    assert message["to"] == "+905554440001"
    assert message["variables"] == {"1": "Monday", "2": "Ana", "3": "10:00", "4": "x"}


def test_faulty_rows_can_be_left_out(person: Person, client: Client) -> None:
    done = compose(person, rows("+905554440001,A,B,C,D", "0911,A,B,C,D"), "send", leave_out="yes")
    assert done.status_code == 303
    [accepted] = client.get("/v1/broadcasts").json["data"]
    assert (accepted["stats"]["pending"], accepted["stats"]["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("zone", "at", "expected"),
    [
        ("Europe/Istanbul", "2030-06-10T10:00", "2030-06-10T07:00:00.000Z"),
        ("Europe/Berlin", "2030-12-10T10:00", "2030-12-10T09:00:00.000Z"),
        ("UTC", "2030-12-10T10:00", "2030-12-10T10:00:00.000Z"),
    ],
)
def test_a_time_is_that_of_its_zone(
    person: Person, client: Client, zone: str, at: str, expected: str
) -> None:
    compose(person, rows("+905554440001,A,B,C,D"), "send", when="later", at=at, zone=zone)
    assert [row["scheduleAt"] for row in client.get("/v1/broadcasts").json["data"]] == [expected]


@pytest.mark.parametrize(
    ("zone", "at", "told"),
    [
        ("Europe/Berlin", "2031-03-30T02:30", "does not exist"),
        ("Mars/Base", "2030-06-10T10:00", "time zone"),
        ("UTC", "tomorrow", "a date and a time"),
        ("UTC", "2001-01-01T10:00", "in the past"),
    ],
)
def test_a_time_that_cannot_be_is_told(person: Person, zone: str, at: str, told: str) -> None:
    answer = compose(person, rows("+905554440001,A,B,C,D"), "send", when="later", at=at, zone=zone)
    assert answer.status_code == 400
    assert told in answer.text
    assert Broadcast.select().count() == 0


def test_a_test_goes_to_one_number_alone(person: Person, client: Client) -> None:
    csv = rows("+905554440001,Ana,Mon,10:00,x", "+905554440002,Ben,Tue,11:00,y")
    answer = compose(person, csv, "test", test_to="+905554449999")
    assert "A test is on its way" in answer.text
    [accepted] = client.get("/v1/broadcasts").json["data"]
    [message] = client.get(f"/v1/broadcasts/{accepted['id']}/messages").json["data"]
    assert (message["to"], message["variables"]["1"]) == ("+905554449999", "Ana")
    bad = compose(person, csv, "test", test_to="0911")
    assert bad.status_code == 400


@pytest.mark.parametrize("csv", ["", "to", "a,a\n1,2", '"', "to,1\n+905554440001"])
def test_a_csv_that_is_none_is_told(person: Person, csv: str) -> None:
    assert compose(person, csv, "send").status_code == 400
    assert Broadcast.select().count() == 0


def test_people_are_added_and_lifted(person: Person, client: Client) -> None:
    person.post("/suppressions", {"numbers": "+905554440001, +905554440002", "reason": "phone"})
    assert [row["to"] for row in client.get("/v1/suppressions").json["data"]] == [
        "+905554440001",
        "+905554440002",
    ]
    person.post("/suppressions", {"lift": "+905554440001"})
    assert [row["to"] for row in client.get("/v1/suppressions").json["data"]] == ["+905554440002"]
    bad = person.post("/suppressions", {"numbers": "+905554440003\n0911"})
    assert bad.status_code == 400
    assert "to[1]" in bad.text


def test_a_token_is_shown_once(person: Person) -> None:
    made = person.post("/tokens", {"name": "crm", "scope.broadcasts:read": "yes", "days": "30"}).text
    token = re.search(r'id="made">([^<]+)<', made)
    assert token
    assert access.authenticate(token[1], NOW).scopes == {"broadcasts:read"}
    assert token[1] not in person.get("/tokens").text


def test_numbers_are_read_as_people_write_them(person: Person, client: Client) -> None:
    for pairs in rounds():
        cells = ['"{}"'.format(form.replace('"', '""')) for form, _ in pairs]
        before = Message.select().count()
        done = compose(person, rows(*(f"{cell},A,B,C,D" for cell in cells)), "send")
        assert done.status_code == 303, done.text
        sent = [row.recipient for row in Message.select().order_by(Message.id)][before:]
        assert sent == [number for _, number in pairs]


def test_what_is_no_number_is_told_by_its_row(person: Person) -> None:
    texts = [text for text, _ in NO_NUMBERS if text.isprintable() and text.strip() and len(text) < 100]
    cells = ['"{}"'.format(text.replace('"', '""')) for text in texts[:90]]
    answer = compose(person, rows(*(f"{cell},A,B,C,D" for cell in cells)), "check")
    told = set(re.findall(r"<td>(row \d+), number</td>", answer.text))
    assert told == {f"row {number}" for number in range(2, len(cells) + 2)}
    assert Message.select().count() == 0


def test_opt_outs_are_typed_one_a_line_or_parted_by_commas(person: Person, client: Client) -> None:
    client.settings.default_country = "TR"
    typed = "+90 555 444 33 01\n0555 444 33 02, (0555) 444-33-03; +905554443304 +905554443305 TR.77\r\n"
    assert person.post("/suppressions", {"numbers": typed, "reason": "asked"}).status_code == 303
    people = [f"+90555444330{last}" for last in range(1, 6)]
    assert [row.recipient for row in suppressions.page("", 100)] == [*people, "TR.77"]
    person.post("/suppressions", {"lift": "0555 444 33 02"})
    assert suppressions.find("+905554443302") is None
    for decimal in ("919876543210,0", "919876543210.0", "905,554,443,301"):
        assert person.post("/suppressions", {"numbers": decimal, "reason": "asked"}).status_code == 400
    assert len(suppressions.page("", 100)) == 5
