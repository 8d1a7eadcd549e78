"""Callbacks of strangers: nothing is read, and nothing kept, without a right signature."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from broadcaster.errors import Busy
from broadcaster.store.models import Callback
from broadcaster.web.requests import Context
from tests.support.callbacks import callback, status
from tests.support.client import Client

BODY = json.dumps(callback(status("delivered"))).encode()
OLD, NEW = "an older secret", "a newer secret"


def signed(secret: str, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(client: Client, signature: str | None) -> int:
    headers = {"Content-Type": "application/json"} | ({"X-Hub-Signature-256": signature} if signature else {})
    client.settings.app_secret = f"{OLD},{NEW}"
    answer = client.anonymous.simulate_post("/callbacks/meta", body=BODY, headers=headers)
    return int(answer.status_code)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "nonsense",
        signed(""),
        signed("another"),
        signed(NEW)[:-1],
        signed(NEW, BODY + b" "),
    ],
)
def test_without_a_right_signature_nothing_is_kept(client: Client, signature: str | None) -> None:
    assert post(client, signature) == 401
    assert Callback.select().count() == 0


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_both_secrets_hold_while_one_takes_the_place_of_the_other(client: Client, secret: str) -> None:
    assert post(client, signed(secret)) == 200
    assert Callback.select().count() == 1


def test_what_is_too_busy_for_a_callback_keeps_nothing_of_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Context.gather
    refusals = [Busy("frozen")]

    def gather(context: Context, function: Any, row: Any) -> None:
        if refusals:
            raise refusals.pop()
        really(context, function, row)

    monkeypatch.setattr(Context, "gather", gather)
    assert post(client, signed(NEW)) == 503
    # Kept without its effect and answered 200, it would never come again.
    assert Callback.select().count() == 0
    assert post(client, signed(NEW)) == 200
    assert [row.understood for row in Callback.select()] == [True]
