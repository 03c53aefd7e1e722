"""The session: requests of the API, with token, limits and retries, as replies or typed errors.

The token is set on each request and goes to the API's origin only. A single call repeats what may be repeated; a wait
does not, there the next look is the retry.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import aiohttp
from yarl import URL

from . import pulse
from ._version import __version__
from .auth import Bearer, ClientCredentials, FixedToken, Token, TokenSource, check_url, checked, is_loopback
from .clock import AsyncioClock, Clock
from .errors import (
    DecodeError,
    IceyeError,
    NotPicklable,
    RateLimited,
    ServerError,
    StateError,
    TransportError,
    UsageError,
)
from .exchange import Hidden, Route, Witness, exchange, new_link_session, new_session
from .limits import RateLimit
from .protocol import replies
from .protocol.replies import Reply
from .protocol.requests import Request
from .protocol.retrying import PATIENCE, RetryPolicy
from .repeats import Repeats
from .watch import Watch

if TYPE_CHECKING:
    from .events import Listener
    from .tracing import Tracing

A = TypeVar("A")

log = logging.getLogger("iceye_async")

USER_AGENT = f"iceye-async/{__version__}"
_HEADERS = {
    "Accept": "application/json, application/problem+json",
    # A caching proxy would answer a look with yesterday's 404.
    "Cache-Control": "no-cache",
    "User-Agent": USER_AGENT,
}
_LONG = 120.0
"""Seconds that a slow request may take at least, whatever the client's time-out is."""
_OUTAGE = 5
"""Failures in a row, of all calls and waits together, after which a warning is logged."""
_OF_THE_PARENT: list[aiohttp.ClientSession] = []
"""In a process that was forked: what its parent has open."""


