"""What a client tells `on_event` while it works, for metrics: each event once, when it has happened.

    def count(event: Event) -> None:
        if isinstance(event, Requested):
            requests.labels(event.host, event.status).observe(event.seconds)

    Client(auth=..., on_event=count)

The callback is a plain function that returns soon, for it is called in the event loop, between two steps. What it
raises is logged and changes nothing. No event holds a token; hosts and paths come without query.
"""

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from .errors import IceyeError
from .models import DerivativeUpdate, ProductUpdate, Task

log = logging.getLogger("iceye_async")


@frozen(kw_only=True)
class Requested:
    """A request to the API, the token endpoint or a link host was answered (`status`), or failed (`error`).

    `seconds` is from sending it to the end of the reply; of a download, to its first bytes.
    """

    method: str
    host: str
    path: str
    status: int | None
    error: IceyeError | None
    seconds: float


@frozen(kw_only=True)
class Retried:
    """A single call is sent once more after `wait` seconds, because of `error`."""

    method: str
    path: str
    wait: float
    error: IceyeError


@frozen(kw_only=True)
class Throttled:
    """The service answered 429: nobody asks it for so many seconds."""

    seconds: float


@frozen(kw_only=True)
class TokenRenewed:
    """There is a new access token, for so many seconds. The first one of a client counts too."""

    expires_in: float


@frozen(kw_only=True)
class Updated:
    """A wait gave an update: for derivatives, for products, or, for a status, the task in a new one."""

    task_id: str
    update: DerivativeUpdate | ProductUpdate | Task


@frozen(kw_only=True)
class Started:
    """The link host answered. `asset` is item id and asset key; `size` is in bytes, or None where it is not said.

    `resumed` is how many bytes of it an earlier run had left; the others are on their way.
    """

    asset: str
    path: Path | str
    size: int | None
    resumed: int = 0


@frozen(kw_only=True)
class Totals:
    """All files of a download together, at one moment. Bytes; `rate` is bytes a second over the last few seconds.

    `size` is None while the size of some file is not known yet. What an earlier run had brought counts as received.
    """

    files: int
    finished: int
    received: int
    size: int | None
    rate: float


@frozen(kw_only=True)
class Progressed:
    """So many bytes are in the file, under another name than the final one. At most ten times a second for each file.

    `rate` is bytes a second over the last few seconds. Where a file must begin anew, `received` goes back.
    """

    asset: str
    path: Path | str
    received: int
    size: int | None
    rate: float
    totals: Totals


@frozen(kw_only=True)
class Interrupted:
    """What was on its way broke off, or the link host was busy (`error`); it goes on after `wait` seconds."""

    asset: str
    path: Path | str
    received: int
    error: IceyeError
    wait: float


@frozen(kw_only=True)
class Finished:
    """The file is whole and has its final name.

    `known` is true where it was there before, and was not fetched; `verified` is false where the link host told no
    size to hold it against.
    """

    asset: str
    path: Path | str
    size: int
    sha256: str
    known: bool = False
    verified: bool = True


@frozen(kw_only=True)
class Failed:
    """This asset will not come; the others go on."""

    asset: str
    path: Path | str
    error: IceyeError


DownloadEvent: TypeAlias = Started | Progressed | Interrupted | Finished | Failed
Event: TypeAlias = Requested | Retried | Throttled | TokenRenewed | Updated | DownloadEvent


class Listener:
    """Somebody who is told, and who cannot do harm. Events are made here: who works without a listener loads none."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._failed = False

    def requested(
        self, method: str, host: str, path: str, status: int | None, error: IceyeError | None, seconds: float
    ) -> None:
        self.tell(Requested(method=method, host=host, path=path, status=status, error=error, seconds=seconds))

    def retried(self, method: str, path: str, wait: float, error: IceyeError) -> None:
        self.tell(Retried(method=method, path=path, wait=wait, error=error))

    def throttled(self, seconds: float) -> None:
        self.tell(Throttled(seconds=seconds))

    def renewed(self, expires_in: float) -> None:
        self.tell(TokenRenewed(expires_in=expires_in))

    def updated(self, task_id: str, update: DerivativeUpdate | ProductUpdate | Task) -> None:
        self.tell(Updated(task_id=task_id, update=update))

    def tell(self, event: Event) -> None:
        try:
            outcome: object = self._on_event(event)
        except Exception:
            # In full once: a metrics backend that is down for days must not fill the log.
            log.warning("on_event raised", exc_info=not self._failed, extra={"event": type(event).__name__})
            self._failed = True
        else:
            if inspect.iscoroutine(outcome):
                outcome.close()
                log.warning("on_event gave a coroutine, and is not awaited", extra={"event": type(event).__name__})
