"""How the client signs in: token sources, and the one that is kept and renewed.

Sources: the API pages "Authentication" and "Manage access tokens": OAuth 2 client credentials, HTTP Basic, form body,
no scope; a token "typically" lives an hour, and is best renewed five minutes early.
"""

import asyncio
import base64
import copy
import math
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol, runtime_checkable

import aiohttp
from attrs import field, frozen
from yarl import URL

from .clock import Clock
from .errors import (
    ApiError,
    DecodeError,
    IceyeError,
    NotPicklable,
    RateLimited,
    ServerError,
    StateError,
    TransportError,
    UsageError,
)
from .exchange import Hidden, Route, Witness, exchange, new_session
from .protocol import replies
from .protocol.links import is_local
from .protocol.replies import Reply
from .protocol.requests import Request
from .watch import Watch

_UNSTATED_LIFE = 300.0
"""Seconds that a token is taken to live where its answer does not say so in a way that makes sense."""
_LONGEST_LIFE = 30 * 86_400.0
_EARLY = 300.0
_FAREWELL = 3.0
"""Seconds that closing waits for a renewal to stop."""
_GRACE = 2.0
"""Seconds that a call waits for an early renewal, which it has begun, while the old token is still good."""
_COOL_OFF = 10.0
"""Seconds between two early renewals, where the first failed and the old token is still good."""


@frozen
class Token:
    """An access token, and the seconds it lives from now on."""

    value: str = field(repr=False)
    expires_in: float = _UNSTATED_LIFE

    def __attrs_post_init__(self) -> None:
        flaw = _token_flaw(self.value)
        if flaw is not None:
            raise UsageError(flaw)

    @property
    def life(self) -> float:
        """`expires_in`, where it makes sense."""
        seconds = self.expires_in
        return min(seconds, _LONGEST_LIFE) if 0 < seconds < math.inf else _UNSTATED_LIFE

    @property
    def useful(self) -> float:
        """Seconds until it is renewed: `min(300 s, 20 % of its life)` before it ends."""
        return self.life - min(_EARLY, 0.2 * self.life)

    def __reduce__(self) -> NoReturn:
        raise NotPicklable("a Token holds a secret and is not pickled or copied")


@runtime_checkable
class TokenSource(Protocol):
    """Where tokens come from. Called once at a time by each client, and again only when the last one is used up."""

    async def token(self, stale: str | None) -> Token:
        """A token; not `stale`, which the service refused, unless there is no other."""
        ...


def token_source(auth: object) -> TokenSource | UsageError:
    """Where tokens come from; or an error, for a frame to raise that does not hold the token."""
    if not isinstance(auth, str):
        if isinstance(auth, TokenSource):
            return auth
        return UsageError("auth is an access token, ClientCredentials, or another object with an async token(stale)")
    flaw = _token_flaw(auth)
    return FixedToken(auth) if flaw is None else UsageError(flaw)


def _token_flaw(value: object) -> str | None:
    """Why this token cannot be sent in a header, or None where it can."""
    if not isinstance(value, str) or not value:
        return "the access token is empty; pass auth='...' or a TokenSource"
    if value.lower().startswith("bearer "):
        return "give the access token alone, without the word Bearer before it"
    if value[0] in "'\"":
        return "the access token stands in quotes; give it without them"
    if not value.isascii() or not value.isprintable() or " " in value:
        return "the access token holds a line break, a space or a character that no header can hold"
    return None


def check_url(url: str, name: str) -> URL:
    """The URL, if credentials may be sent there: https, or http to this machine."""
    try:
        parsed = URL(url)
        plain = parsed.user is None and parsed.password is None and not parsed.query and not parsed.fragment
        usable = parsed.scheme in {"http", "https"} and parsed.host and plain
    except (ValueError, TypeError):
        usable = False
    if not usable:
        raise UsageError(f"{name} is an https URL such as 'https://host.example/path', without user name and query")
    if parsed.scheme == "http" and not is_loopback(parsed):
        raise UsageError(f"{name} is http, which would show the credentials to the network; use https")
    return parsed


def is_loopback(url: URL) -> bool:
    """Whether the URL leads to this machine."""
    host = url.host or ""
    return host == "localhost" or (is_local(host) and (host.startswith("127.") or host == "::1"))