class Session:
    """What the resources and waits of one client share. Opened by its first use, in that event loop."""

    def __init__(
        self,
        base_url: str,
        *,
        source: TokenSource,
        http: aiohttp.ClientSession | None,
        link_http: aiohttp.ClientSession | None,
        retry: RetryPolicy,
        rate_limit: float | None,
        in_flight: int,
        timeout: float,
        route: Route,
        clock: Clock | None,
        listener: "Listener | None",
    ) -> None:
        self._base = check_url(base_url, "base_url")
        if "/api/" in f"{self._base.path}/":
            raise UsageError("base_url is what stands before /api in the API's addresses, such as its host alone")
        self._root = str(self._base).rstrip("/")
        self._source = source
        self._borrowed, self._borrowed_for_links = http, link_http
        _refuse_default_credentials(http, link_http)
        self._retry_policy = retry
        self._watch = Watch(timeout)
        self._long_watch = Watch(max(timeout, _LONG))
        self.stay = self._watch.stay
        self.listener = listener
        self.route = route
        self.clock: Clock = AsyncioClock() if clock is None else clock
        self._repeats = Repeats(retry, self.clock, self._watch, listener)
        self.local = is_loopback(self._base)
        self._bearer = Bearer(self._new_token, self.clock, self._watch)
        self._headers: tuple[Token | None, Hidden] = (None, Hidden())
        self._limit = RateLimit(rate_limit, self.clock)
        self._slots = asyncio.Semaphore(in_flight)
        self.in_flight = in_flight
        self.interval = self._limit.interval
        self._looks = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self.tracing = _tracing()
        self._http: aiohttp.ClientSession | None = None
        self._links: aiohttp.ClientSession | None = None
        self._closed = False
        self._closed_why = "the client is closed"
        self._date: tuple[str, float] | None = None
        self._throttles = 0
        self._failures = 0

    def __repr__(self) -> str:
        # An error reporter may show it before it is made, where it was refused.
        return f"<Session of {self.origin}>" if hasattr(self, "_base") else "<Session, refused>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklable("what belongs to a Client holds a secret and connections and is not pickled")

    @property
    def source(self) -> TokenSource:
        """Where tokens come from."""
        return self._source

    @property
    def origin(self) -> str:
        """The API's scheme, host and port."""
        return str(self._base.origin())

    # --- life --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `StateError` where the client cannot be used: closed, or from another event loop than before."""
        if self._closed:
            raise StateError(f"{self._closed_why}; make a new Client, or keep the work inside its `async with`")
        if not self.here:
            raise StateError("the client belongs to the process that made it; make a Client in each process")
        if self._loop is not None and _running_loop() not in {None, self._loop}:
            raise StateError(
                "the client belongs to another event loop; make one Client per event loop (one asyncio.run)"
            )

    def open(self) -> aiohttp.ClientSession:
        """The HTTP session for the API, made at first use."""
        if self._http is None or self._closed or _running_loop() is not self._loop or os.getpid() != self._process:
            self.check()
            self._loop = asyncio.get_running_loop()
            self._http = new_session(self._trace_configs()) if self._borrowed is None else self._borrowed
            pulse.begin(self)
        return self._http

    def open_links(self, host: str | None) -> aiohttp.ClientSession:
        """The HTTP session for links to this host: without cookies, token and default headers."""
        self.open()
        if self._links is None:
            borrowed = self._borrowed_for_links
            if borrowed is not None and any(True for _ in borrowed.cookie_jar):
                raise UsageError("link_http= holds cookies, which may go to the link host; give it a DummyCookieJar")
            self._links = new_link_session(self._trace_configs()) if borrowed is None else borrowed
        if self._borrowed_for_links is not None and host is not None:
            # What a link host has set since. aiohttp would send it, and a request cannot say no.
            self._links.cookie_jar.clear_domain(host)
        return self._links

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._closed

    @property
    def borrows_links(self) -> bool:
        """Whether links are fetched over a session of the caller's."""
        return self._borrowed_for_links is not None

    @property
    def here(self) -> bool:
        """Whether this is the process that made the session. A fork of it shares its connections, and closes none."""
        return os.getpid() == self._process

    @property
    def is_open(self) -> bool:
        """Whether there is something that only `close()` ends."""
        return self._http is not None and not self._closed and self.here

    async def close(self) -> None:
        """End what was opened here. What was borrowed stays open."""
        if not self.here or (self._loop is not None and _running_loop() is not self._loop):
            if self.here and self._loop is not None and self._loop.is_running():
                raise StateError("the client belongs to another event loop, which is running; close it there")
            # Its loop has ended, or is that of the parent of this process: nothing can be awaited in it any more.
            self._closed = True
            self.abandon()
            return
        self._closed = True
        self._watch.close()
        self._long_watch.close()
        async with contextlib.AsyncExitStack() as stack:
            # Also where closing is cancelled half-way.
            for opened in self._opened():
                stack.push_async_callback(opened.close)
            stack.push_async_callback(self._bearer.close)

    def abandon(self) -> None:
        """Let go of what was opened here, for a client that nobody closed and nobody has any more.

        aiohttp would say of each session and connector that it was not closed; that was said once, with what to do.
        """
        if not self._closed:
            self._closed_why = "nobody had the client any more, and so it was closed: keep it in a variable"
        self._closed = True
        if not self.here:
            # Closed here, they would be taken from the parent, which shares them: they stay as they are, for good.
            _OF_THE_PARENT.extend(self._opened())
            return
        if self._loop is None or not (self._loop.is_closed() or _running_loop() is self._loop):
            return
        for opened in self._opened():
            connector = opened.connector
            opened.detach()
            if connector is not None:
                # Its first step closes the connections; nobody is left who could wait until the other side knows.
                closing = connector.close()
                with contextlib.suppress(StopIteration):
                    closing.__await__().send(None)

    def _opened(self) -> list[aiohttp.ClientSession]:
        api = self._http if self._borrowed is None else None
        links = self._links if self._borrowed_for_links is None else None
        return [opened for opened in (api, links) if opened is not None]

    # --- wall time ---------------------------------------------------------------------------------------------

    def wall(self) -> float:
        """Seconds since the epoch as the service has them: the Date of its last reply, and the time since."""
        if self._date is not None:
            heard = replies.http_date(self._date[0])
            if heard is not None:
                return heard + self.clock.now() - self._date[1]
        return time.time()

    @property
    def skew(self) -> float | None:
        """Seconds from this machine's time to the service's; None until that was heard."""
        return None if self._date is None else self.wall() - time.time()

    # --- requests ----------------------------------------------------------------------------------------------

    def url(self, request: Request) -> URL:
        """Where the request goes, ready to be sent as it stands."""
        return _url(self._root + request.path)

    def call(self, request: Request, read: Callable[[Reply], A]) -> Coroutine[Any, Any, A]:
        """Send, repeating what may be repeated, and read the answer. Raises any `IceyeError` of the session layer."""
        return self._traced(request, self._call(request, read))

    def look(self, request: Request, patience: float) -> Coroutine[Any, Any, Reply]:
        """`send`, for a wait, which does not repeat it."""
        return self._traced(request, self.send(request, patience, polling=True))

    def _traced(self, request: Request, call: Coroutine[Any, Any, A]) -> Coroutine[Any, Any, A]:
        # Not `async`: most applications trace nothing, and would pay for one frame more at each call.
        return call if self.tracing is None else self.tracing.around(request.method, request.path, call)

    async def _call(self, request: Request, read: Callable[[Reply], A]) -> A:
        try:
            return read(await self.send(request))
        except IceyeError as error:
            failed = [self.cleaned(error)]

        async def attempt() -> A:
            return read(await self.send(request))

        return await self._repeats.persist(attempt, request, failed)

    def cleaned(self, error: IceyeError) -> IceyeError:
        """The error of an answer that could not be read. Only here it is known what must not be in its facts."""
        token, _ = self._headers
        if isinstance(error, DecodeError) and token is not None and token.value in (error.request_id or ""):
            error.request_id = None
        return error

    async def send(self, request: Request, patience: float = PATIENCE, *, polling: bool = False) -> Reply:
        """Send once (and once more with a new token after a 401). The reply is one of the request's answers.

        Where there is a line, calls go before the looks of waits (`polling`), which are many and can wait. Raises
        `RateLimited` where the service has asked this client to stay away for longer than `patience` seconds.
        """
        http = self.open()
        url = self.url(request)
        token = self._bearer.fresh or await self._undone(self._bearer.token(patience))
        reply = await self._exchange(http, request, url, token, patience, polling)
        if reply.status == 401:
            renewed = await self._undone(self._bearer.instead_of(token, patience))
            if renewed.value != token.value:
                token, reply = renewed, await self._exchange(http, request, url, renewed, patience, polling)
        if reply.status < 500 and reply.status != 429:
            self._repeats.earn()
            if self._failures:
                self._recovered()
        if reply.status in request.answers:
            self._throttles = 0
            return reply
        raise self._refused(reply, request, token)

    async def _undone(self, token: Awaitable[Token]) -> Token:
        """The token; without one, the request that needs it is not carried out."""
        try:
            return await token
        except IceyeError as error:
            error.undone = True
            raise

    def _refused(self, reply: Reply, request: Request, token: Token) -> IceyeError:
        error = replies.error(reply, request, (token.value,))
        if isinstance(error, RateLimited):
            self._slow_down(error)
        if isinstance(error, ServerError):
            self._failed(error)
        return error

    def _failed(self, error: IceyeError) -> None:
        """Say once that nothing works any more: whoever polls for days does not see single errors."""
        self._failures += 1
        if self._failures == _OUTAGE:
            log.warning("the service fails", extra={"failures": _OUTAGE, "error": str(error)})

    def _recovered(self) -> None:
        if self._failures >= _OUTAGE:
            log.info("the service answers again", extra={"failures": self._failures})
        self._failures = 0

    async def _exchange(
        self, http: aiohttp.ClientSession, request: Request, url: URL, token: Token, patience: float, polling: bool
    ) -> Reply:
        data = None if request.body is None else json.dumps(request.body).encode()
        if self._slots.locked() or self._limit.busy:
            await self._queue(patience, polling)
        else:
            await self._slots.acquire()
            self._limit.take()
        try:
            if self._closed:
                raise StateError(f"{request.method} {url.path}: the client was closed meanwhile")
            reply = await exchange(
                http,
                request.method,
                url,
                headers=self._headers_with(token, json_body=data is not None),
                watch=self._long_watch if request.slow else self._watch,
                options=self.route.options(url),
                data=data,
                witness=self.witness,
            )
        except TransportError as error:
            self._failed(error)
            if self._closed or http.closed:
                whose = "the client" if self._closed else "http="
                perhaps = "" if request.repeatable else "; it may have been carried out all the same"
                raise StateError(f"{request.method} {url.path}: {whose} was closed meanwhile{perhaps}") from None
            raise
        finally:
            self._slots.release()
        if (date := reply.headers.get("Date")) is not None:
            self._date = (date, self.clock.now())
        elif self._date is not None:
            reply = reply._replace(at=self.wall())
        return reply

    async def _queue(self, patience: float, polling: bool) -> None:
        """Come back when a request may go out: calls in the order of arrival, and one look at a time among them."""
        if self._limit.paused > patience:
            raise self._throttled()
        with self.stay(self._limit, patience):
            if polling:
                async with self._looks:
                    await self._place(patience)
            else:
                await self._place(patience)

    async def _place(self, patience: float) -> None:
        await self._slots.acquire()
        allowed = False
        try:
            allowed = await self._limit.turn(patience)
        finally:
            if not allowed:
                self._slots.release()
        if not allowed:
            raise self._throttled()

    @property
    def witness(self) -> Witness | None:
        """Who is to be told of each request; None where nobody would hear it."""
        return self.asked if self.listener is not None or log.isEnabledFor(logging.DEBUG) else None

    def asked(self, method: str, url: URL, seconds: float, outcome: int | IceyeError) -> None:
        """Log a request to any host, and tell of it: without its query, which may be a signature."""
        status, error = (outcome, None) if isinstance(outcome, int) else (None, outcome)
        facts = {"method": method, "host": url.host, "path": url.path, "seconds": round(seconds, 3)}
        if error is None:
            log.debug("reply", extra={**facts, "status": status})
        else:
            log.debug("no reply", extra={**facts, "error": type(error).__name__})
        if self.listener is not None:
            self.listener.requested(method, url.host or "", url.path, status, error, seconds)

    def _headers_with(self, token: Token, *, json_body: bool) -> Hidden:
        known, headers = self._headers
        if known is not token:
            headers = Hidden(_HEADERS, Authorization=f"Bearer {token.value}")
            self._headers = (token, headers)
        return Hidden(headers, **{"Content-Type": "application/json"}) if json_body else headers

    # --- slowing down ------------------------------------------------------------------------------------------

    def _slow_down(self, error: RateLimited) -> None:
        """A 429 for one caller is a 429 for all: nobody asks until the service allows it again."""
        policy = self._retry_policy
        own = min(policy.first * 2.0 ** min(self._throttles, 30), policy.ceiling)
        self._throttles += 1
        # Also where it asks for no pause at all: who was refused slows down.
        seconds = max(error.retry_after or 0.0, own * (1 + random.random()))  # noqa: S311 - no secret
        self._limit.pause(seconds)
        self._watch.dismiss(self._limit, seconds, self._throttled())
        if self.listener is not None:
            self.listener.throttled(seconds)

    def _throttled(self) -> RateLimited:
        seconds = self._limit.paused
        message = (
            f"the service has asked this client to stay away for another {seconds:.0f} s; call again after .retry_after"
        )
        return RateLimited(message, status=429, retry_after=seconds)

    # --- the token ---------------------------------------------------------------------------------------------

    async def _new_token(self, stale: Token | None) -> Token:
        source = self._source
        if isinstance(source, ClientCredentials):
            token = await self._ask_for_token(source)
        else:
            token = checked(await source.token(None if stale is None else stale.value))
        if self.listener is not None and not isinstance(source, FixedToken):
            self.listener.renewed(token.life)
        return token

    async def _ask_for_token(self, source: ClientCredentials) -> Token:
        http = self.open()

        async def attempt() -> Token:
            if self._limit.busy and self._limit.paused == 0:
                # A service that is down is not asked for tokens more often than for anything else.
                await self._limit.turn(PATIENCE)
            else:
                self._limit.take()
            try:
                return await source.ask(http, self.route, self._watch, self.witness)
            except RateLimited as error:
                self._bearer.refused(error)
                raise
            except (TransportError, ServerError) as error:
                self._failed(error)
                if isinstance(error, ServerError) and error.retry_after is not None:
                    self._bearer.refused(error)
                raise

        try:
            return await self._traced(source.request, self._repeats.persist(attempt, source.request))
        except IceyeError as error:
            # The call that needs the token is not to repeat what was repeated already.
            error.given_up = True
            raise

    def _trace_configs(self) -> list[aiohttp.TraceConfig]:
        return [] if self.tracing is None else [self.tracing.requests()]


def _tracing() -> "Tracing | None":
    """The application's tracing, where it has any: loaded for nobody else."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from .tracing import Tracing

    return Tracing()


@lru_cache(maxsize=2048)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _refuse_default_credentials(http: aiohttp.ClientSession | None, link_http: aiohttp.ClientSession | None) -> None:
    """aiohttp adds what a session holds to every request, and a request cannot take it away again."""
    for name, borrowed in (("http", http), ("link_http", link_http)):
        if borrowed is None:
            continue
        if not isinstance(borrowed, aiohttp.ClientSession) or borrowed.closed:
            raise UsageError(f"{name}= is an aiohttp.ClientSession that is open")
        if borrowed.trust_env:
            raise UsageError(f"{name}= has trust_env, which takes credentials from .netrc; make it without, use proxy=")
    if http is not None and http.auth is not None:
        raise UsageError("http= has an auth of its own, which would replace the access token; make it without auth=")
    if link_http is None:
        return
    sent = {"Authorization", "Cookie", "Proxy-Authorization"}.intersection(name.title() for name in link_http.headers)
    if link_http.auth is not None or sent:
        raise UsageError("link_http= has credentials of its own, which would go to the link host; make it without them")
