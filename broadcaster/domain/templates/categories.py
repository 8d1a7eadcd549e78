"""What follows from a template's category (Meta, template categories)."""


def is_marketing(category: str | None) -> bool:
    """Whether consent is asked for. A template nobody knows (any more) counts as marketing."""
    return category in (None, "MARKETING")


def needs_number(category: str | None) -> bool:
    """Whether Meta sends it to a phone number alone (Meta, error 131062)."""
    return category == "AUTHENTICATION"
