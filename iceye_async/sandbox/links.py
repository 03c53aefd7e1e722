"""The second origin: signed links to files, each good for a while, served whole and in parts.

Sources: "Download URLs expire in 1 hour", and the sample link (`...?Expires=...&Signature=...`): CloudFront's canned
policy, which judges a link when the request arrives. The body of its 403 and what its answers tell of a file are not
published; they are as CloudFront before S3 has them.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hmac import compare_digest
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web
from attrs import define, evolve, field, frozen

from .answers import Reply, Sender, Sent
from .chance import Chance
from .clock import SandboxClock
from .contents import Content, content, replaced
from .faults import LinkFault, suffered
from .ranges import http_date, is_current, wanted

_KEY_PAIR = "SANDBOX"
_SIGNING = {"Expires", "Signature", "Key-Pair-Id"}
_CREDENTIALS = ("Authorization", "Cookie", "Proxy-Authorization")
_CODES = {
    400: ("InvalidArgument", "Only one auth mechanism allowed"),
    403: ("AccessDenied", "Access denied"),
    404: ("NoSuchKey", "The specified key does not exist."),
    405: ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    416: ("InvalidRange", "The requested range is not satisfiable"),
    429: ("SlowDown", "Please reduce your request rate."),
    500: ("InternalError", "We encountered an internal error. Please try again."),
    503: ("SlowDown", "Please reduce your request rate."),
}
_UNHARMED = LinkFault()
_OLDEST = 256
"""Seconds; more than any other version is older."""


@frozen(kw_only=True)
class File:
    """What a link leads to. Files with the same `key` have the same bytes; they are made when first asked for."""

    key: tuple[str, str]
    media: str
    modified: datetime
    """A whole second of UTC."""
    name: str | None = None
    """What the host calls it in `Content-Disposition`."""
    size: int | None = None
    make: Callable[[], bytes]


@define
class LinkRequest(Sent):
    """A request as the link host heard it, and what it answered. Signatures are not kept."""

    method: str = field(kw_only=True)
    path: str = field(kw_only=True)
    range: str | None = field(kw_only=True)
    if_range: str | None = field(kw_only=True)


class LinkOrigin:
    """Serves the files that it has given links to. `sign` signs a path until a time.

    `faults` are what is to go wrong, `requests` what it was asked.
    """

    def __init__(self, sign: Callable[[str, str], str], clock: SandboxClock, seed: int | None) -> None:
        self.url = ""
        self.faults: list[LinkFault] = []
        self.requests: list[LinkRequest] = []
        self._sign, self._clock = sign, clock
        self._answers, self._fortune = Chance(seed, "answers of the link host"), Chance(seed, "link faults")
        self._sender = Sender(clock)
        self._files: dict[str, File] = {}
        self._holders: dict[str, set[str]] = {}
        self._contents: dict[tuple[str, str], Content] = {}

    def link(self, path: str, holder: str, file: File, life: float) -> str:
        """A new link to a file at this path, for `life` seconds. `holder` gets a signature of its own."""
        path = quote(path)
        self._files[path] = file
        self._holders.setdefault(path, set()).add(holder)
        expires = int(self._now() + life)
        signature = quote(self._sign(f"{path}#{holder}", str(expires)), safe="")
        return f"{self.url}/{path}?Expires={expires}&Signature={signature}&Key-Pair-Id={_KEY_PAIR}"

    def app(self) -> web.Application:
        """The origin as something that aiohttp serves. Its handlers must be cancelled when clients hang up."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._sender.watch(app)
        return app

    def _now(self) -> float:
        """Seconds since 1970."""
        return self._clock.utc().timestamp()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._clock.stir()
        heard = LinkRequest(
            method=request.method,
            path=request.path,
            range=_field(request, "Range"),
            if_range=_field(request, "If-Range"),
        )
        self.requests.append(heard)
        with self._sender.under_way(request):
            fault, reply = self._answer(request, heard)
            if fault.delay:
                await self._clock.sleep(fault.delay)
            reply = evolve(reply, headers={**reply.headers, "x-amz-cf-id": self._answers.id()})
            return await self._sender.send(request, reply, fault, heard)

    # --- what to answer ----------------------------------------------------------------------------------------

    def _answer(self, request: web.Request, heard: LinkRequest) -> tuple[LinkFault, Reply]:
        if any(name in request.headers for name in _CREDENTIALS):
            return _UNHARMED, _error(400)
        if request.method not in {"GET", "HEAD"}:
            return _UNHARMED, _error(405, {"Allow": "GET, HEAD"})
        file = self._signed(request)
        if file is None:
            return _UNHARMED, _error(403)
        meant = suffered(self.faults, lambda fault: fault.path in request.path, self._clock.now(), self._fortune.roll)
        fault = _UNHARMED if meant is None else meant
        if fault.status is None:
            return fault, _reply(file, self._version(file, fault), fault, heard)
        if fault.body is None:
            return fault, _error(fault.status)
        return fault, Reply(fault.status, {"Content-Type": file.media}, content(fault.body))

    def _signed(self, request: web.Request) -> File | None:
        """The file that a link leads to, if it is as it was given and not too old."""
        path, query = request.rel_url.raw_path.removeprefix("/"), request.query
        if path not in self._files or len(query) != len(_SIGNING) or set(query) != _SIGNING:
            return None
        expires, given = query["Expires"], query["Signature"].encode("utf-8", "surrogateescape")
        if re.fullmatch("[0-9]{1,12}", expires) is None or int(expires) < self._now():
            return None
        if query["Key-Pair-Id"] != _KEY_PAIR:
            return None
        good = [self._sign(f"{path}#{holder}", expires).encode() for holder in self._holders[path]]
        return self._files[path] if any(compare_digest(given, signature) for signature in good) else None

    def _version(self, file: File, fault: LinkFault) -> Content:
        """The bytes of the file as this request finds them."""
        if fault.body is not None:
            found = content(fault.body)
        elif (made := self._contents.get(file.key)) is not None:
            found = made
        else:
            found = self._contents[file.key] = content(file.make(), file.size, "/".join(file.key))
        return found if fault.etag is None else replaced(found, fault.etag)


