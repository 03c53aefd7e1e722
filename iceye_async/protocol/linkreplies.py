"""What a link host's answer means for a file, of which some bytes may be here already.

Sources: RFC 9110 (ranges, `If-Range`, validators). The API pages say of the host no more than that its links live one
hour; CloudFront answers 403 to one that is over, and may answer any range with the whole.

| status | then |
|---|---|
| 200 | the whole comes, from its first byte: what was here is void |
| 206 with the span that was asked for, of the same object | it goes on |
| 206 of another object or span, 416 of an object that is not as long as what is here | begin anew |
| 416 at the end of what is here, where nobody had told the size | it was whole already |
| 403 | the link is renewed, once |
| 429, 5xx, 408; 200 without a length or chunks | later |
| anything else | an error |
"""

from typing import Any, Protocol, TypeAlias

from attrs import frozen

from .ranges import Span, content_range, unsatisfied

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class Headers(Protocol):
    """Headers, found without regard to case."""

    def get(self, name: str, default: str, /) -> Any:
        """The value, or the default."""
        ...


@frozen(kw_only=True)
class Object:
    """What tells one object from another: its size in bytes, and the two validators of HTTP."""

    size: int | None = None
    etag: str | None = None
    modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What goes into `If-Range`, so that no two objects are ever mixed. None where nothing can."""
        if self.etag is not None:
            return self.etag
        # A date has seconds only: with the size beside it, it is as good as it gets where there is no ETag.
        return None if self.size is None else self.modified


@frozen
class Take:
    """The body holds these bytes of this object; `anew`: it is whole, and nothing that was here counts any more."""

    span: tuple[int, int | None]
    object: Object
    anew: bool
    ranges: bool
    """Whether the host gives parts of it."""


@frozen
class Whole:
    """Everything was here already: the host has nothing after it."""

    size: int


@frozen
class Anew:
    """What is here cannot be gone on with: ask for the whole."""

    reason: str


@frozen
class Expired:
    """The host does not accept the link."""


@frozen
class Later:
    """The host cannot answer now; `broken`: what it answered has lost its end."""

    reason: str
    broken: bool = False


@frozen
class Refused:
    """This will not come, however often it is asked for; `broken`: what came is not the file."""

    reason: str
    broken: bool = False


Meaning: TypeAlias = Take | Whole | Anew | Expired | Later | Refused


def meaning(status: int, headers: Headers, asked: tuple[int, int | None] | None, known: Object) -> Meaning:
    """What to do now. `asked` is the span that was asked for (None: the whole), `known` the object it is a part of."""
    if status == 403:
        return Expired()
    if status in _LATER:
        return Later(f"the link host answered {status}")
    if status == 416 and asked is not None:
        return _past_the_end(headers, asked[0], known)
    if status not in {200, 206}:
        return Refused(f"the link host answered {status}")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        return Refused("the link host encoded the file, though it was asked not to", broken=True)
    transfer = headers.get("Transfer-Encoding", "").strip().lower()
    if transfer not in {"", "identity", "chunked"}:
        return Refused("the link host sends the file in a way that is not known here", broken=True)
    if status == 200:
        return _everything(headers, chunked=transfer == "chunked")
    if asked is None:
        return Refused("the link host gave a part, though the whole was asked for", broken=True)
    return _part(headers, asked, known)


def length(headers: Headers) -> int | None:
    """The announced length of the body in bytes."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _everything(headers: Headers, *, chunked: bool) -> Take | Later:
    size = None if chunked else length(headers)
    if size is None and not chunked:
        # Nor does one whose headers were cut off.
        return Later("the link host does not say where the file ends", broken=True)
    ranges = "bytes" in headers.get("Accept-Ranges", "").lower()
    return Take((0, size), _object(headers, size), anew=True, ranges=ranges)


def _part(headers: Headers, asked: tuple[int, int | None], known: Object) -> Meaning:
    told = content_range(headers.get("Content-Range", ""))
    if told is None:
        return Anew("the link host gave a part, and did not say which")
    span, size = told
    if not _within(span, asked) or length(headers) not in {None, span[1] - span[0]}:
        return Anew("the link host gave another part than was asked for")
    found = _object(headers, size if size is not None else known.size)
    if known.size not in {None, found.size} or not _same(known, found):
        return Anew("the file was replaced meanwhile")
    return Take(span, Object(size=found.size, etag=known.etag, modified=known.modified), anew=False, ranges=True)


def _within(span: Span, asked: tuple[int, int | None]) -> bool:
    return span[0] == asked[0] and (asked[1] is None or span[1] <= asked[1])


def _same(known: Object, found: Object) -> bool:
    """Whether nothing speaks against it. The host was asked by a validator, so what it does not repeat still holds."""
    if known.etag is not None:
        return found.etag in {None, known.etag}
    return found.modified in {None, known.modified}


def _past_the_end(headers: Headers, start: int, known: Object) -> Whole | Anew:
    if known.size is None and unsatisfied(headers.get("Content-Range", "")) == start:
        return Whole(start)
    return Anew("the link host has nothing where the file should go on")


def _object(headers: Headers, size: int | None) -> Object:
    etag = headers.get("ETag", "").strip()
    strong = len(etag) > 2 and etag.startswith('"') and etag.endswith('"')
    return Object(size=size, etag=etag if strong else None, modified=headers.get("Last-Modified", "") or None)
