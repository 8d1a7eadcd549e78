"""How an operation is declared, once: its decorator and its signature route it, authorise its callers,
read what they send, answer them, and document it.

    @own.get("/v1/broadcasts/{public_id}", "broadcasts:read")
    def get_broadcast(call: Call, public_id: str) -> Broadcast:
        \"\"\"Where a broadcast stands\"\"\"

The decorator says method, path, scopes and status. The parameters say the rest: `call` first, then the
names in the path, a `query` (a Query) and a `body` (a model, read before the function runs, or
Body[model], read by it). The return type is the answer: a TypedDict, a Text, or None.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from types import NoneType, UnionType
from typing import Any, ClassVar, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import falcon

from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json
from broadcaster.errors import Faults
from broadcaster.services import access
from broadcaster.services.access import Caller, Scope
from broadcaster.web import bodies, queries, requests
from broadcaster.web.admission import Allowed
from broadcaster.web.bodies import Body
from broadcaster.web.queries import Query
from broadcaster.web.refusals import Refusal
from broadcaster.web.requests import Context

_NOBODY = Caller("", "", frozenset())
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_LEFTOVER = re.compile(r":\w+}")

Answer = TypeVar("Answer")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an operation; `caller` holds no scope where the operation takes no token."""

    operation: "Operation"
    context: Context
    request: falcon.Request
    caller: Caller
    now: int
    """When it came, epoch milliseconds."""


@dataclass(frozen=True)
class Text:
    """An answer that is no JSON; a subclass for each content type."""

    media: ClassVar[str] = "text/plain; charset=utf-8"
    content: str | bytes | Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Reply(Generic[Answer]):
    """An answer with another status than the operation's usual one, or with headers."""

    answer: Answer | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stored: str | None = None
    """The answer as JSON text, where it was made before."""


@dataclass(frozen=True)
class Operation:
    """One method of one path, as it was declared."""

    api: "Api"
    method: str
    path: str
    function: Callable[..., Any]
    scopes: tuple[Scope, ...] = ()
    every: bool = False
    any_token: bool = False
    open: bool = False
    status: int = 200
    also: Mapping[int, Any] = field(default_factory=dict)
    once: bool = False
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    example: Any = None
    largest: int | None = None

    @property
    def id(self) -> str:
        """`create_broadcast` of our own API is createBroadcast, of a vendor's vendorCreateBroadcast."""
        first, *others = f"{self.api.name}_{self.function.__name__}".strip("_").split("_")
        return first + "".join(word.capitalize() for word in others)

    @property
    def names(self) -> list[str]:
        """The parameters in the path."""
        return _PARAMETER.findall(self.path)

    @property
    def documented_path(self) -> str:
        return _LEFTOVER.sub("}", self.routes[-1])

    @property
    def routes(self) -> list[str]:
        """The path as falcon writes it, and with a closing slash where the API takes both."""
        # What matches whole rests of paths takes its slash as it comes.
        both = self.api.slashes and not self.path.endswith(":path}")
        return [self.path, f"{self.path}/"] if both else [self.path]

    @cached_property
    def hints(self) -> dict[str, Any]:
        return get_type_hints(self.function, include_extras=True)

    @property
    def query(self) -> type[Query]:
        found: type[Query] = self.hints.get("query", Query)
        return found

    @property
    def body(self) -> Any:
        """The model of the body, or None."""
        hint = self.hints.get("body")
        return get_args(hint)[0] if self.reads_body_itself else hint

    @property
    def largest_body(self) -> int:
        """Bytes of a body that are read."""
        if self.largest is not None:
            return self.largest
        return bodies.LARGEST_BODY if self.reads_body_itself else bodies.LARGEST_SHORT_BODY

    @property
    def reads_body_itself(self) -> bool:
        return get_origin(self.hints.get("body")) is Body

    @cached_property
    def answers(self) -> dict[int, list[Any]]:
        """The types of what is answered when all goes well, by status."""
        told = [kind for kind in _kinds(self.hints["return"]) if kind is not self.api.refusal]
        # One that is answered with two statuses is the usual one, too.
        usual = [kind for kind in told if kind not in self.also.values()] or told
        return {self.status: usual} | {status: [kind] for status, kind in self.also.items()}

    @cached_property
    def refusals(self) -> set[int]:
        """The statuses of what is answered when it is not carried out."""
        found = {*self.errors, 503}
        if not self.open:
            found |= {401} if self.any_token else {401, 403}
        if self.api.is_strict or "query" in self.hints:
            found.add(400)
        if self.names:
            found.add(404)
        if self.body:
            found |= {400, 413, 415}
        if self.once:
            found |= {400, 422}
        return found

    def serve(self, context: Context, request: falcon.Request, **given: Any) -> Any:
        """Authorise the request, read it, carry it out; returns what the function did. Raises every
        error that is a refusal."""
        now = epoch_ms()
        caller = self.authorised(request, now)
        if not self.open:
            access.note_use(caller.token_id, now)
        call = Call(self, context, request, caller, now)
        country = context.settings.default_country
        query = self.api.read_query(self.query, request, country)
        if "query" in self.hints:
            given["query"] = query
        if self.body:
            given["body"] = self._read_body(request, country)
        return self.function(call, **given)

    def authorised(self, request: falcon.Request, now: int) -> Caller:
        """Who sent the request, if they may; raises Unauthorized and Forbidden."""
        if self.open:
            return _NOBODY
        caller = requests.authenticated(request, now)
        if self.every:
            for scope in self.scopes:
                caller.require(scope)
        elif self.scopes:
            caller.require(*self.scopes)
        return caller

    def _read_body(self, request: falcon.Request, country: str | None) -> Any:
        if self.reads_body_itself:
            return Body(request, self.body, self.largest_body)
        faults, raw = Faults(), bodies.body(request, self.largest_body)
        return bodies.valid(self.body, bodies.json_object(raw, faults), faults, country)


