"""Queries of requests, and how all of their faults are told at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

import falcon
from pydantic import BaseModel, ValidationError
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from broadcaster.errors import Faults, Invalid

LARGEST_ID = 2**62
_QUOTED = re.compile(r"'([^']*)'")


class Query(BaseModel):
    """The parameters of a query; each field is one, under its alias if it has one."""

    @classmethod
    def names(cls) -> list[str]:
        return [field.alias or name for name, field in cls.model_fields.items()]


AnyQuery = TypeVar("AnyQuery", bound=Query)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, written in digits alone; told as one rule."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def _read(self, text: str) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) < 20
        if not (is_number and self.least <= int(text) <= self.most):
            raise ValueError(f"must be a whole number from {self.least} to {self.most}")
        return int(text)


def strict_query(model: type[AnyQuery], request: falcon.Request, country: str | None) -> AnyQuery:
    """The query as this model, with national numbers from `country`.

    Raises Invalid, also for parameters it does not know or that come twice.
    """
    if not request.params:
        return cast(AnyQuery, _empty(model))
    faults, names = Faults(), model.names()
    given: dict[str, str] = {}
    for name, value in request.params.items():
        if name not in names:
            faults.add(name, f"is not a parameter here; there are {', '.join(sorted(names))}")
        elif isinstance(value, list):
            faults.add(name, "is given more than once")
        else:
            given[name] = value
    return _read_query(model, given, faults, country)


def lenient_query(model: type[AnyQuery], request: falcon.Request, country: str | None) -> AnyQuery:
    """The query as this model, with national numbers from `country`; raises Invalid.

    Unknown and empty parameters are passed over, of those that come twice the last counts.
    """
    if not request.params:
        return cast(AnyQuery, _empty(model))
    last = {name: v[-1] if isinstance(v, list) else v for name, v in request.params.items()}
    present = {name: value for name, value in last.items() if value}
    return _read_query(model, present, Faults(), country)


@cache
def _empty(model: type[Query]) -> Query:
    """What most requests send, made once, for nobody changes it: thousands of receipts a second have none."""
    return _read_query(model, {}, Faults(), None)


def _read_query(
    model: type[AnyQuery], given: Mapping[str, str], faults: Faults, country: str | None
) -> AnyQuery:
    try:
        found = model.model_validate(given, context=country)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            faults.add(str(fault["loc"][0]), _query_message(fault))
        raise Invalid(faults) from None
    faults.check()
    return found


def _query_message(fault: ErrorDetails) -> str:
    if fault["type"] == "literal_error":
        return "must be one of " + ", ".join(_QUOTED.findall(fault["ctx"]["expected"]))
    return fault["msg"].removeprefix("Value error, ")
