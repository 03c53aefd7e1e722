"""Every error that leaves a public call, by what a caller can do about it.

IceyeError                      .transient: the same call may well succeed later
  UsageError (ValueError)       the call itself is wrong; no request was made
  StateError (RuntimeError)     closed, another event loop, a second driver
  MissingExtra (ImportError)    names the extra to install
  TransportError                no reply: name lookup, refused, reset, timed out           transient
  ApiError                      a reply that is an error
    BadRequest 400 | Unauthorized 401 | Forbidden 403 | NotFound 404 (TaskNotFound)
    RateLimited 429 | ServerError 5xx                                                      transient
  DecodeError                   an answer that cannot be read
    PaginationLoop              a cursor that comes again
  PollError                     a wait that cannot end well
    PollTimeout (TimeoutError) | TaskEnded | DerivativesNotRequested | ProductsNotRequested
  DownloadError                 a file that did not arrive whole
    LinkExpired | IntegrityError | DiskFull | InProgress
  JournalError                  locked, damaged, or of a newer version

Facts are attributes. All of them are data, so every error can be copied and pickled. No error holds a
token, a client secret or the signature of a link.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar


class IceyeError(Exception):
    """Anything that this package raises."""

    transient: ClassVar[bool] = False
    given_up = False
    """Whether it was raised by something that had been repeated as often as it may be."""
    undone = False
    """Whether what was asked for was certainly not carried out, for there was no token to ask with."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class UsageError(IceyeError, ValueError):
    """The call itself is wrong; no request was made."""


class NotPicklable(UsageError, TypeError):
    """A client, what it signs in with, or its work was pickled or copied; they hold secrets and open connections."""


class StateError(IceyeError, RuntimeError):
    """The object cannot be used like this now: closed, another event loop, or driven twice at once."""


class MissingExtra(IceyeError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class TransportError(IceyeError):
    """No reply: name lookup, connection refused or reset, time-out, TLS.

    `sent` is false when the request certainly never left, so that repeating it cannot do anything twice.
    """

    transient = True

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class TlsError(TransportError):
    """The other side could not prove who it is, or the TLS handshake failed; trying again does not help."""

    transient = False


class ProxyError(TransportError):
    """The proxy does not let the request pass; trying again does not help."""

    transient = False


class ApiError(IceyeError):
    """A reply whose status is an error.

    `status` is the HTTP status; `code`, `title`, `detail` and `reference` are what the body said, if it was one
    of the two documented error bodies; `retry_after` is in seconds from the reply; `request_id` comes from the
    common headers that carry one.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        code: str | None = None,
        title: str | None = None,
        detail: str | None = None,
        reference: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.reference = reference
        self.retry_after = retry_after
        self.request_id = request_id


class BadRequest(ApiError):
    """400: the service refuses the request as it is; `code` says why."""


class Unauthorized(ApiError):
    """401: the credentials or the access token were refused, also after one renewal."""


class Forbidden(ApiError):
    """403: the credentials are good, and do not allow this."""


class NotFound(ApiError):
    """404: not there, or not there yet."""


class TaskNotFound(NotFound):
    """No task has this id, or none that these credentials may see."""


class RateLimited(ApiError):
    """429: too many requests; `retry_after` says how long the service asks to be left alone, if it did."""

    transient = True


class ServerError(ApiError):
    """5xx: the service failed."""

    transient = True


class DecodeError(IceyeError):
    """An answer that cannot be read.

    `where` holds the JSON paths of what is wrong (`$.data[0].id`); `latest` what could be read beside it, where
    the call gives a collection and is no object with a `.latest` of its own; `retry_after` (seconds) and
    `request_id` are from the reply, where it had them.
    """

    def __init__(
        self,
        message: str = "",
        *,
        where: tuple[str, ...] = (),
        latest: Any = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.where = where
        self.latest = latest
        self.retry_after = retry_after
        self.request_id = request_id


class EmptyAnswer(DecodeError):
    """Nothing at all where JSON is documented; another try may bring it."""

    transient = True


class PaginationLoop(DecodeError):
    """The service gave a cursor that it had given before; the pages so far are on the object's `.latest`."""


class PollError(IceyeError):
    """A wait that cannot end well. `task_id` says whose, `latest` what had arrived until then."""

    def __init__(self, message: str = "", *, task_id: str = "", latest: Any = None) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.latest = latest


class PollTimeout(PollError, TimeoutError):
    """The wait's own deadline passed. What had arrived is on `latest`; waiting again goes on from the service."""


class TaskEnded(PollError):
    """The task is in a `status` from which what was waited for can no longer come."""

    def __init__(self, message: str = "", *, task_id: str = "", latest: Any = None, status: str = "") -> None:
        super().__init__(message, task_id=task_id, latest=latest)
        self.status = status


class _NotRequested(PollError):
    def __init__(
        self, message: str = "", *, task_id: str = "", latest: Any = None, types: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(message, task_id=task_id, latest=latest)
        self.types = types


class DerivativesNotRequested(_NotRequested):
    """The task was created without these derivatives. `types`: those that will never come; empty means all."""


class ProductsNotRequested(_NotRequested):
    """The task is DONE without these products. `types`: those that will never come; empty means all."""


class DownloadError(IceyeError):
    """A file that did not arrive whole.

    `path` is the final name it would have had, `asset` names the asset as item id and asset key. Of several
    downloads: `done` holds the paths that are whole, `failed` the error of each asset that is not. `request_id` is what
    the link host calls the request that failed, where it says so.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: Path | str | None = None,
        asset: str | None = None,
        done: tuple[Path | str, ...] = (),
        failed: Mapping[str, IceyeError] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.path = path
        self.asset = asset
        self.done = done
        self.failed = {} if failed is None else dict(failed)


class LinkExpired(DownloadError):
    """The link host refused the link with 403: its hour is over, or its signature is not accepted."""


class IntegrityError(DownloadError):
    """What arrived is not the whole object: a wrong length, or an encoding that was not asked for."""


class DiskFull(DownloadError):
    """No space left where the file should go."""


class InProgress(DownloadError):
    """Somebody else, in this process or another, is downloading to the same name right now."""


class JournalError(IceyeError):
    """A batch journal that is locked, damaged, or of a newer version."""
