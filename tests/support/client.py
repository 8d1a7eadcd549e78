"""The application in process, as an API client calls it."""

from typing import Any

import falcon.testing

from broadcaster import config
from broadcaster.services import access
from broadcaster.vault import open_vault
from broadcaster.web.app import make_app
from broadcaster.worker.schedule import Schedule
from tests.support.answers import AnswerCheck
from tests.support.samples import NOW


class Client:
    """The application, called as an API client with a token of all scopes. Every answer is held against what
    its operation declares."""

    def __init__(self, settings: config.Settings, db: Any):
        self.schedule = Schedule(db)
        self.settings = settings
        self.vault = open_vault(settings.data_dir)
        self.app: Any = make_app(settings, self.schedule, self.vault)
        self._answers = AnswerCheck()
        self.app.add_middleware(self._answers)
        self.token = access.create_token("tests", ["admin"], None, NOW)

    @property
    def anonymous(self) -> falcon.testing.TestClient:
        """The same application, called without a token."""
        return falcon.testing.TestClient(self.app)

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"} | options.pop("headers", {})
        answer = self.anonymous.simulate_request(method, path, headers=headers, **options)
        self._answers.check()
        return answer

    def post(self, path: str, document: Any = None, **options: Any) -> Any:
        return self.call("POST", path, json=document, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)
