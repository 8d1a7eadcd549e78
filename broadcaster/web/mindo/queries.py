"""The parameters of Mindo's lists: filters and numbered pages."""

import re
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from broadcaster.domain.words import MessageStanding
from broadcaster.errors import NotFound
from broadcaster.store import broadcasts, definitions
from broadcaster.web.mindo import NAME
from broadcaster.web.mindo.answers import STAGE_OF_STATUS, MindoStatus
from broadcaster.web.queries import Query

_PAGE_SIZE, _LARGEST_PAGE = 20, 100
_DAY = 86_400_000


def _is_count(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII) is not None


def _page(text: str) -> int:
    """A page's number; raises NotFound for what cannot be one."""
    if not _is_count(text):
        raise NotFound("there is no such page")
    return int(text)


def _page_size(text: str) -> int:
    if not _is_count(text):
        raise ValueError(f"must be a whole number from 1 to {_LARGEST_PAGE}")
    return min(int(text), _LARGEST_PAGE)


def _template_id(text: str) -> int:
    if not _is_count(text):
        raise ValueError("must be the id of a template")
    return int(text)


def _day(text: str) -> int:
    """The beginning of a day in UTC, epoch milliseconds."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError
        return (date.fromisoformat(text) - date(1970, 1, 1)).days * _DAY
    except ValueError:
        raise ValueError("must be a day like 2026-06-10") from None


_Day = Annotated[int, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class Paged(Query):
    page: Annotated[int, BeforeValidator(_page), Field(ge=1, le=999_999_999)] = 1
    page_size: Annotated[int, BeforeValidator(_page_size), Field(ge=1, le=_LARGEST_PAGE)] = _PAGE_SIZE

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.page_size


class BulkSendListing(Paged):
    status: MindoStatus | None = None
    template: Annotated[int, BeforeValidator(_template_id), Field(ge=1, le=999_999_999)] | None = None
    created_after: _Day | None = None
    created_before: _Day | None = None

    def search(self) -> broadcasts.Search | None:
        """Which bulk sends are wanted; None for a template there is not."""
        template = None if self.template is None else definitions.get(self.template)
        if self.template is not None and template is None:
            return None
        return broadcasts.Search(
            face=NAME,
            stage=None if self.status is None else STAGE_OF_STATUS[self.status],
            template=(template.waba_id, template.name, template.language) if template else None,
            created_from=self.created_after,
            created_before=self.created_before,
        )


class MessageListing(Paged):
    status: MessageStanding | None = None