class Api:
    """A language that is spoken here: its operations, and how it refuses.

    `refuse` words a refusal; what it returns is documented. `paths` is the regular expression of all
    paths whose refusals it words. `name` is kept with every broadcast; ours has none. `slashes`: paths
    work with and without a closing slash. `is_strict`: parameters of the query it does not know are
    faults. `token_prefix` is how its vendor's tokens begin, where clients may check that.
    """

    def __init__(
        self,
        title: str,
        refuse: Callable[[Refusal], Reply[Any]],
        paths: str,
        *,
        name: str = "",
        media: str = "application/json",
        slashes: bool = False,
        is_strict: bool = False,
        token_prefix: str | None = None,
    ):
        self.title = title
        self.name = name
        self.media = media
        self.slashes = slashes
        self.is_strict = is_strict
        self.token_prefix = token_prefix
        self.operations: list[Operation] = []
        self.read_query = queries.strict_query if is_strict else queries.lenient_query
        self._refuse = refuse
        self._paths = re.compile(paths)
        (self.refusal,) = _kinds(get_type_hints(refuse)["return"])

    def get(self, path: str, *scopes: Scope, **options: Any) -> Callable[[Function], Function]:
        """Declare an operation; the options are the fields of Operation."""
        return self._declare("get", path, scopes, options)

    def post(self, path: str, *scopes: Scope, **options: Any) -> Callable[[Function], Function]:
        """Declare an operation; the options are the fields of Operation."""
        return self._declare("post", path, scopes, options)

    def delete(self, path: str, *scopes: Scope, **options: Any) -> Callable[[Function], Function]:
        """Declare an operation; the options are the fields of Operation."""
        return self._declare("delete", path, scopes, options)

    def speaks(self, path: str) -> bool:
        """Whether refusals at this path are this API's."""
        return self._paths.fullmatch(path) is not None

    def refuse(self, response: falcon.Response, refusal: Refusal) -> None:
        """Answer with a refusal in this API's words."""
        write(response, self._refuse(refusal), refusal.status)
        response.content_type = self.media

    def _declare(
        self, method: str, path: str, scopes: tuple[Scope, ...], options: dict[str, Any]
    ) -> Callable[[Function], Function]:
        def declare(function: Function) -> Function:
            operation = Operation(self, method, path, function, scopes, **options)
            _check(operation)
            self.operations.append(operation)
            return function

        return declare


