"""Whatever stands in a path, a query or an address to go on to is answered, never with a fault of ours."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import falcon.inspect
import pytest

from tests.support.client import Client
from tests.support.person import Person

_METHODS = ("GET", "POST", "DELETE", "PATCH", "PUT")
_PARAMETER = re.compile(r"\{[^}]*\}")
ODD = [
    "9" * 18,
    "9" * 19,
    "9" * 20,
    "9" * 5000,
    "-1",
    "٣",
    "é",
    "😀",
    "\x00",
    "\r\nX: y",
    "a" * 9000,
    "%",
    "\\",
]


def places(client: Client) -> Iterator[tuple[str, str]]:
    """Each method and path with a parameter that is served."""
    for route in falcon.inspect.inspect_routes(client.app):
        for served in route.methods:
            if "{" in route.path and served.method in _METHODS:
                yield served.method, route.path


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_an_odd_parameter_in_a_path_is_no_fault_of_ours(client: Client, odd: str) -> None:
    person = Person(client)
    person.sign_in(client.token)
    found: dict[str, Any] = {}
    for method, path in places(client):
        asked = _PARAMETER.sub(quote(odd, safe=""), path.replace(")}", "}"))
        header = {"Authorization": f"Bearer {client.token}"}
        by_token = client.anonymous.simulate_request(method, asked, headers=header)
        for answer in (by_token, person.call(method, asked)):
            if answer.status_code >= 500:
                found[f"{method} {path}"] = answer.status_code
    assert found == {}


@pytest.mark.parametrize("path", ["/messages/{}", "/templates/{}"])
@pytest.mark.parametrize("number", ["9" * 19, "9" * 30, "9" * 5000, "-1"])
def test_a_number_no_row_can_have_is_not_found(client: Client, path: str, number: str) -> None:
    person = Person(client)
    person.sign_in(client.token)
    assert person.get(path.format(number)).status_code == 404


@pytest.mark.parametrize(
    "following", ["/broadcasts/é", "/broadcasts/😀?a=ü", "/contacts/٣ ٣", "/?a=%20b&c=d"]
)
def test_the_address_to_go_on_to_is_ascii(client: Client, following: str) -> None:
    stranger = Person(client)
    answer = stranger.post(f"/sign-in?next={quote(following, safe='')}", {"secret": client.token})
    assert answer.status_code == 303
    told = answer.headers["location"]
    assert told.isascii() and " " not in told
    assert told == quote(following, safe="/?=&%")
