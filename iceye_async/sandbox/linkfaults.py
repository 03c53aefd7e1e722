"""What may go wrong at the link host when a test wants it to, and what the host was asked."""

from collections.abc import Mapping

from attrs import define, evolve, field, frozen
from attrs.validators import deep_mapping, ge, instance_of, matches_re, optional

_COUNT = optional(ge(0))


@frozen(kw_only=True)
class LinkFault:
    """What befalls some requests for a file. Amounts are bytes of the body of the one answer.

    A request that the host refuses anyway (credentials, a link that is not good) neither suffers nor counts.
    """

    path: str = ""
    """Part of the path of the requests that are meant."""
    skip: int = field(default=0, validator=ge(0))
    """So many of them pass unharmed first (also by the faults after this one),"""
    times: int = field(default=1, validator=ge(1))
    """then so many suffer."""
    status: int | None = field(default=None, validator=optional(ge(200)))
    """This status with an XML error body; or with `body`, if there is one, and then nothing is added to it."""
    headers: Mapping[str, str | None] = field(
        factory=dict, validator=deep_mapping(instance_of(str), optional(instance_of(str)))
    )
    """Replaced in the answer or added to it; None removes. Nothing else follows them: a `Content-Length` may lie."""
    body: bytes | None = None
    """These bytes instead of the file's. Without a status they have an ETag and a date of their own, and parts."""
    cut: int | None = field(default=None, validator=_COUNT)
    """After so many bytes the connection is closed, as if all were well."""
    reset: int | None = field(default=None, validator=_COUNT)
    """After so many bytes it is reset. What the client's system has not taken by then is lost, as on any network."""
    stall: int | None = field(default=None, validator=_COUNT)
    """After so many bytes nothing comes any more, until the client hangs up or the sandbox closes."""
    ignore_range: bool = False
    """The whole file with a 200, whatever was asked for."""
    chunked: bool = False
    """No `Content-Length`: the body comes in chunks."""
    extra: bytes = b""
    """These bytes after the end of the body."""
    etag: str | None = field(default=None, validator=optional(matches_re(r'(W/)?"[\x21\x23-\x7e]*"')))
    """The file was replaced: this ETag (as it stands in the header), another date, other bytes of the same length."""

    def __attrs_post_init__(self) -> None:
        if sum(end is not None for end in (self.cut, self.reset, self.stall)) > 1:
            raise ValueError("an answer ends in one way: give cut, reset or stall")

    @property
    def ends(self) -> int | None:
        """After how many bytes the answer breaks off, or None."""
        return next((end for end in (self.cut, self.reset, self.stall) if end is not None), None)

    def changes(self, header: str) -> bool:
        """Whether `headers` holds this one."""
        return any(name.lower() == header.lower() for name in self.headers)


UNHARMED = LinkFault()


@define
class LinkRequest:
    """A request as the link host heard it, and what it answered. Signatures are not kept."""

    method: str
    path: str
    range: str | None
    if_range: str | None
    status: int | None = None
    """None until the answer begins."""
    sent: int = 0
    """Bytes of the body that were given to the network; final when the answer has ended."""


def suffered(faults: list[LinkFault], path: str) -> LinkFault:
    """What a request for this path suffers: the first fault that means it. The list becomes what is left to suffer."""
    for index, fault in enumerate(faults):
        if fault.path not in path:
            continue
        if fault.skip:
            faults[index] = evolve(fault, skip=fault.skip - 1)
            return UNHARMED
        faults[index : index + 1] = [evolve(fault, times=fault.times - 1)] if fault.times > 1 else []
        return fault
    return UNHARMED