def _check(operation: Operation) -> None:
    """Raises TypeError for a declaration that does not say all it must."""
    function, hints = operation.function, operation.hints
    name = f"{function.__module__}.{function.__name__}"
    taken = set(signature(function).parameters) - {"call", "query", "body"}
    if taken != set(operation.names):
        raise TypeError(f"{name} takes {sorted(taken)}, its path has {sorted(operation.names)}")
    if not (function.__doc__ or "").strip():
        raise TypeError(f"{name} needs a docstring: it is the operation's summary")
    if bool(operation.scopes) + operation.open + operation.any_token != 1:
        raise TypeError(f"{name} needs scopes, or any_token=True, or open=True")
    if "return" not in hints:
        raise TypeError(f"{name} needs a return type: it is the operation's answer")
    if operation.body and operation.example is None:
        raise TypeError(f"{name} needs an example of its body")
    if operation.once and not operation.reads_body_itself:
        raise TypeError(f"{name} is carried out once, so it must read its body itself")
    if operation.api.refusal in _kinds(hints["return"]) and operation.api.media != "application/json":
        raise TypeError(f"{name} raises what is refused, so that it is answered as {operation.api.media}")
    if missing := [kind for kind in operation.also.values() if kind not in _kinds(hints["return"])]:
        raise TypeError(f"{name} does not return {missing}, which it says it also does")


def _kinds(hint: Any) -> list[Any]:
    """The types of the answers in a return type: `Broadcast | Reply[Plan]` has two."""
    if get_origin(hint) in (Union, UnionType):
        return list(dict.fromkeys(kind for one in get_args(hint) for kind in _kinds(one)))
    if get_origin(hint) is Reply:
        return _kinds(get_args(hint)[0])
    return [] if hint is NoneType else [hint]


# Serving


class Route:
    """All methods of one path, as falcon wants them: a responder for each, by its name."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}

    def add(self, operation: Operation, context: Context) -> None:
        def respond(request: falcon.Request, response: falcon.Response, **given: Any) -> None:
            write(response, operation.serve(context, request, **given), operation.status)

        if operation.method.upper() in self.operations:
            raise TypeError(f"{operation.method} {operation.path} is declared twice")
        self.operations[operation.method.upper()] = operation
        setattr(self, f"on_{operation.method}", respond)

    def allowed_body(self, request: falcon.Request) -> Allowed:
        """What this request may bring; raises Unauthorized and Forbidden."""
        operation = self.operations.get(request.method)
        if operation is None:
            return Allowed(0)
        operation.authorised(request, epoch_ms())
        return Allowed(operation.largest_body, operation.open)


def add_routes(
    app: "falcon.App[falcon.Request, falcon.Response]", apis: Iterable[Api], context: Context
) -> None:
    """Let falcon serve every operation of these APIs."""
    routes: dict[str, Route] = {}
    for operation in (operation for api in apis for operation in api.operations):
        for path in operation.routes:
            routes.setdefault(path, Route()).add(operation, context)
    for path, route in routes.items():
        app.add_route(path, route)


def write(response: falcon.Response, told: Any, status: int) -> None:
    """Answer with what an operation returned, with this status unless it says another."""
    reply: Reply[Any] = told if isinstance(told, Reply) else Reply(told)
    response.status = reply.status or status
    for name, value in reply.headers.items():
        response.set_header(name, value)
    if isinstance(reply.answer, Text):
        _write_text(response, reply.answer)
    elif reply.stored is not None or reply.answer is not None:
        response.content_type = "application/json"
        response.text = strict_json.dumps(reply.answer) if reply.stored is None else reply.stored


def _write_text(response: falcon.Response, text: Text) -> None:
    response.content_type = text.media
    if isinstance(text.content, str):
        response.text = text.content
    elif isinstance(text.content, bytes):
        response.data = text.content
    else:
        response.stream = text.content
