"""`client.download()`: one asset after the other, each from its link to its final name.

It holds at most one open response between two steps, and none once it is closed, dropped or cancelled.
"""

import asyncio
import time
from collections import deque
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ..errors import DecodeError, DownloadError, IceyeError, IntegrityError, LinkExpired, NotFound, StateError
from ..events import DownloadEvent, Failed, Finished, Progressed, Started
from ..exchange import FOREIGN, LINK_TIMEOUT, STALL, translated
from ..pending import Pending
from ..protocol import requests
from ..protocol.links import mask, refusal
from ..resources import Derivatives, Products, Tasks
from ..session import USER_AGENT, Session
from . import plan
from .files import PartFile, Record, Writers, disk_error, known, prepare
from .plan import Downloadable, Item, Wish

_CHUNK = 2**20


class Download(Pending[tuple[Path, ...], DownloadEvent]):
    """Files on their way; see `Client.download`."""

    def __init__(
        self,
        session: Session,
        writers: Writers,
        thing: Downloadable,
        folder: Path,
        keys: tuple[str, ...] | None,
        *,
        overwrite: bool,
    ) -> None:
        self._transfer: _Transfer | None = None
        self._queue: deque[Wish] | None = None
        self._session = session
        self._writers = writers
        self._folder = folder
        self._keys = keys
        self._overwrite = overwrite
        self._total = 0
        self._finished: list[Finished] = []
        self._failed: dict[str, IceyeError] = {}
        self._end: Exception | None = None
        session.check()
        if isinstance(thing, str):
            requests.get_task(thing)
            self._thing: str | tuple[Item, ...] = thing
        else:
            self._thing = plan.items(thing)
            plan.chosen(plan.wishes(self._thing), keys)
        super().__init__()

    def __repr__(self) -> str:
        left = "nothing asked yet" if self._queue is None else f"{len(self._finished)} of {self._total} files"
        return f"<download to {str(self._folder)!r}: {left}>"

    @property
    def latest(self) -> tuple[Finished, ...]:
        """A `Finished` for each file that is whole."""
        return tuple(self._finished)

    def close(self) -> None:
        """Stop: drop the open connection, if there is one. Whole files stay."""
        super().close()
        self._drop()

    def _abandon(self) -> None:
        self._drop()

    def client_closed(self) -> None:
        """Let go of what is open between two steps; a step that is under way ends by itself."""
        if not self._busy:
            self._drop()

    def _result(self) -> tuple[Path, ...]:
        return tuple(event.path for event in self._finished)

    async def _step(self) -> DownloadEvent:
        if self._end is not None:
            raise self._end.with_traceback(None)
        try:
            self._session.open()
        except StateError:
            self._drop()
            raise
        if self._queue is None:
            self._queue = deque(plan.chosen(plan.wishes(await self._items()), self._keys))
            self._total = len(self._queue)
        if not self._queue:
            self._end = self._over()
            raise self._end
        wish = self._queue[0]
        try:
            event = await self._advance(wish)
        except DownloadError as failure:
            # Kept for long, and raised again: without the frames of its first way up.
            error = failure.with_traceback(None)
            self._failed[wish.asset] = error
            event = Failed(asset=wish.asset, path=self._folder / wish.name, error=error)
        if isinstance(event, Finished):
            self._finished.append(event)
        if isinstance(event, Finished | Failed):
            self._queue.popleft()
        if self._session.listener is not None:
            self._session.listener.tell(event)
        return event

    def _over(self) -> Exception:
        if not self._failed:
            return StopAsyncIteration()
        if self._total == len(self._failed) == 1 and not self._finished:
            return next(iter(self._failed.values()))
        first = next(iter(self._failed.values()))
        message = f"{len(self._failed)} of {self._total} files did not arrive; the first: {first}"
        return DownloadError(message, done=self._result(), failed=self._failed)

    async def _items(self) -> tuple[Item, ...]:
        if not isinstance(self._thing, str):
            return self._thing
        found: list[Item] = []
        absent: list[NotFound] = []
        products = Products(self._session).list(self._thing)
        try:
            found += await products
        except NotFound as error:
            absent.append(error)
        except DecodeError as error:
            # One that cannot be read does not stop the others, and is among what failed.
            found += products.latest
            self._failed["products"] = error
        try:
            found += await Derivatives(self._session).get(self._thing)
        except NotFound as error:
            absent.append(error)
        except DecodeError as error:
            found += error.latest or ()
            self._failed["derivatives"] = error
        if len(absent) == 2:
            # A wrong id, or nothing there yet: the task tells which.
            await Tasks(self._session).get(self._thing)
            raise absent[0]
        return tuple(found)

    async def _advance(self, wish: Wish) -> DownloadEvent:
        """One event further with this wish. Whatever goes wrong, also a cancellation, drops what is open."""
        whole = False
        try:
            event = await self._begin(wish) if self._transfer is None else await self._go_on(self._transfer, wish)
            whole = True
        except OSError as error:
            failure = disk_error(error, self._folder / wish.name, wish.asset)
        else:
            return event
        finally:
            if not whole:
                self._drop()
        raise failure

    async def _begin(self, wish: Wish) -> DownloadEvent:
        path = self._folder / wish.name
        await self._writers.run(prepare, self._folder)
        record = await self._writers.run(partial(known, self._folder, wish, overwrite=self._overwrite))
        if record is not None:
            return _finished(wish, path, record, known=True)
        reason = refusal(wish.href, local=self._session.local)
        if reason is not None:
            raise DownloadError(f"{wish.asset}: {reason}; it was not followed", path=path, asset=wish.asset)
        self._transfer = transfer = _Transfer(PartFile(self._folder, wish))
        await self._writers.run(transfer.part.open)
        failure = await self._request(transfer, wish) or _refused(transfer, wish)
        if failure is not None:
            raise failure
        return Started(asset=wish.asset, path=path, size=transfer.length)

    async def _request(self, transfer: "_Transfer", wish: Wish) -> IceyeError | None:
        """Ask for the file; the error is for a frame to raise that does not hold the link."""
        transfer.url = URL(wish.href, encoded=True)  # byte for byte as given: re-quoted, the signature would not hold
        http = self._session.open_links(transfer.url.host)
        began = time.monotonic()
        failure: IceyeError | None = None
        try:
            with self._session.stay():
                transfer.response = await http.get(
                    transfer.url,
                    headers={"Accept-Encoding": "identity", "User-Agent": USER_AGENT},
                    allow_redirects=False,
                    raise_for_status=False,
                    auto_decompress=False,
                    timeout=LINK_TIMEOUT,
                    **self._session.route.options(transfer.url),
                )
        except StateError as error:
            failure = error.with_traceback(None)
            failure.__context__ = None
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None) from None
        except FOREIGN as error:
            failure = _broken(error, wish, self._folder / wish.name)
        if (witness := self._session.witness) is not None:
            outcome = transfer.response.status if failure is None else failure
            witness("GET", transfer.url, time.monotonic() - began, outcome)
        return failure

    async def _go_on(self, transfer: "_Transfer", wish: Wish) -> DownloadEvent:
        part = transfer.part
        chunk, failure = b"", None
        try:
            with self._session.stay():
                chunk = await _chunk(transfer.response.content)
        except StateError:
            raise
        except FOREIGN as error:
            failure = _broken(error, wish, part.path)
        if failure is not None:
            raise failure
        if chunk:
            await self._writers.run(part.write, chunk)
            return Progressed(asset=wish.asset, path=part.path, received=part.size, size=transfer.length)
        if transfer.length is not None and part.size != transfer.length:
            message = (
                f"{wish.asset}: {part.size} bytes came of {transfer.length}; nothing was published, download it again"
            )
            raise IntegrityError(message, path=part.path, asset=wish.asset)
        record = await self._writers.run(part.publish, transfer.response.headers.get("ETag"))
        self._drop()
        return _finished(wish, part.path, record)

    def _drop(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None and self._session.here:
            transfer.close()


class _Transfer:
    """What is open between two steps. It is passed on whole: aiohttp shows a response with its link."""

    url: URL
    response: aiohttp.ClientResponse

    def __init__(self, part: PartFile) -> None:
        self.part = part

    @property
    def length(self) -> int | None:
        """Bytes, where the link host says so."""
        return self.response.content_length

    def close(self) -> None:
        if hasattr(self, "response"):
            self.response.close()
        self.part.discard()


async def _chunk(content: aiohttp.StreamReader) -> bytes:
    """The next megabyte or so; nothing at the end. Few large writes cost a third of many small ones."""
    pieces: list[bytes] = []
    size = 0
    while size < _CHUNK and (piece := await content.readany()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _refused(transfer: _Transfer, wish: Wish) -> DownloadError | None:
    """What is wrong with the reply, before a byte of it is taken."""
    path, status, headers = transfer.part.path, transfer.response.status, transfer.response.headers
    if status == 403:
        message = f"{wish.asset}: the link host refused the link (403); links live one hour, ask for the item again"
        return LinkExpired(message, path=path, asset=wish.asset)
    if status != 200:
        message = f"{wish.asset}: the link host answered {status}; ask for the item again, and download that"
        return DownloadError(message, path=path, asset=wish.asset)
    if transfer.length is None and "chunked" not in headers.get("Transfer-Encoding", "").lower():
        message = f"{wish.asset}: the link host does not say where the file ends; nothing was published"
        return IntegrityError(message, path=path, asset=wish.asset)
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        message = f"{wish.asset}: the link host encoded the file though it was asked not to; nothing was published"
        return IntegrityError(message, path=path, asset=wish.asset)
    return None


def _broken(error: Exception, wish: Wish, path: Path) -> DownloadError:
    reason = translated(error, f"GET {mask(wish.href)}", urlsplit(wish.href).hostname, STALL)
    return DownloadError(
        f"{wish.asset}: {reason}; nothing was published, download it again", path=path, asset=wish.asset
    )


def _finished(wish: Wish, path: Path, record: Record, *, known: bool = False) -> Finished:
    return Finished(asset=wish.asset, path=path, size=record.size, sha256=record.sha256, known=known)
