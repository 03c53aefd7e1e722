"""One GET of a signed link, for a thread that waits for it.

aiohttp reads a large body in the event loop, where it costs twice the CPU of curl and holds up everything else; a
thread that reads into one buffer costs as much as curl (`benchmarks/download.py`). So files come over the standard
library's `http.client`. aiohttp has them where `link_http=` is borrowed, and behind a proxy that is itself reached over
TLS, which `http.client` cannot do. Either way nothing but the link, a range and our name is sent.
"""

import asyncio
import base64
import contextlib
import http.client
import io
import re
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import aiohttp
from yarl import URL

from ..errors import DownloadError, IceyeError, TransportError
from ..exchange import FOREIGN, Hidden, name_unknown, no_connection, proxy_refused, tls_failed, translated
from ..protocol.links import is_local, mask
from ..session import USER_AGENT, Session
from .crew import Crew

STALL = 60.0
"""Seconds without a byte after which a connection is taken for dead."""
CONNECT = 10.0
"""Seconds for each address of a host, and for a TLS handshake."""
IDLE = 20.0
"""Seconds that a connection is kept for the next file."""
_MOST_IDLE = 8
_BODY = "the file on its way"
_SOON = 0.1
"""Seconds in which bytes are gathered for one piece: few large writes cost a third of many small ones."""

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)

# What http.client raises beside OSError. RuntimeError is not among them: that would be a mistake of ours.
_BROKEN = (http.client.HTTPException, OSError, ValueError, EOFError)


class Surplus(Exception):
    """The host sends more than it said."""


class Answer(Protocol):
    """An answer whose body is read piece by piece."""

    status: int
    headers: "Headers"
    decrypts: bool
    """Whether reading it is work."""

    def readinto(self, view: memoryview) -> int:
        """Fill the view from its beginning, as far as that goes soon; how much came, 0 at the end.

        Raises `TransportError` where it breaks, after everything was given that came before.
        """
        ...

    def interrupt(self) -> None:
        """End what another thread is waiting for in `readinto`."""
        ...

    def close(self) -> None:
        """Let go of the connection: for the next request where the body was read to its end, else for good."""
        ...


class Headers:
    """Headers of an answer, found without regard to case. Of several with one name, `get` finds the first."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in items:
            self._all.setdefault(name.lower(), []).append(value.strip())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._all

    def __getitem__(self, name: str) -> str:
        return self._all[name.lower()][0]

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default."""
        return next(iter(self.getall(name)), default)

    def getall(self, name: str, default: Iterable[str] = ()) -> Iterable[str]:
        """All values with this name."""
        return self._all.get(name.lower(), default)