class FixedToken:
    """A token that somebody else got, and that nobody here can renew."""

    def __init__(self, value: str) -> None:
        self._token = Token(value, 86_400.0)

    async def token(self, stale: str | None) -> Token:  # noqa: ARG002 - there is no other
        return self._token


class ClientCredentials:
    """OAuth 2 client credentials: the three values that ICEYE gives to a customer.

    Renewal, waiting and repeating are the client's; used alone, `token()` asks once over a connection of its own.
    Raises `UsageError` for an empty value or a token URL that is neither https nor on this machine.
    """

    def __init__(self, token_url: str, client_id: str, client_secret: str) -> None:
        flaw = _credential_flaw(client_id, "client_id") or _credential_flaw(client_secret, "client_secret")
        self._secrets = Hidden(basic=_basic(client_id, client_secret) if flaw is None else "", secret=client_secret)
        # From here on no local holds it: error reporters print the locals of a traceback.
        del client_secret
        if flaw is not None:
            raise UsageError(flaw)
        self._url = check_url(token_url, "token_url")
        self.client_id = client_id
        self._headers = Hidden(
            {
                "Authorization": f"Basic {self._secrets['basic']}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json, application/problem+json",
                "Cache-Control": "no-cache",
            }
        )
        self.request = Request("POST", self._url.path, absent=ApiError)

    def __repr__(self) -> str:
        # An error reporter may show it before it is made, where it was refused.
        origin = str(self._url.origin()) if hasattr(self, "_url") else "refused"
        return f"ClientCredentials({origin!r}, ...)"

    def __reduce__(self) -> NoReturn:
        raise NotPicklable("ClientCredentials hold a secret and are not pickled; make them where they are used")

    async def token(self, stale: str | None = None) -> Token:  # noqa: ARG002 - every answer is a new one
        """Ask for a token once. Raises `ApiError`, `TransportError` or `DecodeError`."""
        async with new_session() as http:
            return await self.ask(http, Route(), Watch(60.0))

    async def ask(
        self, http: aiohttp.ClientSession, route: Route, watch: Watch, witness: Witness | None = None
    ) -> Token:
        """Ask for a token once, over this HTTP session."""
        reply = await exchange(
            http,
            "POST",
            self._url,
            headers=self._headers,
            watch=watch,
            options=route.options(self._url),
            data=b"grant_type=client_credentials",
            witness=witness,
        )
        answer = self._read(reply)
        if isinstance(answer, IceyeError):
            raise answer
        return answer

    def _read(self, reply: Reply) -> Token | IceyeError:
        """The token, or the error to raise where no local of a frame holds what came."""
        if reply.status != 200:
            return self._refused(reply)
        try:
            document = replies.document(reply)
        except DecodeError as error:
            error.args = (f"token endpoint: {error}; check token_url",)
            return error
        value = document.get("access_token") if isinstance(document, dict) else None
        message = "the token endpoint answered without an access_token; check token_url"
        if isinstance(value, str):
            if _token_flaw(value) is None:
                return Token(value, _seconds(document.get("expires_in")))
            message = "the token endpoint gave a token that no header can hold"
        return DecodeError(message, where=("$.access_token",))

    def _refused(self, reply: Reply) -> IceyeError:
        check = "token_url" if reply.status in {404, 405} else "client_id and client_secret"
        step = f"check {check}" if 300 <= reply.status < 429 else ""
        error = replies.error(reply, self.request, self._secrets.values(), step)
        error.args = (f"token endpoint: {error}",)
        return error


def _credential_flaw(value: object, name: str) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return f"{name} is empty"
    if value != value.strip() or "\n" in value or "\r" in value:
        return f"{name} begins or ends with a space, or holds a line break; was it read from a file?"
    return f"{name} is not text in UTF-8" if any("\ud800" <= char <= "\udfff" for char in value) else None


def _basic(client_id: str, client_secret: str) -> str:
    return base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


