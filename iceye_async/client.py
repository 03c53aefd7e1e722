"""The client: the front door. It wires the session to the resources, and owns nothing else."""

import contextlib
import inspect
import os
import re
import ssl as ssl_module
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, overload
from weakref import WeakSet

import aiohttp

from .auth import ClientCredentials, TokenSource, token_source
from .clock import Clock
from .errors import NotPicklable, UsageError
from .exchange import environment_route, proxied
from .models import DerivativeType, ProductType, TaskStatus
from .protocol.checks import number, whole
from .protocol.ordering import words
from .protocol.retrying import RetryPolicy
from .protocol.waiting import PollPolicy
from .resources import Contracts, Derivatives, Products, Tasks
from .session import Session
from .waits import DerivativeWait, ProductWait, TaskWait

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from .batch.batch import Batch
    from .downloads import Download, Downloadable, Shared
    from .events import Event, Listener

BASE_URL = "https://platform.iceye.com"
_PLACEHOLDER = r"(?i)<.*>|\$\{.*\}|your[-_].*|change[-_]?me|replace[-_]?me|todo|x{3,}|\.{3}"


class Client:
    """ICEYE's Tasking API v2, for one set of credentials and one event loop.

    Use it as `async with Client(auth=...) as client:`, or make it once (in a notebook), use it, and
    `await client.close()` when done. `auth` is an access token or a `TokenSource` such as `ClientCredentials`.

    `rate_limit` is requests per second (None: no limit), `in_flight` how many are under way at once, `timeout` the
    seconds that one request may take. `http` and `link_http` are aiohttp sessions of yours, for the API and for signed
    links; they are never closed here. `proxy` and `ssl` (a context, for a company CA) hold for API, token and link
    hosts. `on_event` is called with each event of `iceye_async.events` (a request, a repeat, a new token, an update, a
    part of a download), for metrics. `clock` replaces asyncio's time, as a sandbox that runs fast does.

    Raises `UsageError` for what can never work: an unusable token, an http address that is not this machine.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        *,
        auth: str | TokenSource,
        http: aiohttp.ClientSession | None = None,
        link_http: aiohttp.ClientSession | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        poll: PollPolicy = PollPolicy(),  # noqa: B008 - frozen
        rate_limit: float | None = 10.0,
        in_flight: int = 8,
        timeout: float = 60.0,
        proxy: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        on_event: "Callable[[Event], None] | None" = None,
        clock: Clock | None = None,
    ) -> None:
        # First of all: error reporters print the locals of a traceback, and whatever is refused below makes one.
        source, route = token_source(auth), proxied(proxy, "proxy", ssl)
        del auth, proxy
        if isinstance(source, UsageError):
            raise source
        if isinstance(route, UsageError):
            raise route
        for given, kind, name in ((retry, RetryPolicy, "retry"), (poll, PollPolicy, "poll")):
            if not isinstance(given, kind):
                raise UsageError(f"{name} is a {kind.__name__}, not {type(given).__name__}")
        if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
            raise UsageError(
                "ssl is an ssl.SSLContext, made with ssl.create_default_context(cafile=...) for a company CA"
            )
        if clock is not None and not (hasattr(clock, "now") and hasattr(clock, "sleep")):
            raise UsageError("clock is an object with now() and an async sleep(seconds)")
        number(timeout, "timeout", above=0)
        whole(in_flight, "in_flight", least=1)
        if rate_limit is not None:
            number(rate_limit, "rate_limit", above=0)
        self._session = Session(
            base_url,
            source=source,
            http=http,
            link_http=link_http,
            retry=retry,
            rate_limit=rate_limit,
            in_flight=in_flight,
            timeout=timeout,
            route=route,
            clock=clock,
            listener=_listener(on_event),
        )
        self._poll = poll
        self._retry = retry
        self._shared: Shared | None = None
        self._downloads: WeakSet[Download[Any]] = WeakSet()
        self._batches: WeakSet[Batch] = WeakSet()
        self.tasks = Tasks(self._session)
        self.products = Products(self._session)
        self.derivatives = Derivatives(self._session)
        self.contracts = Contracts(self._session)

    @classmethod
    def from_env(
        cls, *, rate_limit: float | None = 10.0, on_event: "Callable[[Event], None] | None" = None
    ) -> "Client":
        """A client as the environment describes it. `rate_limit` and `on_event` are as for the client.

        Reads ICEYE_TOKEN_URL, ICEYE_CLIENT_ID and ICEYE_CLIENT_SECRET (all three), or ICEYE_ACCESS_TOKEN; and, where
        they are set, ICEYE_BASE_URL, HTTPS_PROXY and NO_PROXY. Where both ways to sign in are there, the three win,
        for they can be renewed. Raises `UsageError` that names a variable which is missing or still a placeholder.
        """
        base_url = _variable("ICEYE_BASE_URL") if "ICEYE_BASE_URL" in os.environ else BASE_URL
        client = cls(base_url, auth=_auth_from_env(), rate_limit=rate_limit, on_event=on_event)
        client._session.route = environment_route()
        return client

    async def __aenter__(self) -> Self:
        self._session.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what this client opened. May be called any number of times; nothing can be asked afterwards."""
        try:
            await self._session.close()
        finally:
            # Where closing was refused, they go on.
            for download in list(self._downloads) if self._session.is_closed else ():
                download.client_closed()
            async with contextlib.AsyncExitStack() as stack:
                # One that cannot be ended in peace does not keep the others from it.
                for batch in list(self._batches) if self._session.is_closed else ():
                    stack.push_async_callback(batch.stop)
        if self._shared is not None:
            await self._shared.close()

    @property
    def clock(self) -> Clock:
        """The time that this client lives in."""
        return self._session.clock

    @property
    def skew(self) -> float | None:
        """Seconds by which this machine's clock is behind the service's; None until the service has told its time.

        As the `Date` of the last reply has it, to the second. What hangs on wall time follows the service.
        """
        return self._session.skew

    def await_task(
        self, task_id: str, until: Iterable[TaskStatus | str] | None = None, *, poll: PollPolicy | None = None
    ) -> TaskWait:
        """Wait until the task is in a status.

        Await it for the `Task` in the status waited for, or iterate it for the `Task` at each change of status: the
        status that it is in at first counts as one, and the one waited for is the last. `until` is a status or several
        (strings or `TaskStatus`); None means FULFILLED or DONE, when products can be fetched.

        Few requests are made: see `await_derivatives()`. So a change is noticed late where nothing hangs on it: up to
        six hours where the imaging is far, and a status that lasts for less than a pause is not seen at all. ACTIVE
        may lead straight to DONE: who waits for FULFILLED alone gets `TaskEnded` then.

        Raises `TaskEnded` as soon as none of `until` can come any more: the task was rejected, failed or was canceled,
        or has gone past it. Raises `TaskNotFound`, `PollTimeout`, and what else `await_derivatives()` does.

        Source: the API page "Get a task".
        """
        wanted: tuple[str, ...] = (TaskStatus.FULFILLED, TaskStatus.DONE)
        if until is not None:
            wanted = words(until, "until", "'FULFILLED' or 'DONE'")
        return TaskWait(self._session, task_id, wanted, self._policy(poll))

    def await_products(
        self, task_id: str, types: Iterable[ProductType | str] | None = None, *, poll: PollPolicy | None = None
    ) -> ProductWait:
        """Wait until the products of a task are there.

        Await it for all of them, or iterate it for a `ProductUpdate` whenever some have become available, and one for
        the end. `types` are the types wanted (strings or `ProductType`; a bare string is one type): the wait ends when
        each is there, and what the service gives for a type counts as that type, whatever it calls itself. None means
        all that come until the task is DONE; as a strip or scan is several products of one type, and the service does
        not say how many, only that is certain to bring all of them.

        Raises `ProductsNotRequested` where the task is DONE without a type; `TaskEnded` where it was rejected, failed
        or was canceled; `TaskNotFound`, `PollTimeout`, and what else `await_derivatives()` does. What had arrived is
        on `.latest` in each case. The links in a product live one hour from when it was listed; `download()` renews
        them.

        Source: the API page "Task products".
        """
        wanted = None if types is None else words(types, "types")
        return ProductWait(self._session, task_id, wanted, self._policy(poll))

    def await_derivatives(
        self, task_id: str, types: Iterable[DerivativeType | str] | None = None, *, poll: PollPolicy | None = None
    ) -> DerivativeWait:
        """Wait until every requested derivative type has assets.

        Await it for the complete `DerivativeSet`, or iterate it for a `DerivativeUpdate` on each 206 along the way and
        one for the last answer. `types` are the types wanted (strings or `DerivativeType`; a bare string is one
        type); None means everything the service lists for the task, and ends when it answers 200. A wait for named
        types ends as soon as these are there.

        While the acquisition window is not open, or the planned imaging (which `client.tasks.scene()` tells) lies
        ahead, the task alone is asked, after pauses of up to six hours; in a window without a plan looks are rare; and
        after imaging they come as `poll` says (the client's own policy where it is None).

        Raises `TaskNotFound`; `TaskEnded` where the task was rejected, failed or was canceled;
        `DerivativesNotRequested` where they can never come; `PollTimeout` at the policy's deadline; `Forbidden` and
        `Unauthorized`; and, after more failures in a row than the policy endures, the last of them. What had arrived
        is on `.latest` in each case.

        Source: the API page "Task derivatives".
        """
        wanted = None if types is None else words(types, "types")
        return DerivativeWait(self._session, task_id, wanted, self._policy(poll))

    def await_batch(
        self,
        task_ids: Iterable[str] | None = None,
        types: Iterable[DerivativeType | str] | None = None,
        *,
        to: str | os.PathLike[str] | None = None,
        journal: str | os.PathLike[str] | None = None,
        poll: PollPolicy | None = None,
    ) -> "Batch":
        """Wait for the derivatives of many tasks, thousands of them, for days.

        Await it for a `BatchReport`, or iterate it for the events of `iceye_async.batch`: `Updated` when wanted
        derivatives of a task have got assets, each of them once; `Downloaded` when their files are in
        `to/<task id>/`, where there is a folder `to`; and for each task at last `Finished` or `Failed`. A task that
        fails disturbs no other. `types` and `poll` are as for `await_derivatives()`, but that failures count only a
        twentieth while nobody gets an answer, so that an outage of a night ends no task, and that the policy's
        `timeout` begins anew with each run.

        `journal` is a file (SQLite, on this machine's own disk) that has what was heard, handed out and downloaded,
        and no link or token. After a crash the same call goes on, and so does `await_batch(journal=...)` without ids:
        what is over is not asked again, files are not fetched again, and an event comes again, with the same id, that
        was not acknowledged by asking for the next. Ids that are not in it yet are added. Without a journal the report
        alone lives on, in a temporary file, as long as somebody has it.

        The tasks share the client's rate limit; `docs/batch.md` has the arithmetic. It asks on while the body of the
        loop runs, until 256 events wait, or nobody has asked for one for five minutes. Ctrl-C and, where nothing else
        handles it, SIGTERM cancel who drives it; the journal is whole then, and a warning in the log says how to go on.

        Raises `UsageError` for ids that can be none, with their rows; `JournalError` for a journal that is in use,
        damaged, newer, or of another batch; and what would end every task's wait, as `Unauthorized`: what is not over
        then is gone on with by the next call.

        Source: the API pages "Task derivatives", "Get a task" and "List tasks".
        """
        from .batch.batch import Batch, account_of, unique_ids
        from .batch.journal import Setup

        if task_ids is None and journal is None:
            raise UsageError("await_batch takes task ids, or the journal of a batch to go on with")
        setup = Setup(
            origin=self._session.origin,
            account=account_of(self._session.source),
            types=None if types is None else words(types, "types"),
            to=None if to is None else os.path.abspath(_folder(to)),  # noqa: PTH100 - links in it are kept
        )
        found = None if task_ids is None else unique_ids(task_ids)
        path = None if journal is None else Path(os.path.abspath(_file(journal)))  # noqa: PTH100
        batch = Batch(self._session, found, setup, path, self._policy(poll), self.download)
        self._batches.add(batch)
        return batch

    def _policy(self, poll: PollPolicy | None) -> PollPolicy:
        if poll is not None and not isinstance(poll, PollPolicy):
            raise UsageError(f"poll is a PollPolicy, not {type(poll).__name__}")
        return self._poll if poll is None else poll

    @overload
    def download(
        self,
        thing: "Downloadable",
        to: str | os.PathLike[str],
        *,
        assets: Iterable[str] | None = None,
        overwrite: bool = False,
    ) -> "Download[Path]": ...

    @overload
    def download(
        self,
        thing: "Downloadable",
        to: "ObjectStore",
        *,
        assets: Iterable[str] | None = None,
        overwrite: bool = False,
    ) -> "Download[str]": ...

    def download(
        self,
        thing: "Downloadable",
        to: "str | os.PathLike[str] | ObjectStore",
        *,
        assets: Iterable[str] | None = None,
        overwrite: bool = False,
    ) -> "Download[Any]":
        """Bring files home: await it for the paths, or iterate it for its progress events.

        `thing` is a `Product`, a `Derivative`, a `DerivativeSet`, several of them, or a task id (its products, and the
        derivatives that there are). `to` is a folder, made where it does not exist, or a store of obstore's (extra
        `cloud`; `obstore.store.from_url("s3://bucket/folder")`), and then the paths are strings. `assets` names asset
        keys (`"quicklook-png"`), roles (`"thumbnail"`) or media types (`"image/png"`; of a derivative also its type,
        `"geojson"`); None means all. Up to eight files come at once, and a large one over several connections where
        that is faster.

        A file has its final name only when it is whole: its length was as announced, it was not an error page, and it
        was on the disk. Every name starts with the item's id. What breaks off is tried again as the client's
        `RetryPolicy` says, and goes on where it was; so does the next download after a break, a cancellation or a
        crash, where the host tells one object from another. A link that is about to end is renewed first. A file that
        this folder's manifest knows is not fetched again; any other file in the way is an error, unless `overwrite` is
        true.

        Raises `DownloadError` and its kinds. Where several assets were asked for, one that fails does not stop the
        others, and the error has `.done` and `.failed`. `.latest` holds a `Finished` for each whole file, with its size
        in bytes and its SHA-256.

        Source: the API pages "Task products" and "Task derivatives", by which links live one hour.
        """
        from .downloads import Download, Shared, is_store

        chosen = None if assets is None else words(assets, "assets")
        where = to if is_store(to) else Path(_folder(to))
        if self._shared is None:
            self._shared = Shared(self._session, self._retry)
        download: Download[Any] = Download(self._session, self._shared, thing, where, chosen, overwrite=overwrite)
        self._downloads.add(download)
        return download

    def __repr__(self) -> str:
        # An error reporter may show it before it is made, where it was refused.
        return f"<Client of {self._session.origin}>" if hasattr(self, "_session") else "<Client, refused>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklable("a Client holds a secret and connections and is not pickled; make one where it is used")

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        session = getattr(self, "_session", None)
        if session is None:
            return
        forgotten = session.is_open
        session.abandon()
        if forgotten:
            message = f"{self!r} was not closed; use `async with Client(...)` or `await client.close()`"
            _warn(message, ResourceWarning, stacklevel=2, source=self)


