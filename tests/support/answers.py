"""Every answer is held against what its operation declares: status, content type, and each field."""

import json
from functools import cache
from typing import Any

import falcon
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from pydantic import TypeAdapter, ValidationError

from broadcaster.web import service
from broadcaster.web.operations import Operation, Route, Text


class AnswerCheck:
    """Middleware that notes every answer which is not as declared."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def process_response(
        self, request: falcon.Request, response: falcon.Response, resource: Any, _succeeded: bool
    ) -> None:
        operation = resource.operations.get(request.method) if isinstance(resource, Route) else None
        # What nobody foresaw is a 500 everywhere and declared nowhere.
        if operation and response.status_code != 500:
            told = [
                f"{request.method} {request.uri_template} {response.status_code}: {fault}"
                for fault in faults_of(operation, response)
            ]
            self.faults += told

    def check(self) -> None:
        found, self.faults = self.faults, []
        assert not found, "\n".join(found)


def faults_of(operation: Operation, response: falcon.Response) -> list[str]:
    """How an answer differs from what the operation declares."""
    status, media = response.status_code, (response.content_type or "").partition(";")[0]
    if status in operation.refusals and media == operation.api.media:
        refusal = faults_as(operation.api.refusal, response.text)
        if not refusal or status not in operation.answers:
            return refusal
    if status not in operation.answers:
        return ["is not declared"]
    kinds = operation.answers[status]
    if not kinds:
        return ["has a body"] if response.text or response.data else []
    texts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Text)]
    if media != "application/json":
        declared = [kind.media.partition(";")[0] for kind in texts]
        return [] if media in declared else [f"is {media}, declared are {declared}"]
    faults = [faults_as(kind, response.text) for kind in kinds if kind not in texts]
    return min(faults, key=len, default=["is JSON"])


def check_event(body: Any) -> None:
    """What a webhook was sent is as the document says of events of this type."""
    described = service.document(None)
    content = described["webhooks"][body["type"]]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": described["components"]}
    faults = list(OAS31Validator(schema, format_checker=oas31_format_checker).iter_errors(body))
    assert not faults, "\n".join(fault.message for fault in faults)


def faults_as(kind: Any, text: str) -> list[str]:
    try:
        adapter(kind).validate_python(json.loads(text), strict=True, extra="forbid")
    except ValidationError as error:
        return [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return []


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
