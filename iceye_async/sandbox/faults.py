"""What may go wrong, as pure data: at the API and its token endpoint, and at the link host."""

import fnmatch
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from attrs import Attribute, evolve, field, frozen
from attrs.validators import optional

from .values import amount, body, bytes_of, checked, choice, count, each, flag, is_number, moment, share, status, text

TOKEN = "token"  # noqa: S105 - the name of a call
CALLS = (
    TOKEN,
    "createTask",
    "listTasks",
    "getTask",
    "cancelTask",
    "getTaskScene",
    "listTaskProducts",
    "getTaskProduct",
    "listTaskDerivatives",
    "getPrice",
    "checkFeasibility",
    "listContracts",
    "getContract",
)
"""The calls by their names in the service's specification; that of derivatives and that of the token are made up."""


_times = checked(
    "a whole number, 1 or more, or inf", lambda value: value == math.inf or (type(value) is int and value >= 1)
)
_is_line = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch
_is_token = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch


def _headers(fault: Any, attribute: "Attribute[Any]", value: Any) -> None:
    good = each("a text on one line", lambda text: text is None or (isinstance(text, str) and bool(_is_line(text))))
    good(fault, attribute, value)
    for name in value:
        if not _is_token(name):
            raise ValueError(f"headers.{name} is no name of a header")


_etag = checked(
    "an ETag as it stands in the header", lambda value: bool(re.fullmatch(r'(W/)?"[\x21\x23-\x7e]*"', str(value)))
)
_pause = checked(
    "seconds, 0 or more, or a text on one line",
    lambda value: bool(_is_line(value)) if isinstance(value, str) else is_number(value) and 0 <= value < math.inf,
)


@frozen(kw_only=True)
class Mishap:
    """What befalls some requests, wherever they go. Seconds are the sandbox's, bytes those of one answer's body."""

    skip: int = field(default=0, validator=count)
    """So many of the requests that would suffer pass unharmed first (also by the faults after this one),"""
    times: float = field(default=1, validator=_times)
    """then so many suffer; `inf`: all."""
    share: float = field(default=1.0, validator=share)
    """So many of those that are meant are chosen to suffer, by chance: 0.05 is one in twenty."""
    after: float = field(default=0.0, validator=amount)
    """Seconds since the sandbox began, from which on it holds,"""
    until: float = field(default=math.inf, validator=moment)
    """and to which."""
    status: int | None = field(default=None, validator=optional(status))
    """This status instead of the answer, with an error body."""
    headers: Mapping[str, str | None] = field(factory=dict, validator=_headers)
    """Replaced in the answer or added to it; None removes. Nothing else follows them: a `Content-Length` may lie."""
    body: bytes | None = field(default=None, converter=bytes_of, validator=optional(body))
    """These bytes (or this text) instead of the body."""
    delay: float = field(default=0.0, validator=amount)
    """So many seconds pass before anything else happens."""
    cut: int | None = field(default=None, validator=optional(count))
    """After so many bytes the connection is closed, as if all were well."""
    reset: int | None = field(default=None, validator=optional(count))
    """After so many bytes it is reset. What the client's system has not taken by then is lost, as on any network."""
    stall: int | None = field(default=None, validator=optional(count))
    """After so many bytes nothing comes any more, until the client hangs up or the sandbox closes."""

    def __attrs_post_init__(self) -> None:
        if sum(end is not None for end in (self.cut, self.reset, self.stall)) > 1:
            raise ValueError("an answer ends in one way: give cut, reset or stall")
        if self.until <= self.after:
            raise ValueError(f"until must be later than after: {self.until} is not later than {self.after}")

    @property
    def ends(self) -> int | None:
        """After how many bytes the answer breaks off, or None."""
        return next((end for end in (self.cut, self.reset, self.stall) if end is not None), None)

    def changes(self, header: str) -> bool:
        """Whether `headers` holds this one."""
        return any(name.lower() == header.lower() for name in self.headers)


@frozen(kw_only=True)
class Fault(Mishap):
    """What befalls some requests to the API or its token endpoint.

    One without good credentials neither suffers nor counts. With a `status` the call is not carried out; without one
    it is, so what `cut` and `reset` take away is the answer alone. A `body` without a status comes with the answer's.
    """

    call: str = field(default="", validator=choice("", *CALLS))
    """Which call, by its name in the specification; "" is all but `token`."""
    reference: str = field(default="*", validator=text)
    """The `reference` of the task that it is about, as a pattern (`harbour-*`): of those that are about one."""
    code: str | None = field(default=None, validator=optional(text))
    """In the error body, with a `status`."""
    details: str | None = field(default=None, validator=optional(text))
    """The words in the error body, with a `status`."""
    retry_after: float | str | None = field(default=None, validator=optional(_pause))
    """`Retry-After`: seconds, or whatever text it is to be."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.status is None and not (self.code is None and self.details is None):
            raise ValueError("code and details are words of an error: give a status too")

    def means(self, call: str, reference: str | None) -> bool:
        """Whether requests of this call, about a task of this reference, are meant. None: it is about no task."""
        if self.call != call and not (self.call == "" and call != TOKEN):
            return False
        return self.reference == "*" or (reference is not None and fnmatch.fnmatchcase(reference, self.reference))


@frozen(kw_only=True)
class LinkFault(Mishap):
    """What befalls some requests for a file.

    A request that the host refuses anyway (credentials, a link that is not good) neither suffers nor counts. An error
    body is XML here. A `body` without a status has an ETag and a date of its own, and parts.
    """

    path: str = field(default="", validator=text)
    """Part of the path of the requests that are meant."""
    ignore_range: bool = field(default=False, validator=flag)
    """The whole file with a 200, whatever was asked for."""
    chunked: bool = field(default=False, validator=flag)
    """No `Content-Length`: the body comes in chunks."""
    extra: bytes = field(default=b"", converter=bytes_of, validator=body)
    """These bytes after the end of the body."""
    etag: str | None = field(default=None, validator=optional(_etag))
    """The file was replaced: this ETag (as it stands in the header), another date, other bytes of the same length."""


M = TypeVar("M", bound=Mishap)
Roll: TypeAlias = Callable[[], float]
"""Chance: a number in 0..1."""


def suffered(faults: list[M], means: Callable[[M], bool], now: float, roll: Roll) -> M | None:
    """What a request suffers: the first fault that means it, if any. The list becomes what is left to suffer."""
    for index, fault in enumerate(faults):
        if not means(fault) or not fault.after <= now < fault.until:
            continue
        if fault.share < 1 and roll() >= fault.share:
            continue
        if fault.skip:
            faults[index] = evolve(fault, skip=fault.skip - 1)
            return None
        faults[index : index + 1] = [evolve(fault, times=fault.times - 1)] if fault.times > 1 else []
        return fault
    return None
