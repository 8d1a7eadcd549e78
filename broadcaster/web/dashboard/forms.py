"""Forms as browsers post them: plain fields, and files that become the text in them."""

from typing import Any
from urllib.parse import parse_qs

import falcon
from falcon.media import MultipartFormHandler

from broadcaster.errors import Malformed
from broadcaster.web import refusals
from broadcaster.web.admission import SMALL
from broadcaster.web.large_bodies import wait_for_turn

LARGEST = 12 * 1024 * 1024
"""Bytes of a form with a file."""
LARGEST_TYPED = 512 * 1024
"""Bytes of a form whose fields are escaped one by one: reading them takes eighty times as many."""
_MOST_FIELDS = 500


class Form(dict[str, str]):
    """The fields of a form; one that was not sent is empty."""

    def __missing__(self, _key: str) -> str:
        return ""

    @property
    def files(self) -> dict[str, bytes]:
        """What was uploaded, by the field's name."""
        found: dict[str, bytes] = self.__dict__.setdefault("_files", {})
        return found


def read(request: falcon.Request, largest: int = SMALL) -> Form:
    """The posted form of at most so many bytes; raises Malformed, TooLarge and WrongType."""
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    largest = largest if kind == "multipart/form-data" else min(largest, LARGEST_TYPED)
    if (request.content_length or 0) > largest:
        raise refusals.TooLarge(f"this form has at most {largest} bytes")
    wait_for_turn(request)
    if kind == "multipart/form-data":
        return _parts(request, largest)
    if kind != "application/x-www-form-urlencoded":
        raise refusals.WrongType("this takes a form")
    try:
        text = request.bounded_stream.read().decode("ascii")
        fields = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed("the form cannot be read") from None
    return Form({name: _clean(values[-1]) for name, values in fields.items()})


def _parts(request: falcon.Request, largest: int) -> Form:
    handler = MultipartFormHandler()
    handler.parse_options.max_body_part_buffer_size = largest
    handler.parse_options.max_body_part_count = _MOST_FIELDS
    form = Form()
    try:
        parts: Any = handler.deserialize(
            request.bounded_stream, request.content_type, request.content_length or 0
        )
        for part in parts:
            if part.filename:
                form.files[part.name] = part.get_data()
            else:
                form[part.name] = _clean(part.get_data().decode())
    except (falcon.HTTPError, ValueError, AttributeError):
        raise Malformed("the form cannot be read") from None
    return form


def _clean(text: str) -> str:
    if "\x00" in text:
        raise Malformed("a field contains NUL characters")
    return text.replace("\r\n", "\n")
