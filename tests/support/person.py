"""Somebody at the dashboard, without a browser."""

import html
import re
from typing import Any
from urllib.parse import urlencode

from tests.support.client import Client

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Person:
    """Somebody with a browser that keeps cookies and runs no scripts."""

    def __init__(self, client: Client):
        self._app = client.anonymous
        self.cookies: dict[str, str] = {}
        self.form_token = ""

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, fields: dict[str, str] | None = None, **options: Any) -> Any:
        headers = FORM | options.pop("headers", {})
        body = urlencode({"form_token": self.form_token} | (fields or {}))
        return self.call("POST", path, body=body, headers=headers, **options)

    def call(self, method: str, path: str, **options: Any) -> Any:
        path, _, query = path.partition("?")
        result = self._app.simulate_request(
            method, path, query_string=query, cookies=self.cookies, protocol="http", **options
        )
        for name, cookie in result.cookies.items():
            self.cookies[name] = cookie.value
            if cookie.max_age is not None and int(cookie.max_age) <= 0:
                del self.cookies[name]
        found = re.search(r'name="form_token" value="([^"]+)"', result.text or "")
        if found:
            self.form_token = html.unescape(found[1])
        return result

    def sign_in(self, secret: str) -> Any:
        answer = self.post("/sign-in", {"secret": secret})
        if answer.status_code == 303:
            self.get("/")
        return answer
