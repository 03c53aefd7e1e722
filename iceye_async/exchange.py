"""One HTTP exchange over aiohttp: what is sent, and the reply or a `TransportError`.

aiohttp's own errors never get out, not even as a cause: their text holds whole URLs, their repr holds headers, and so
signatures and tokens. Redirects are never followed.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from typing import Any, TypeAlias

# Both are in the standard library; typeshed knows only the first.
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
from yarl import URL

from .errors import DecodeError, IceyeError, ProxyError, TlsError, TransportError, UsageError
from .protocol.replies import Reply
from .watch import Watch

BODY_CAP = 64 * 1024 * 1024
"""Bytes, decoded. A longer body of the API or the token endpoint is an error."""

_CHECK_PROXY = "check proxy=, or HTTPS_PROXY in the environment"
_UNBOUNDED = aiohttp.ClientTimeout(total=None, sock_connect=None)
FOREIGN: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, ValueError, RuntimeError, EOFError)


class Hidden(dict[str, Any]):
    """Headers and options that hold a token or a proxy's password: only the keys are shown.

    Error reporters print the locals of every frame in a traceback.
    """

    def __repr__(self) -> str:
        return f"<hidden: {', '.join(self)}>"


Witness: TypeAlias = Callable[[str, URL, float, int | IceyeError], None]
"""Is told of a request: method, URL, the seconds it took, and the status or the error that came of it."""


class Route:
    """How other hosts are reached: through a proxy or not, and trusting which certificates.

    `bypass` is true for a URL that is reached without the proxy.
    """

    def __init__(
        self,
        proxy: str | None = None,
        ssl: SSLContext | None = None,
        bypass: Callable[[URL], bool] | None = None,
    ) -> None:
        self._bypass = bypass
        self._direct = Hidden() if ssl is None else Hidden(ssl=ssl)
        self._proxied = self._direct if proxy is None else Hidden(self._direct, proxy=proxy)

    def options(self, url: URL) -> Hidden:
        """The keyword arguments that aiohttp takes for it."""
        return self._direct if self._bypass is not None and self._bypass(url) else self._proxied


def environment_route() -> Route:
    """The proxy that HTTPS_PROXY names, but for the hosts in NO_PROXY. Read once: aiohttp would for each request."""
    proxies = Hidden(getproxies_environment())
    route = proxied(
        proxies.get("https"),
        "HTTPS_PROXY",
        bypass=lambda url: url.scheme != "https" or bool(proxy_bypass_environment(url.host or "", proxies)),
    )
    if isinstance(route, UsageError):
        raise route
    return route


def proxied(
    proxy: str | None, name: str, ssl: SSLContext | None = None, bypass: Callable[[URL], bool] | None = None
) -> Route | UsageError:
    """The way through the proxy, where there is one; or an error, for a frame to raise that does not hold it."""
    usable = proxy is None
    with contextlib.suppress(ValueError, TypeError):
        usable = usable or (URL(proxy or "").scheme in {"http", "https"} and URL(proxy or "").host is not None)
    if not usable:
        return UsageError(f"{name} is an http or https URL such as 'http://proxy.example:3128'")
    return Route(proxy, ssl, bypass)


def new_session(trace_configs: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
    """An HTTP session that keeps no cookies, reads no environment and sends no headers of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_UNBOUNDED,
        trust_env=False,
        trace_configs=list(trace_configs),
    )


