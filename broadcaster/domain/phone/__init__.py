"""Phone numbers and business-scoped user ids: what may stand in `to`, and which names mean one person.

What is not clearly the number of one person is refused with a sentence that says what to do; digits
are never guessed. reading.py has the rules in their order, writing.py the forms that people and
spreadsheets write, plans.py what phonenumbers knows of countries, names.py the names of one person.
"""

from broadcaster.domain.phone.names import is_user_id, masked, sisters, spellings
from broadcaster.domain.phone.plans import country, country_of, known_countries
from broadcaster.domain.phone.reading import prefix, recipient, text_of
from broadcaster.domain.phone.writing import quoted

__all__ = [
    "country",
    "country_of",
    "is_user_id",
    "known_countries",
    "masked",
    "prefix",
    "quoted",
    "recipient",
    "sisters",
    "spellings",
    "text_of",
]
