"""What came back, as a model, as something a wait heard, or as a typed error.

Sources: the API pages "Task derivatives" and "Task products" for the statuses, the error-handling page for the two
error bodies: problem+json with title, code, details and reference; plain with code and message. Any other body (a
proxy's HTML, nothing, garbage) still gives the right error from the status alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

from ..errors import (
    ApiError,
    BadRequest,
    DecodeError,
    EmptyAnswer,
    Forbidden,
    RateLimited,
    ServerError,
    TaskNotFound,
    Unauthorized,
)
from ..models import Contract, Derivative, DerivativeSet, Feasibility, Price, Scene, Task
from ..models.offer import SUPPORTED_MODES
from . import wire
from .links import clean
from .requests import Request
from .waiting import Heard, Listing, Nothing, Renewed

A = TypeVar("A")

_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    429: RateLimited,
}
_NEXT_STEP: Mapping[int, str] = {
    401: "check the credentials; a fixed access token lives an hour at most",
    403: "the credentials are good, but this contract or customer does not allow it",
    407: "the proxy wants a user name and a password; check proxy=",
    429: "lower rate_limit, or wait for the time on .retry_after",
}
_BY_CODE: Mapping[str, str] = {
    # Source: the API page "Task derivatives".
    "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES": f"derivatives come only with {', '.join(sorted(SUPPORTED_MODES))}",
}
_REQUEST_ID = ("x-request-id", "x-correlation-id", "x-amzn-requestid", "x-amz-request-id", "x-amz-cf-id")


class Reply(NamedTuple):
    """What came back for a request. `headers` are found without regard to case."""

    status: int
    headers: Any
    body: bytes
    at: float = 0.0
    """Wall time when it came, in seconds since the epoch; only read where the reply has no Date of its own."""

    def __repr__(self) -> str:
        # Headers and body may hold a token or a link, and error reporters print the locals of a traceback.
        return f"<Reply {self.status}, {len(self.body)} bytes>"


# --- answers ---------------------------------------------------------------------------------------------------


def derivatives(reply: Reply, task_id: str) -> DerivativeSet:
    """One look: what is listed now. Raises `DecodeError` where an entry cannot be read; its `.latest` has the rest."""
    page = _read(reply, partial(wire.derivatives, task_id=task_id, fetched=given_at(reply)))
    listed: tuple[Derivative, ...] = page.items
    found = DerivativeSet(listed, final=reply.status == 200)
    if page.flaws:
        raise wire.unreadable(page.flaws, latest=found, **_facts(reply))
    return found


class Outline(NamedTuple):
    """A listing without its links: where the next one has the same outline, it can bring nothing but new links."""

    status: int
    body: bytes


def heard(reply: Reply, task_id: str, before: Outline | None = None) -> tuple[Heard, Outline | None]:
    """What a wait for derivatives heard; and, for the next look, its outline.

    A listing with the same outline as `before`, which could be read, is read when somebody looks at it. Raises
    `DecodeError` where nothing of the body can be read.
    """
    if reply.status == 404:
        return Nothing(), before
    final = reply.status == 200
    outline = Outline(reply.status, wire.without_links(reply.body))
    if outline == before:
        return Renewed(partial(_items, reply.body, task_id, given_at(reply)), final), outline
    page = _read(reply, partial(wire.derivatives, task_id=task_id, fetched=given_at(reply)))
    again = partial(_items, reply.body, task_id, given_at(reply))
    unread = wire.unreadable(page.flaws, **_facts(reply)) if page.flaws else None
    blocked = frozenset(flaw.type for flaw in page.flaws if flaw.type is not None)
    return Listing(page.items, final, again, unread, blocked), outline


def entries(body: bytes, task_id: str) -> tuple[Derivative, ...]:
    """What a listing had that could be read: of its outline, derivatives whose links are empty."""
    return wire.derivatives(body, task_id).items


def _items(body: bytes, task_id: str, fetched: float) -> tuple[Derivative, ...]:
    return wire.derivatives(body, task_id, fetched).items


def products(reply: Reply, task_id: str) -> wire.Page:
    """One page of products, with what could not be read."""
    return _read(reply, partial(wire.products, task_id=task_id, fetched=given_at(reply)))


def page(reply: Reply, model: type[Any]) -> wire.Page:
    """One page of tasks or contracts, with what could not be read."""
    return _read(reply, partial(wire.page, model=model))


def task(reply: Reply) -> Task:
    """A task."""
    return _read(reply, partial(wire.one, model=Task))


def scene(reply: Reply, task_id: str) -> Scene:
    """When and how the picture of a task is taken."""
    return _read(reply, partial(wire.one, model=Scene, task_id=task_id))


def price(reply: Reply) -> Price:
    """What a task would cost."""
    return _read(reply, partial(wire.one, model=Price))


def contract(reply: Reply) -> Contract:
    """A contract."""
    return _read(reply, partial(wire.one, model=Contract))


def feasibility(reply: Reply) -> tuple[Feasibility, ...]:
    """Whether some tasks could be carried out."""
    return _read(reply, wire.feasibility)


def document(reply: Reply) -> Any:
    """The JSON of a reply that no model is for."""
    return _read(reply, wire.decode)


def _read(reply: Reply, read: Callable[[bytes], A]) -> A:
    try:
        return read(_text(reply))
    except DecodeError as error:
        raise _placed(error, reply) from None


def _text(reply: Reply) -> bytes:
    if reply.body.strip():
        return reply.body
    raise EmptyAnswer(f"a {reply.status} without a body, where JSON is documented", where=("$",))


def _placed(error: DecodeError, reply: Reply) -> DecodeError:
    """The error with what only the reply knows, and without the frames that hold the body."""
    error.__traceback__ = None
    kind = reply.headers.get("Content-Type", "")
    hint = f"; its type is {clean(kind, 60)!r}, a proxy may have answered" if "html" in kind.lower() else ""
    return type(error)(f"{error}{hint}", where=error.where, latest=error.latest, **_facts(reply))


def _facts(reply: Reply, secrets: Iterable[str] = ()) -> dict[str, Any]:
    return {"retry_after": retry_after(reply), "request_id": request_id(reply.headers, secrets)}


# --- errors ----------------------------------------------------------------------------------------------------


def error(
    reply: Reply, request: Request, secrets: Iterable[str] = (), next_step: str | None = None
) -> ApiError | DecodeError:
    """The typed error that a reply is, where its status is no answer to the request.

    `secrets` are taken out of what the body says; `next_step` stands for the advice that a request to the API gets.
    """
    status = reply.status
    if 200 <= status < 300:
        message = f"{_asked(request)}: status {status} is not a documented answer"
        kind = DecodeError if reply.body.strip() else EmptyAnswer
        return kind(message, where=("$",), **_facts(reply))
    secrets = tuple(secrets)
    body = _error_body(reply.body)
    said = {name: _first(body, keys, secrets) for name, keys in _FIELDS.items()}
    said["reference"] = _reference(body, secrets)
    refusal = _kind(status, request)
    advice = _next_step(status, refusal, said["code"], request) if next_step is None else next_step
    why = "; ".join(filter(None, (said["code"], said["title"], said["detail"], advice)))
    facts: dict[str, Any] = {**said, **_facts(reply, secrets)}
    return refusal(f"{_asked(request)}: {status}{why and ': '}{why}", status=status, **facts)


_FIELDS: Mapping[str, tuple[str, ...]] = {
    "code": ("code",),
    "title": ("title",),
    "detail": ("details", "detail", "message", "error_description"),
}


def _kind(status: int, request: Request) -> type[ApiError]:
    if status >= 500:
        return ServerError if status < 600 else ApiError
    if status == 404:
        return request.absent
    return _BY_STATUS.get(status, ApiError)


def _next_step(status: int, kind: type[ApiError], code: str | None, request: Request) -> str:
    if status == 400:
        return _BY_CODE.get(code or "", "")
    if kind is TaskNotFound:
        return "no such task, or none that these credentials may see"
    if status == 404 and request.path.startswith("/api/tasking/v2/tasks/"):
        return "not there, or not there yet; client.tasks.get() tells whether the task exists and how far it is"
    if status == 404:
        return "not there, or not for these credentials; client.contracts.list() has the contracts that are"
    if 300 <= status < 400:
        return "redirects are not followed, they would carry the token elsewhere; check base_url"
    return _NEXT_STEP.get(status, "")


def _asked(request: Request) -> str:
    return f"{request.method} {request.path.partition('?')[0]}"


def _error_body(body: bytes) -> Mapping[str, Any]:
    if len(body) > 65_536:
        return {}
    try:
        document = wire.decode(body)
    except DecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _first(body: Mapping[str, Any], keys: Iterable[str], secrets: Iterable[str]) -> str | None:
    texts = (body.get(key) for key in keys)
    text = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    if text is None:
        return None
    return clean(_without(secrets, text)) or None


def _reference(body: Mapping[str, Any], secrets: Iterable[str]) -> str | None:
    """A link to the documentation, whose fragment names the place in it."""
    text = body.get("reference")
    link, _, place = text.partition("#") if isinstance(text, str) else ("", "", "")
    shown = _first({"reference": link}, ("reference",), secrets)
    return f"{shown}#{place}" if shown is not None and re.fullmatch(r"[\w/.-]{1,100}", place) else shown


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "...")
    return text


def request_id(headers: Any, secrets: Iterable[str] = ()) -> str | None:
    found = next((headers[name] for name in _REQUEST_ID if name in headers), None)
    return None if found is None else clean(_without(secrets, found), 100)


# --- Retry-After -----------------------------------------------------------------------------------------------


def given_at(reply: Reply) -> float:
    """When the reply was made, in seconds since the epoch by the service's own clock where it says so."""
    # Kept: a busy poller reads the same second many times, and reading a date costs a twentieth of a whole look.
    made = _read_date(reply.headers.get("Date", ""))
    return reply.at if made is None else made


def retry_after(reply: Reply) -> float | None:
    """Seconds until the service may be asked again, or None where it did not say so in a legal form.

    RFC 9110: whole seconds, or an HTTP date, which is read against the reply's own Date, so that a wrong local
    clock does not matter. Of several headers the longest binds. A number of twenty digits is a mistake, and is taken
    for nothing said: believed, it would end a client for good.
    """
    values = reply.headers.getall("Retry-After", ())
    waits = [wait for wait in (_wait(value.strip(), reply) for value in values) if wait is not None]
    return max(waits, default=None)


def _wait(value: str, reply: Reply) -> float | None:
    if value.isascii() and value.isdigit():
        return min(float(value), 1e12) if len(value.lstrip("0")) < 20 else None
    moment = http_date(value)
    if moment is None:
        return None
    now = http_date(reply.headers.get("Date", ""))
    return max(0.0, moment - (reply.at if now is None else now))


@lru_cache(maxsize=16)
def _read_date(text: str) -> float | None:
    return http_date(text)


def http_date(text: str) -> float | None:
    """An HTTP date in any of its three forms, as seconds since the epoch."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