class Links:
    """How the links of one client are fetched, and the connections that are kept between two of them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._idle: list[tuple[float, _Connection]] = []
        self._closed = False

    def get(self, href: str, headers: Mapping[str, str], crew: Crew) -> Answer:
        """Ask for the link as it stands. Raises `TransportError` and its kinds, and `Stopped`."""
        url = URL(href, encoded=True)
        options = self._session.route.options(url)
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT, **headers}
        began = time.monotonic()
        outcome: int | IceyeError | None = None
        try:
            if self._session.borrows_links or str(options.get("proxy", "")).lower().startswith("https:"):
                answer: Answer = _Lent(self._session, url, sent, crew)
            else:
                answer = self._ask(href, url, sent, options, crew)
            outcome = answer.status
        except IceyeError as error:
            outcome = error
            raise
        finally:
            if outcome is not None:
                crew.witness(url, time.monotonic() - began, outcome)
        return answer

    def _ask(self, href: str, url: URL, headers: Mapping[str, str], options: Mapping[str, Any], crew: Crew) -> Answer:
        origin = _Origin(href, options, local=self._session.local)
        tracing = self._session.tracing
        with contextlib.nullcontext(None) if tracing is None else tracing.request("GET", url) as traced:
            answer: _Asked | None = None
            while answer is None and (connection := self._kept(origin)) is not None:
                # None where it died while nobody used it: the host saw nothing of this request.
                answer = _over_kept(connection, href, headers, crew, self._keep)
            if answer is None:
                answer = _fresh(origin, href, headers, crew, self._keep)
            if traced is not None:
                traced(answer.status)
            return answer

    def _kept(self, origin: "_Origin") -> "_Connection | None":
        self.sweep()
        with self._lock:
            found = next((kept for kept in self._idle if kept[1].origin.key == origin.key), None)
            if found is not None:
                self._idle.remove(found)
        if found is not None and found[1].is_stirred:
            found[1].close()
            return self._kept(origin)
        return None if found is None else found[1]

    def _keep(self, connection: "_Connection") -> None:
        with self._lock:
            kept = len(self._idle) < _MOST_IDLE and not self._closed
            if kept:
                self._idle.append((time.monotonic(), connection))
        if not kept:
            connection.close()

    def sweep(self) -> None:
        """Close what was kept for long enough."""
        now = time.monotonic()
        with self._lock:
            late = [connection for since, connection in self._idle if now - since > IDLE]
            self._idle = [kept for kept in self._idle if now - kept[0] <= IDLE]
        for connection in late:
            connection.close()

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()


class _Origin:
    """Where a link leads, and by which way: what two links must have in common to share a connection."""

    def __init__(self, href: str, options: Mapping[str, Any], *, local: bool) -> None:
        parts = urlsplit(href)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self.local = local
        self.context: ssl.SSLContext | None = options.get("ssl")
        proxy = options.get("proxy")
        self.proxy = None if proxy is None else _Proxy(str(proxy))
        self.key = (self.tls, self.host, self.port, None if self.proxy is None else self.proxy.address)

    def target(self, href: str) -> str:
        """What stands in the request line, byte for byte as it was given."""
        plain = href.partition("#")[0]
        if self.proxy is not None and not self.tls:
            return plain
        rest = re.sub(r"^[A-Za-z]+://[^/?]*", "", plain)
        return rest if rest.startswith("/") else f"/{rest}"


class _Proxy:
    """A proxy, with what it wants to hear."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.headers = Hidden()
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"


class _Connection:
    """A connection to a link host, and to nobody else."""

    def __init__(self, origin: _Origin, sock: socket.socket) -> None:
        self.origin, self.sock = origin, sock
        sock.settimeout(STALL)
        self.http = http.client.HTTPConnection(origin.host, origin.port)
        # Or `Host` would name port 443, and a host that signs its links with their `Host` would refuse them.
        self.http.default_port = 443 if origin.tls else 80
        self.http.sock = sock

    @property
    def is_stirred(self) -> bool:
        """Whether something came that nobody asked for: the end, or what would be taken for the next answer."""
        return _readable(self.sock) or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()


