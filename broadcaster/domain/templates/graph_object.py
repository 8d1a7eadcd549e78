"""Graph's template object, the content of a message, as JSON (Meta, template messages)."""

from broadcaster.domain import strict_json
from broadcaster.domain.templates.shapes import Component


def write(name: str, language: str, components: list[Component]) -> str:
    """The object of one message."""
    content: dict[str, object] = {"name": name, "language": {"code": language}}
    if components:
        content["components"] = components
    return strict_json.dumps(content)


def beginning(name: str, language: str) -> str:
    """How every object of a template begins, so that a claim need not read each."""
    return write(name, language, []).removesuffix("}")


def template_of(content: str) -> tuple[str, str] | None:
    """The name and the language of the template in an object, if it names one."""
    document = strict_json.loads(content.encode())
    return (document["name"], document["language"]["code"]) if "name" in document else None