def new_link_session(trace_configs: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
    """The same for signed links, whose bytes are taken as they come, for as long as they keep coming."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_UNBOUNDED,
        trust_env=False,
        trace_configs=list(trace_configs),
        auto_decompress=False,
        read_bufsize=2**18,
    )


async def exchange(
    http: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    headers: Mapping[str, str],
    watch: Watch,
    options: Mapping[str, Any],
    data: bytes | None = None,
    witness: Witness | None = None,
) -> Reply:
    """Send one request and read the whole reply. Raises `TransportError`, or `DecodeError` for a body over the cap."""
    began = 0.0 if witness is None else time.monotonic()
    try:
        with watch.bound():
            response = await http.request(
                method,
                url,
                headers=headers,
                data=data,
                allow_redirects=False,
                raise_for_status=False,
                timeout=_UNBOUNDED,
                auto_decompress=True,
                **options,
            )
            try:
                body = await _read(response)
            finally:
                if response.connection is not None:
                    # Not read to its end: the connection must not be used again.
                    response.close()
    except asyncio.CancelledError as cancelled:
        # What follows from it outside, a `TimeoutError` for instance, must not lead to frames that hold headers.
        raise cancelled.with_traceback(None) from None
    except FOREIGN as error:
        failure: IceyeError = translated(error, f"{method} {url.path}", url.host, watch.seconds)
    else:
        if body is None and response.status >= 300:
            # Of an error the status counts, and what it says in so many words need not be read.
            body = b""
        if body is not None:
            if witness is not None:
                witness(method, url, time.monotonic() - began, response.status)
            return Reply(response.status, response.headers, body, time.time())
        failure = DecodeError(f"{method} {url.path}: the answer is longer than {BODY_CAP // 2**20} MiB", where=("$",))
    if witness is not None:
        witness(method, url, time.monotonic() - began, failure)
    try:
        raise failure
    finally:
        # A frame that holds its own error would live until the garbage is collected.
        del failure


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, decoded; None where it is longer than the cap."""
    content = response.content
    chunk = await content.readany()
    if content.at_eof() and len(chunk) <= BODY_CAP:
        return chunk
    body = bytearray(chunk)
    while len(body) <= BODY_CAP:
        chunk = await content.readany()
        if not chunk:
            return bytes(body)
        body += chunk
    return None


def translated(error: Exception, asked: str, host: str | None, timeout: float) -> TransportError:
    """The error of aiohttp or the system as one of ours, in words that hold no address, header or proxy.

    `host` is the one that was asked, as the link or the URL has it.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return tls_failed(asked, error)
        case aiohttp.ClientHttpProxyError():
            return proxy_refused(asked, error.status)
        case aiohttp.ClientProxyConnectionError():
            return proxy_refused(asked)
        case aiohttp.ClientConnectorDNSError():
            return name_unknown(asked, of_proxy=error.host != host)
        case aiohttp.ClientConnectorError():
            return no_connection(asked, error.os_error)
        case TimeoutError():
            return TransportError(f"{asked}: no whole reply within {timeout:g} s")
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | ConnectionError() | EOFError():
            return TransportError(f"{asked}: the connection broke before the reply was whole")
        case aiohttp.ClientResponseError():
            return TransportError(f"{asked}: the reply is not HTTP")
        case _:
            return TransportError(f"{asked}: no reply ({type(error).__name__})")


def tls_failed(asked: str, error: Exception) -> TlsError:
    """The other side could not prove who it is."""
    reason = _tls_reason(error)
    return TlsError(f"{asked}: TLS failed: {reason}{_tls_step(reason)}", sent=False)


def proxy_refused(asked: str, status: int | None = None) -> TransportError:
    """There is no way through the proxy: it said so with this status, or it cannot be reached."""
    if status is None or status >= 500:
        return TransportError(f"{asked}: the proxy refused or cannot be reached; {_CHECK_PROXY}", sent=False)
    why = "wants a user name and a password" if status == 407 else "does not let this pass"
    return ProxyError(f"{asked}: the proxy {why} ({status}); {_CHECK_PROXY}", sent=False)


def name_unknown(asked: str, *, of_proxy: bool) -> TransportError:
    """The name of the host, or of the proxy, has no address."""
    if of_proxy:
        return TransportError(f"{asked}: the name of the proxy cannot be resolved; {_CHECK_PROXY}", sent=False)
    return TransportError(f"{asked}: the host name cannot be resolved; check the address and the network", sent=False)


def no_connection(asked: str, error: OSError) -> TransportError:
    """Nobody answers at the address."""
    reason = error.strerror or type(error).__name__
    return TransportError(f"{asked}: no connection ({reason}); check the address and the network", sent=False)


def _tls_step(reason: str) -> str:
    if "mismatch" in reason:
        return "; the certificate is for another name, check the address"
    if "WRONG_VERSION_NUMBER" in reason or "record layer" in reason:
        return "; the other side does not speak TLS, check scheme and port of the address"
    return "; a company CA goes into ssl="


def _tls_reason(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or type(inner).__name__)