class _Asked:
    """An answer over a connection of ours."""

    def __init__(
        self,
        connection: _Connection,
        href: str,
        headers: Mapping[str, str],
        crew: Crew,
        keep: Callable[[_Connection], None],
    ) -> None:
        self._connection, self._crew, self._keep = connection, crew, keep
        self._broken: Exception | None = None
        self._buffered = True
        proxy = connection.origin.proxy
        sent = Hidden(headers) if proxy is None or connection.origin.tls else Hidden(headers, **proxy.headers)
        with crew.interrupts(connection.sock):
            connection.http.putrequest("GET", connection.origin.target(href), skip_accept_encoding=True)
            for name, value in sent.items():
                connection.http.putheader(name, value)
            connection.http.endheaders()
            self._response = connection.http.getresponse()
        self.status = self._response.status
        self.headers = Headers(self._response.headers.items())
        self.decrypts = connection.origin.tls
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked" and not self._response.chunked:
            # Read as it stands, it would have the sizes of its chunks in it.
            raise http.client.HTTPException

    def readinto(self, view: memoryview) -> int:
        failure: IceyeError
        try:
            with self._crew.interrupts(self._connection.sock):
                got = self._read(view)
        except _BROKEN as error:
            self._crew.check()
            failure = _failure(error, _BODY)
        else:
            if got:
                return got
            self._crew.check()
            if not self._response.length:
                return 0
            failure = TransportError(f"{_BODY}: the connection broke before it was whole")
        raise failure.with_traceback(None)

    def _read(self, view: memoryview) -> int:
        left = self._response.length
        if left == 0:
            return 0
        if left is None or left > len(view):
            return self._some(view)
        # The last byte by itself: beside it, what must not come after it can be seen.
        got = self._some(view[: left - 1]) if left > 1 else 0
        if got < left - 1:
            return got
        self._buffered = True
        if self._surplus():
            raise Surplus
        return got + self._some(view[got : got + 1])

    def _some(self, view: memoryview) -> int:
        """Fill the view, or what of it comes soon. `HTTPResponse.readinto` loses what it has when the rest fails."""
        if self._broken is not None:
            raise self._broken
        got, until = 0, time.monotonic() + _SOON
        try:
            while got < len(view):
                came = self._next(view[got:])
                got += came
                if not came or time.monotonic() > until:
                    break
        except _BROKEN as error:
            if not got:
                raise
            self._broken = error
        return got

    def _next(self, view: memoryview) -> int:
        """What comes next, at least a byte. Past the buffer of the response: its layers cost a tenth of reading."""
        response = self._response
        if self._buffered or response.length is None:
            piece = response.read1(len(view))
            view[: len(piece)] = piece
            # What came with the headers was in the buffer, and is given out before anything is read.
            self._buffered = len(view) < io.DEFAULT_BUFFER_SIZE
            return len(piece)
        came = self._connection.sock.recv_into(view)
        response.length -= came
        return came

    def _surplus(self) -> bool:
        """Whether the host sends on after the last byte: then it has told a wrong length."""
        if self._response.isclosed():
            return False
        if len(self._response.fp.peek(2)) > 1:
            return True
        sock = self._connection.sock
        if isinstance(sock, ssl.SSLSocket):
            return sock.pending() > 0
        return _readable(sock) and bool(sock.recv(1, socket.MSG_PEEK))

    def interrupt(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._connection.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        # The standard library closes some answers that were read to their end.
        good = (self._response.isclosed() or self._response.length == 0) and not self._response.will_close
        self._response.close()
        if good:
            self._keep(self._connection)
            return
        with contextlib.suppress(OSError):
            # The host is to hear at once that nobody reads on, and not when its buffers are full.
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()


class _Lent:
    """An answer over aiohttp, which reads in the event loop."""

    def __init__(self, session: Session, url: URL, headers: Mapping[str, str], crew: Crew) -> None:
        self._session, self._url, self._crew = session, url, crew
        self._left = b""
        self._response: aiohttp.ClientResponse = crew.in_loop(lambda: self._told(self._get(headers), mask(str(url))))
        self.status = self._response.status
        self.headers = Headers(self._response.headers.items())
        self.decrypts = False

    async def _get(self, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        options = self._session.route.options(self._url)
        if "proxy" not in options and not self._session.local:
            await self._check_addresses()
        response = await self._session.open_links(self._url.host).get(
            self._url,
            headers=headers,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            # `connect` is what bounds a proxy that takes a request to connect and never answers it.
            timeout=aiohttp.ClientTimeout(total=None, connect=STALL, sock_connect=STALL / 2, sock_read=STALL),
            **options,
        )
        if response.connection is not None and response.connection.protocol is not None:
            # Kept, it would take what stands behind this file for the answer about the next.
            response.connection.protocol.force_close()
        return response

    async def _check_addresses(self) -> None:
        port = self._url.port or 443
        found = await asyncio.get_running_loop().getaddrinfo(self._url.host, port, type=socket.SOCK_STREAM)
        if any(is_local(str(address[0]).partition("%")[0]) for *_, address in found):
            raise _private()

    def readinto(self, view: memoryview) -> int:
        if not self._left:
            self._left = self._crew.in_loop(lambda: self._told(self._response.content.readany(), _BODY))
        piece, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(piece)] = piece
        return len(piece)

    async def _told(self, work: Coroutine[Any, Any, Any], asked: str) -> Any:
        """What the work gives; its error as one of ours."""
        failure: IceyeError
        try:
            with self._session.stay():
                return await work
        except IceyeError as error:
            failure = error
        except asyncio.CancelledError as cancelled:
            raise cancelled.with_traceback(None) from None
        except FOREIGN as error:
            failure = translated(error, asked, self._url.host, STALL)
        failure.__context__ = None
        raise failure.with_traceback(None)

    def interrupt(self) -> None:
        self.close()

    def close(self) -> None:
        self._crew.later(self._response.close)


def _readable(sock: socket.socket) -> bool:
    """Whether something is there to be read, be it the end. `select` alone knows no descriptor above 1023."""
    with _Selector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


# --- opening -----------------------------------------------------------------------------------------------------


def _over_kept(
    connection: _Connection, href: str, headers: Mapping[str, str], crew: Crew, keep: Callable[[_Connection], None]
) -> _Asked | None:
    """An answer over a connection that was kept, or None where it is not to be had any more."""
    answer: _Asked | None = None
    try:
        answer = _Asked(connection, href, headers, crew, keep)
    except (ConnectionError, http.client.BadStatusLine):
        crew.check()
        return None
    except _BROKEN as error:
        crew.check()
        failure = _failure(error, f"GET {mask(href)}")
    else:
        return answer
    finally:
        if answer is None:
            connection.close()
    raise failure.with_traceback(None)


def _fresh(
    origin: _Origin, href: str, headers: Mapping[str, str], crew: Crew, keep: Callable[[_Connection], None]
) -> _Asked:
    """An answer over a new connection."""
    asked = f"GET {mask(href)}"
    sock: socket.socket | None = None
    answer: _Asked | None = None
    try:
        sock = _reached(origin, asked, crew)
        if origin.tls:
            sock = _secured(origin, sock, asked, crew)
        answer = _Asked(_Connection(origin, sock), href, headers, crew, keep)
    except _BROKEN as error:
        crew.check()
        failure = _failure(error, asked)
    else:
        return answer
    finally:
        if sock is not None and answer is None:
            sock.close()
    raise failure.with_traceback(None)


def _reached(origin: _Origin, asked: str, crew: Crew) -> socket.socket:
    """A socket by which bytes go to the link host: straight, or through a proxy."""
    proxy = origin.proxy
    try:
        found = socket.getaddrinfo(
            *((origin.host, origin.port) if proxy is None else proxy.address), type=socket.SOCK_STREAM
        )
    except OSError:
        raise name_unknown(asked, of_proxy=proxy is not None) from None
    last = OSError()
    for family, kind, protocol, _, address in found:
        crew.check()
        # A public name may have a private address, and no link may lead there.
        if proxy is None and not origin.local and is_local(str(address[0]).partition("%")[0]):
            raise _private()
        sock = socket.socket(family, kind, protocol)
        connected = False
        try:
            sock.settimeout(CONNECT)
            with crew.interrupts(sock):
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if proxy is not None and origin.tls:
                    _tunnel(sock, origin, proxy, asked)
            connected = True
        except OSError as error:
            last = error
        else:
            return sock
        finally:
            if not connected:
                sock.close()
    crew.check()
    raise proxy_refused(asked) if proxy is not None else no_connection(asked, last)


def _tunnel(sock: socket.socket, origin: _Origin, proxy: _Proxy, asked: str) -> None:
    name = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {name}:{origin.port} HTTP/1.1", f"Host: {name}:{origin.port}"]
    lines += [f"{key}: {value}" for key, value in proxy.headers.items()]
    sock.settimeout(STALL)
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    with contextlib.closing(http.client.HTTPResponse(sock, method="CONNECT")) as reply:
        reply.begin()
        if reply.status != 200:
            raise proxy_refused(asked, reply.status)


def _secured(origin: _Origin, sock: socket.socket, asked: str, crew: Crew) -> socket.socket:
    context = _default_context() if origin.context is None else origin.context
    sock.settimeout(CONNECT)
    secured: ssl.SSLSocket | None = None
    proved = False
    try:
        secured = context.wrap_socket(sock, server_hostname=origin.host, do_handshake_on_connect=False)
        with crew.interrupts(secured):
            secured.do_handshake()
        proved = True
    except (ssl.SSLError, ssl.CertificateError) as error:
        crew.check()
        failure = tls_failed(asked, error)
    else:
        return secured
    finally:
        if secured is not None and not proved:
            secured.close()
    raise failure.with_traceback(None)


@lru_cache(maxsize=1)
def _default_context() -> ssl.SSLContext:
    # Made once: it reads all certificates of the system, which takes as long as a small file.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _private() -> DownloadError:
    return DownloadError("the host of the link has a local or private address; it was not followed")


def _failure(error: Exception, asked: str) -> IceyeError:
    if isinstance(error, http.client.IncompleteRead | http.client.RemoteDisconnected | ssl.SSLError):
        return translated(EOFError(), asked, None, STALL)
    if isinstance(error, http.client.HTTPException | ValueError):
        return TransportError(f"{asked}: the reply is not HTTP")
    return translated(error, asked, None, STALL)
