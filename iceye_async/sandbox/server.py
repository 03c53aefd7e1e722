"""The service itself: an API origin with a token endpoint, beside the origin for signed links, both on loopback."""

import base64
import hmac
import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from .clock import SandboxClock
from .contracts import Contracts
from .linkfaults import LinkFault, LinkRequest
from .links import LinkOrigin
from .planning import Planning
from .products import Products
from .ranges import http_date
from .refusals import Refused, error
from .scenario import Scenario
from .tasks import Tasks

if TYPE_CHECKING:
    from .. import Client

_TOKEN_LIFE = 3600

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sandbox:
    """A local Tasking API. Use it as `async with Sandbox() as sandbox:`.

    `scenario` says what happens to each task and when; `speed` how many seconds pass in it in a real one (a client from
    `sandbox.client()` lives in the same time). `contract_id` is the contract that tasks are created under, `requests`
    what the API was asked, as (method, path).
    """

    def __init__(self, scenario: Scenario | None = None, *, speed: float = 1.0) -> None:
        self.scenario = Scenario() if scenario is None else scenario
        self.clock = SandboxClock(speed)
        self.client_id = "sandbox"
        self.client_secret = f"sandbox-{secrets.token_hex(8)}"
        self.contract_id = str(uuid.uuid4())
        self.requests: list[tuple[str, str]] = []
        self.base_url = ""
        self._signing_key = secrets.token_bytes(16)
        self._tokens: dict[str, float] = {}
        self._links = LinkOrigin(self._signature, lambda: self.clock.utc().timestamp())
        self._tasks = Tasks(self)
        self._runners: list[web.AppRunner] = []

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/oauth2/token"

    @property
    def link_url(self) -> str:
        return self._links.url

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

        credentials = ClientCredentials(self.token_url, self.client_id, self.client_secret)
        return Client(self.base_url, **{"auth": credentials, "clock": self.clock, **options})

    # --- life --------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.clock.now()
        api = web.Application(client_max_size=2**20)
        api.router.add_post("/oauth2/token", self._token)
        api.add_routes(self._routes())
        self.base_url = await self._serve(api)
        self._links.url = await self._serve(self._links.app())
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _serve(self, app: web.Application) -> str:
        app.on_response_prepare.insert(0, self._stamp)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG002 - a signal passes both
        response.headers["Date"] = http_date(self.clock.utc())

    # --- the API -----------------------------------------------------------------------------------------------

    def _routes(self) -> list[web.RouteDef]:
        tasks, products = self._tasks, Products(self, self._tasks, self._links)
        planning, contracts = Planning(self), Contracts(self)
        tasking, company = "/api/tasking/v2", "/api/company/v1"
        task = f"{tasking}/tasks/{{task}}"
        return [
            web.post(f"{tasking}/tasks", self._api(tasks.create)),
            web.get(f"{tasking}/tasks", self._api(tasks.list)),
            web.get(task, self._api(tasks.get)),
            web.patch(task, self._api(tasks.cancel)),
            web.get(f"{task}/scene", self._api(tasks.scene)),
            web.get(f"{task}/products", self._api(products.list)),
            web.get(f"{task}/products/{{type}}", self._api(products.list)),
            web.get(f"{task}/derivatives", self._api(products.derivatives)),
            web.get(f"{tasking}/price", self._api(planning.price)),
            web.post(f"{tasking}/feasibility", self._api(planning.feasibility)),
            web.get(f"{company}/contracts", self._api(contracts.list)),
            web.get(f"{company}/contracts/{{contract}}", self._api(contracts.get)),
        ]

    def _api(self, answer: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests.append((request.method, request.path))
            try:
                self._check_token(request)
                return await answer(request)
            except Refused as refused:
                return error(request, refused)

        return handler

    async def _token(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        form = await request.post()
        if not _same(request.headers.get("Authorization", ""), f"Basic {basic}"):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self.clock.now() + _TOKEN_LIFE
        return web.json_response(
            {"token_type": "Bearer", "expires_in": _TOKEN_LIFE, "access_token": token, "scope": ""}
        )

    def _check_token(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0.0) <= self.clock.now():
            raise Refused(401, "unauthorized", "missing or invalid authentication token")

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._signing_key, f"{path}?{expires}".encode(), "sha256")
        return base64.b64encode(digest, b"-~").decode().replace("=", "_")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
