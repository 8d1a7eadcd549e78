"""Meta's callbacks, packed: each repeats the same words around a few ids, and there are three for a message.

A packed text is a byte that names the dictionary, and raw deflate with it. What was stored before there was
any packing is text, and stays so.
"""

import zlib

_FIRST = b"\x01"
_DICTIONARIES = {
    # Rows are read with these for as long as they are kept: a better one gets another byte.
    _FIRST: (
        b'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"value":{"messaging_product":'
        b'"whatsapp","metadata":{"display_phone_number":"1","phone_number_id":"1"},"contacts":[{"profile":'
        b'{"name":""},"wa_id":"1"}],"messages":[{"from":"1","id":"wamid.HBg","timestamp":"17","type":"text",'
        b'"text":{"body":""}}]},"field":"messages"}]}]}'
        b'"errors":[{"code":131026,"title":"","message":"","error_data":{"details":""}}]'
        b'{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"value":{"messaging_product":'
        b'"whatsapp","metadata":{"display_phone_number":"1","phone_number_id":"1"},"statuses":[{"id":"wamid.HBg'
        b'","status":"delivered","timestamp":"17","recipient_id":"1","recipient_user_id":"","conversation":'
        b'{"id":"","expiration_timestamp":"17","origin":{"type":"marketing"}},"pricing":{"billable":true,'
        b'"pricing_model":"PMP","category":"marketing","type":"regular"},"biz_opaque_callback_data":"1"}]},'
        b'"field":"messages"}]}]}'
    )
}


def pack(text: str) -> bytes:
    """A text, about a quarter as long."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=_DICTIONARIES[_FIRST])
    return _FIRST + deflate.compress(text.encode()) + deflate.flush()


def unpack(stored: bytes | str) -> str:
    """The text again."""
    if isinstance(stored, str):
        return stored
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARIES[stored[:1]])
    return (inflate.decompress(stored[1:]) + inflate.flush()).decode()
