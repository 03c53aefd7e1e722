"""The service itself: an API origin with a token endpoint, beside the origin for signed links, both on loopback."""

import base64
import errno
import hmac
import ipaddress
import logging
import socket
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from aiohttp.http import HttpProcessingError

from .api import Api
from .chance import Chance
from .clock import SEEDED_EPOCH, clock
from .faults import Fault, LinkFault
from .links import LinkOrigin, LinkRequest
from .ranges import http_date
from .scenario import Scenario
from .terms import Contract

if TYPE_CHECKING:
    from .. import Client

_log = logging.getLogger("iceye_async.sandbox")
# That a request is malformed is told to whoever sent it, and to nobody else: it may hold anything.
_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))

_GRACE = 1.0
"""Real seconds that an answer may take to end by itself when the sandbox closes."""
_BACKLOG = 4096
"""So many clients may come at once."""
_IDLE = 75.0
"""Real seconds after which a connection is closed on which no request begins, or one that stops in its headers."""


class Sandbox:
    """A local Tasking API. Use it as `async with Sandbox() as sandbox:`.

    `scenario` says what happens to each task, when, and what goes wrong; a name or a TOML file is loaded. `speed` is
    how many seconds pass in it in a real one; with `math.inf` time stands still while anything happens, and jumps to
    what is waited for next; with 0 it stands still until `advance()`. A client from `client()` lives in the same time.
    It begins now, but where it is stepped and the scenario has a seed: then it begins with the year 2026. What other
    threads do is not seen by time that jumps.

    `contract_id` is the contract that tasks are created under (`contract_ids`: all there are), `requests` what the API
    was asked, as (method, path). It is served to this machine alone, at a free port, unless `host` and `port` say
    otherwise. Raises `OSError` where it cannot be.
    """

    def __init__(
        self,
        scenario: Scenario | str | Path | None = None,
        *,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        link_port: int = 0,
    ) -> None:
        self.scenario = _loaded(scenario)
        seed = self.scenario.seed
        self.clock = clock(speed, None if seed is None else SEEDED_EPOCH)
        self.chance = Chance(seed, "ids")
        self.client_id = "sandbox"
        self.client_secret = f"sandbox-{self.chance.secret(8)}"
        self._signing_key = self.chance.secret(16).encode()
        self._contracts = {self.chance.id(): contract for contract in self.scenario.contracts}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = list(self.scenario.faults)
        """What is to go wrong at the API; one that has befallen all the requests it is for is no more in it."""
        self.base_url = ""
        self._host, self._ports = host, (_checked("port", port), _checked("link_port", link_port))
        if not (isinstance(host, str) and host):
            raise ValueError(f"host must be an address or a name of this machine: {host!r}")
        self._links = LinkOrigin(self._signature, self.clock, seed)
        self._links.faults.extend(self.scenario.link_faults)
        self._life = AsyncExitStack()
        self._open = False

    @property
    def contract_ids(self) -> tuple[str, ...]:
        return tuple(self._contracts)

    @property
    def contract_id(self) -> str:
        return self.contract_ids[0]

    def contract(self, contract_id: object) -> Contract | None:
        """What the contract of this id allows; None: there is no such contract."""
        return self._contracts.get(contract_id) if isinstance(contract_id, str) else None

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/oauth2/token"

    @property
    def link_url(self) -> str:
        return self._links.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables from which `Client.from_env()` makes a client of this sandbox, which lives in real time."""
        self._check_entered()
        return {
            "ICEYE_BASE_URL": self.base_url,
            "ICEYE_TOKEN_URL": self.token_url,
            "ICEYE_CLIENT_ID": self.client_id,
            "ICEYE_CLIENT_SECRET": self.client_secret,
        }

    @property
    def link_faults(self) -> list[LinkFault]:
        """What is to go wrong at the link host; one that has befallen all the requests it is for is no more in it."""
        return self._links.faults

    @property
    def link_requests(self) -> list[LinkRequest]:
        """What the link host was asked."""
        return self._links.requests

    def client(self, **options: Any) -> "Client":
        """A client of this sandbox, in its time. Options are those of `Client`."""
        from .. import Client, ClientCredentials  # the one thing that the sandbox takes from the client

        self._check_entered()
        credentials = ClientCredentials(self.token_url, self.client_id, self.client_secret)
        return Client(self.base_url, **{"auth": credentials, "clock": self.clock, **options})

    def __repr__(self) -> str:
        return f"<Sandbox at {self.base_url or 'no address yet'}>"

    def _check_entered(self) -> None:
        if not self.base_url:
            raise RuntimeError("the sandbox has not been started: `async with Sandbox() as sandbox:`")

    async def advance(self, seconds: float) -> None:
        """Let time pass, with `speed=0` (or `math.inf`).

        It goes through all that falls due, one after the other, and comes back when what follows from it has happened.
        """
        await self.clock.advance(seconds)

    # --- life --------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._open:
            raise RuntimeError("this sandbox is open already; make another")
        if not _is_loopback(self._host):
            # First, for where a warning is an error nothing may be open yet.
            words = f"the sandbox listens on {self._host}: whoever reaches this machine can use it"
            warnings.warn(words, RuntimeWarning, stacklevel=2)
        self.clock.now()
        async with AsyncExitStack() as stack:
            self._open = True
            stack.callback(self._forget)
            self.base_url = await self._serve(stack, Api(self, self._links).app(), self._ports[0])
            self._links.url = await self._serve(stack, self._links.app(), self._ports[1])
            self._life = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._life.aclose()

    def _forget(self) -> None:
        self._open = False

    async def _serve(self, stack: AsyncExitStack, app: web.Application, port: int) -> str:
        app.on_response_prepare.insert(0, self._stamp)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_log,
            shutdown_timeout=_GRACE,
            keepalive_timeout=_IDLE,
            handler_cancellation=True,
            auto_decompress=False,  # Nothing is published of packed requests, and what they unpack to has no bound.
        )
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        with _explained(self._host, port):
            await web.TCPSite(runner, self._host, port, backlog=_BACKLOG).start()
        return f"http://{_reached_at(self._host)}:{runner.addresses[0][1]}"

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG002 - a signal passes both
        response.headers["Date"] = http_date(self.clock.utc())

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._signing_key, f"{path}?{expires}".encode(), "sha256")
        return base64.b64encode(digest, b"-~").decode().replace("=", "_")


def _loaded(scenario: Scenario | str | Path | None) -> Scenario:
    if scenario is None:
        return Scenario()
    if isinstance(scenario, str | Path):
        return Scenario.load(scenario)
    if not isinstance(scenario, Scenario):
        raise TypeError(f"a scenario is a Scenario, a name, or the path of a TOML file: {scenario!r}")
    return scenario


def _checked(name: str, port: Any) -> int:
    if type(port) is not int or not 0 <= port <= 65_535:
        raise ValueError(f"{name} must be a whole number in 0..65535: {port!r}")
    return port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reached_at(host: str) -> str:
    """The host in the URLs of an origin, for clients on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is what was asked for
    return f"[{host}]" if ":" in host else host


@contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    """An `OSError` in here says what to do."""
    try:
        yield
    except OSError as error:
        number = error.errno
        if number == errno.EADDRINUSE:
            words = f"port {port} is in use; choose another, or 0 for a free one"
        elif number in {errno.EACCES, errno.EPERM}:
            words = f"port {port} may not be used by this user; choose one from 1024 on, or 0 for a free one"
        elif number in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT} or isinstance(error, socket.gaierror):
            words = f"cannot listen on {host}, which is no address of this machine; the usual one is 127.0.0.1"
        else:
            raise
        raise OSError(number, words) from None