def _seconds(value: object) -> float:
    """`expires_in` as servers send it: a number, or a string of digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _UNSTATED_LIFE
    try:
        return float(value)
    except (ValueError, OverflowError):
        return _UNSTATED_LIFE


def checked(token: object) -> Token:
    """The token, if a token source gave one."""
    if not isinstance(token, Token) or not isinstance(token.expires_in, int | float):
        raise UsageError("the token source gave no Token(value, expires_in), with seconds as a number")
    return token


class Bearer:
    """The client's token: got when first needed, renewed early, by one request however many callers wait for it."""

    def __init__(self, get: Callable[[Token | None], Awaitable[Token]], clock: Clock, watch: Watch) -> None:
        self._get = get
        self._clock = clock
        self._watch = watch
        self._token: Token | None = None
        self._renew_at = 0.0
        self._ends_at = 0.0
        self._renewal: asyncio.Task[Token] | None = None
        self._refusal: RateLimited | ServerError | None = None
        self._refused_until = 0.0
        self._closed = False

    def __repr__(self) -> str:
        return "Bearer(...)"

    @property
    def fresh(self) -> Token | None:
        """The token, where it need not be renewed yet."""
        return self._token if self._token is not None and self._clock.now() < self._renew_at else None

    async def token(self, patience: float) -> Token:
        """A token that is good now. Where an early renewal fails or takes its time, the old one until its end.

        Raises `RateLimited` where the token endpoint asks to be left alone for more than `patience` seconds.
        """
        old = self._token
        if old is None or self._clock.now() >= self._ends_at:
            return await self._renewed(None, patience)
        if self._renewing is not None:
            return old
        try:
            async with asyncio.timeout(_GRACE) as bound:
                return await self._renewed(None, patience)
        except TimeoutError:
            if not bound.expired():
                raise
        except IceyeError as error:
            if not error.transient or self._clock.now() >= self._ends_at:
                raise
            self._renew_at = self._clock.now() + _COOL_OFF
        return old

    async def instead_of(self, refused: Token, patience: float) -> Token:
        """A token other than the one that the service refused, from one renewal for all whom it refused."""
        if self._token is not None and self._token is not refused:
            return self._token
        return await self._renewed(refused, patience)

    def refused(self, refusal: RateLimited | ServerError) -> None:
        """The token endpoint asks to be left alone: nobody asks it before it allows it, whoever it was said to."""
        seconds = refusal.retry_after or 0.0
        self._refusal, self._refused_until = refusal, self._clock.now() + seconds
        self._watch.dismiss(self, seconds, refusal)

    @property
    def _renewing(self) -> asyncio.Task[Token] | None:
        """The renewal that is under way."""
        return None if self._renewal is None or self._renewal.done() else self._renewal

    async def _renewed(self, stale: Token | None, patience: float) -> Token:
        wait = self._refused_until - self._clock.now()
        if self._refusal is not None and wait > (0.0 if self._renewing is None else patience):
            refusal = copy.copy(self._refusal)
            refusal.retry_after = wait
            raise refusal
        renewal = self._renewing
        if renewal is None:
            self._renewal = renewal = asyncio.create_task(self._renew(stale))
            # A renewal that nobody waits for any more may fail in silence: the next call starts another.
            renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        # Waited for, not awaited: who started it may be cancelled, and all the others still get the token.
        with self._watch.stay(self, patience):
            await asyncio.wait([renewal])
        if renewal.cancelled():
            raise (
                StateError("the client was closed while it was getting a token")
                if self._closed
                else IceyeError("the token source was cancelled before it gave a token")
            )
        error = renewal.exception()
        if isinstance(error, IceyeError):
            # Thousands may wait: each raises an error of its own, for tracebacks grow with every raise.
            raise copy.copy(error) from error.__cause__
        return renewal.result()

    async def _renew(self, stale: Token | None) -> Token:
        try:
            token = await self._get(stale)
            now = self._clock.now()
            # A new object for each renewal, also where its source gave the same token again: who was refused with the
            # one before it sees that it was renewed meanwhile, and does not renew it once more.
            self._token = Token(token.value, token.expires_in)
            self._renew_at, self._ends_at = now + token.useful, now + token.life
            self._refusal = None
        except RateLimited as error:
            self.refused(error)
            raise
        except IceyeError:
            raise
        except Exception as error:
            # From a token source of the caller's: what it raises may be anything, what leaves a call here may not.
            message = f"the token source failed with {type(error).__name__}, which hangs on this error as its cause"
            kind = TransportError if isinstance(error, OSError) else IceyeError
            raise kind(message) from error
        return self._token

    async def close(self) -> None:
        """Stop a renewal that is under way."""
        self._closed = True
        renewal = self._renewing
        if renewal is not None:
            renewal.cancel()
            # A token source may take its time to give up, or never do; closing does not.
            await asyncio.wait([renewal], timeout=_FAREWELL)