def _reply(file: File, found: Content, fault: LinkFault, heard: LinkRequest) -> Reply:
    """The file or a part of it."""
    modified = _modified(file, found, fault)
    headers = {
        "Content-Type": file.media,
        "ETag": found.etag,
        "Last-Modified": http_date(modified),
        "Accept-Ranges": "bytes",
    }
    if file.name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    if fault.ignore_range or heard.method != "GET" or heard.range is None:
        return Reply(200, headers, found)
    current = heard.if_range is None or is_current(heard.if_range, found.etag, modified)
    span = wanted(heard.range, found.size) if current else None
    if span is None:
        return Reply(200, headers, found)
    if span[0] == span[1]:
        return _error(416, {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{found.size}"})
    part = f"bytes {span[0]}-{span[1] - 1}/{found.size}"
    return Reply(206, {**headers, "Content-Range": part}, found, span)


def _modified(file: File, found: Content, fault: LinkFault) -> datetime:
    """When this version was made. The one that no fault replaced is the newest, for no date may lie in the future."""
    return file.modified - timedelta(seconds=_OLDEST if fault.body is not None else found.turn)


def _error(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    code, message = _CODES.get(status) or _named(status)
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Reply(status, {"Content-Type": "application/xml", **(headers or {})}, content(text.encode()))


def _named(status: int) -> tuple[str, str]:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return phrase.replace(" ", ""), phrase


def _field(request: web.Request, name: str) -> str | None:
    """A header as one line; what came in several lines is one list (RFC 9110, section 5.3)."""
    return ", ".join(request.headers.getall(name)) if name in request.headers else None
