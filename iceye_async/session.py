"""The session: requests of the API, with token, limits and retries, as replies or typed errors.

The token is set on each request and goes to the API's origin only. A single call repeats what may be repeated; a wait
does not, there the next look is the retry.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import aiohttp
from yarl import URL

from ._version import __version__
from .auth import Bearer, ClientCredentials, FixedToken, Token, TokenSource, check_url, is_loopback
from .clock import AsyncioClock, Clock
from .errors import IceyeError, RateLimited, StateError, TransportError, UsageError
from .exchange import Route, exchange, new_link_session, new_session
from .limits import RateLimit
from .protocol import replies
from .protocol.replies import Reply
from .protocol.requests import Request
from .protocol.retrying import PATIENCE, RetryPolicy, again
from .watch import Watch

A = TypeVar("A")

log = logging.getLogger("iceye_async")

USER_AGENT = f"iceye-async/{__version__}"
_HEADERS = {
    "Accept": "application/json, application/problem+json",
    # A caching proxy would answer a look with yesterday's 404.
    "Cache-Control": "no-cache",
    "User-Agent": USER_AGENT,
}


class Session:
    """What the resources and waits of one client share. Opened by its first use, in that event loop."""

    def __init__(
        self,
        base_url: str,
        *,
        auth: str | TokenSource,
        http: aiohttp.ClientSession | None,
        link_http: aiohttp.ClientSession | None,
        retry: RetryPolicy,
        rate_limit: float | None,
        in_flight: int,
        timeout: float,
        route: Route,
        clock: Clock | None,
    ) -> None:
        self._base = check_url(base_url, "base_url")
        if "/api/" in f"{self._base.path}/":
            raise UsageError("base_url is what stands before /api in the API's addresses, such as its host alone")
        self._root = str(self._base).rstrip("/")
        self._source = FixedToken(auth) if isinstance(auth, str) else auth
        if not isinstance(self._source, TokenSource):
            raise UsageError("auth is an access token, ClientCredentials, or another object with an async token(stale)")
        self._borrowed, self._borrowed_for_links = http, link_http
        _refuse_default_credentials(http, link_http)
        self._retry_policy = retry
        self._watch = Watch(timeout)
        self.route = route
        self.clock: Clock = AsyncioClock() if clock is None else clock
        self.local = is_loopback(self._base)
        self._bearer = Bearer(self._new_token, self.clock)
        self._headers: tuple[Token | None, dict[str, str]] = (None, {})
        self._limit = RateLimit(rate_limit, self.clock)
        self._slots = asyncio.Semaphore(in_flight)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: aiohttp.ClientSession | None = None
        self._links: aiohttp.ClientSession | None = None
        self._closed = False
        self._date: tuple[str, float] | None = None
        self._throttles = 0

    def __repr__(self) -> str:
        return f"<Session of {self.origin}>"

    @property
    def origin(self) -> str:
        """The API's scheme, host and port."""
        return str(self._base.origin())

    # --- life --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `StateError` where the client cannot be used: closed, or from another event loop than before."""
        if self._closed:
            raise StateError("the client is closed; make a new Client, or keep the work inside its `async with`")
        if self._loop is not None and _running_loop() not in {None, self._loop}:
            raise StateError(
                "the client belongs to another event loop; make one Client per event loop (one asyncio.run)"
            )

    def open(self) -> aiohttp.ClientSession:
        """The HTTP session for the API, made at first use."""
        if self._http is None or self._closed or asyncio.get_running_loop() is not self._loop:
            self.check()
            self._loop = asyncio.get_running_loop()
            self._http = new_session() if self._borrowed is None else self._borrowed
        return self._http

    def open_links(self) -> aiohttp.ClientSession:
        """The HTTP session for signed links: without cookies, token and default headers."""
        self.open()
        if self._links is None:
            self._links = new_link_session() if self._borrowed_for_links is None else self._borrowed_for_links
        if self._borrowed_for_links is not None and any(True for _ in self._links.cookie_jar):
            raise UsageError("link_http= holds cookies, which may go to the link host; give it a DummyCookieJar")
        return self._links

    @property
    def is_open(self) -> bool:
        """Whether there is something that only `close()` ends."""
        return self._http is not None and not self._closed

    async def close(self) -> None:
        """End what was opened here. What was borrowed stays open."""
        self._closed = True
        await self._bearer.close()
        self._watch.close()
        if self._http is not None and self._borrowed is None:
            await self._http.close()
        if self._links is not None and self._borrowed_for_links is None:
            await self._links.close()

    # --- wall time ---------------------------------------------------------------------------------------------

    def wall(self) -> float:
        """Seconds since the epoch as the service has them: the Date of its last reply, and the time since."""
        if self._date is not None:
            heard = replies.http_date(self._date[0])
            if heard is not None:
                return heard + self.clock.now() - self._date[1]
        return time.time()

    # --- requests ----------------------------------------------------------------------------------------------

    def url(self, request: Request) -> URL:
        """Where the request goes, ready to be sent as it stands."""
        return _url(self._root + request.path)

    async def call(self, request: Request, read: Callable[[Reply], A]) -> A:
        """Send, repeating what may be repeated, and read the answer. Raises any `IceyeError` of the session layer."""
        try:
            return read(await self.send(request))
        except IceyeError as error:
            failed = error

        async def attempt() -> A:
            return read(await self.send(request))

        return await self._persist(attempt, request, failed)

    async def _persist(
        self, attempt: Callable[[], Awaitable[A]], request: Request, first: IceyeError | None = None
    ) -> A:
        """What the first attempt that succeeds gives, or the error of the last one that was worth making.

        `first` is the error of an attempt that was made already: most calls never pay for what is set up here.
        """
        import backoff

        failed = [] if first is None else [first]
        waits = self._retry_policy.waits(random.random)
        next(waits)

        async def one_more() -> A:
            if failed:
                raise failed.pop()
            return await attempt()

        async def pause(details: Any) -> None:
            # backoff itself can only sleep on asyncio's clock: it waits 0 s, and the wait is here.
            await self.clock.sleep(waits.send(details["exception"]))

        retry = backoff.on_exception(
            backoff.constant,
            IceyeError,
            max_tries=self._retry_policy.tries,
            giveup=lambda error: not again(request, cast("IceyeError", error)),
            on_backoff=pause,
            jitter=None,
            logger=None,
            interval=0,
        )
        return await retry(one_more)()

    async def send(self, request: Request, patience: float = PATIENCE) -> Reply:
        """Send once (and once more with a new token after a 401). The reply is one of the request's answers.

        Raises `RateLimited` where the service has asked this client to stay away for longer than `patience` seconds.
        """
        self.open()
        url = self.url(request)
        token = self._bearer.fresh or await self._bearer.token()
        reply = await self._exchange(request, url, token, patience)
        if reply.status == 401:
            renewed = await self._bearer.instead_of(token)
            if renewed.value != token.value:
                token, reply = renewed, await self._exchange(request, url, renewed, patience)
        if reply.status in request.answers:
            self._throttles = 0
            return reply
        error = replies.error(reply, request, (token.value,))
        if isinstance(error, RateLimited):
            self._slow_down(error)
        raise error

    async def _exchange(self, request: Request, url: URL, token: Token, patience: float) -> Reply:
        data = None if request.body is None else json.dumps(request.body).encode()
        await self._slots.acquire()
        try:
            if not self._limit.idle and not await self._limit.turn(patience):
                raise self._throttled()
            reply = await exchange(
                self.open(),
                request.method,
                url,
                headers=self._headers_with(token, json_body=data is not None),
                watch=self._watch,
                options=self.route.options(url),
                data=data,
            )
        except TransportError as error:
            if self._closed:
                raise StateError(f"{request.method} {url.path}: the client was closed meanwhile") from None
            log.debug("no reply", extra={"method": request.method, "path": url.path, "error": type(error).__name__})
            raise
        finally:
            self._slots.release()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("reply", extra={"method": request.method, "path": url.path, "status": reply.status})
        if (date := reply.headers.get("Date")) is not None:
            self._date = (date, self.clock.now())
        return reply

    def _headers_with(self, token: Token, *, json_body: bool) -> dict[str, str]:
        known, headers = self._headers
        if known is not token:
            headers = {**_HEADERS, "Authorization": f"Bearer {token.value}"}
            self._headers = (token, headers)
        return {**headers, "Content-Type": "application/json"} if json_body else headers

    # --- slowing down ------------------------------------------------------------------------------------------

    def _slow_down(self, error: RateLimited) -> None:
        """A 429 for one caller is a 429 for all: nobody asks until the service allows it again."""
        policy = self._retry_policy
        own = min(policy.first * 2.0 ** min(self._throttles, 30), policy.ceiling)
        self._throttles += 1
        self._limit.pause(own if error.retry_after is None else error.retry_after)

    def _throttled(self) -> RateLimited:
        seconds = self._limit.paused
        message = (
            f"the service has asked this client to stay away for another {seconds:.0f} s; call again after .retry_after"
        )
        return RateLimited(message, status=429, retry_after=seconds)

    # --- the token ---------------------------------------------------------------------------------------------

    async def _new_token(self, stale: str | None) -> Token:
        source = self._source
        if not isinstance(source, ClientCredentials):
            return await source.token(stale)
        http = self.open()
        try:
            return await self._persist(lambda: source.ask(http, self.route, self._watch), source.request)
        except IceyeError as error:
            # The call that needs the token is not to repeat what was repeated already.
            error.given_up = True
            raise


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
