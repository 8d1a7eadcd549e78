"""The vendors' languages, spoken to the letter over the one core: the one list of them.

A dialect is a folder: how it refuses, its requests, its answers, its operations. It owns no rule and no
table. Its names stand in its folder and nowhere else.
"""

from broadcaster.web.keebai.operations import keebai
from broadcaster.web.mindo.operations import mindo
from broadcaster.web.monochat.operations import monochat
from broadcaster.web.operations import Api

DIALECTS: tuple[Api, ...] = (mindo, keebai, monochat)
STYLES: dict[str, str] = {api.name: api.token_prefix for api in DIALECTS if api.token_prefix is not None}
"""What the tokens of a dialect look like, where its clients may check."""