def _folder(to: object) -> str:
    if not isinstance(to, str | os.PathLike) or not isinstance(os.fspath(to), str) or "\0" in os.fspath(to):
        raise UsageError(f"to is a folder, as a string or a path, or a store of obstore's, not {to!r}")
    folder = os.fspath(to)
    try:
        os.fsencode(folder)
    except UnicodeEncodeError:
        raise UsageError(f"to is a folder, and {folder!r} can be no name of one") from None
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", folder):
        scheme = folder.partition("://")[0]
        raise UsageError(
            f"to is a folder, and {scheme}:// is none; for an object store pass obstore.store.from_url(...), which "
            "comes with pip install 'iceye-async[cloud]'"
        )
    return folder


def _file(journal: object) -> str:
    if not isinstance(journal, str | os.PathLike) or not isinstance(os.fspath(journal), str):
        raise UsageError(f"journal is a file, as a string or a path, not {type(journal).__name__}")
    if not os.fspath(journal) or "\0" in os.fspath(journal):
        raise UsageError(f"journal is a file, and {os.fspath(journal)!r} can be no name of one")
    return os.fspath(journal)


def _listener(on_event: "Callable[[Event], None] | None") -> "Listener | None":
    if on_event is None:
        return None
    if not callable(on_event) or any(map(inspect.iscoroutinefunction, (on_event, type(on_event).__call__))):
        raise UsageError("on_event is a plain function that takes an event; it is called, and not awaited")
    from .events import Listener

    return Listener(on_event)


def _auth_from_env() -> str | ClientCredentials:
    names = ("ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET")
    if not any(name in os.environ for name in names):
        if "ICEYE_ACCESS_TOKEN" in os.environ:
            return _variable("ICEYE_ACCESS_TOKEN")
        raise UsageError(f"set {', '.join(names)} in the environment, or ICEYE_ACCESS_TOKEN")
    missing = [name for name in names if not os.environ.get(name, "").strip()]
    if missing:
        raise UsageError(f"missing or empty in the environment: {', '.join(missing)}")
    return ClientCredentials(*(_variable(name) for name in names))


def _variable(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageError(f"the environment variable {name} is missing or empty")
    if re.fullmatch(_PLACEHOLDER, value):
        raise UsageError(f"the environment variable {name} still holds a placeholder")
    return value
