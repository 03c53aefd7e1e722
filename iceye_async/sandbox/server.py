"""The service itself: an API origin with a token endpoint, beside the origin for signed links, both on loopback."""

import base64
import hmac
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from attrs import frozen

from . import documents
from .clock import SandboxClock
from .linkfaults import LinkFault, LinkRequest
from .links import File, LinkOrigin
from .ranges import http_date
from .scenario import Scenario

if TYPE_CHECKING:
    from .. import Client

_TOKEN_LIFE = 3600
_PRODUCT_TYPES = ("GRD", "GRD-COG")
"""Of other types nothing is served: their asset keys are not published."""
_REQUIRED = ("contractID", "imagingMode", "pointOfInterest", "acquisitionWindow")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@frozen
class _Order:
    """A task as it was ordered. Everything else about it follows from the time."""

    id: str
    body: Mapping[str, Any]
    created: datetime
    opens: float
    """Seconds from its creation to the opening of its window."""


class Refused(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.status, self.code, self.details = status, code, details


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
        self._orders: dict[str, _Order] = {}
        self._links = LinkOrigin(self._signature, lambda: self.clock.utc().timestamp())
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
        api.add_routes(
            [
                web.post("/oauth2/token", self._token),
                web.post("/api/tasking/v2/tasks", self._api(self._create_task)),
                web.get("/api/tasking/v2/tasks/{task}", self._api(self._get_task)),
                web.get("/api/tasking/v2/tasks/{task}/products", self._api(self._list_products)),
                web.get("/api/tasking/v2/tasks/{task}/products/{type}", self._api(self._list_products)),
                web.get("/api/tasking/v2/tasks/{task}/derivatives", self._api(self._get_derivatives)),
            ]
        )
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

    def _api(self, answer: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests.append((request.method, request.path))
            try:
                self._check_token(request)
                return await answer(request)
            except Refused as refused:
                return _error(request, refused)

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

    def _order(self, request: web.Request) -> tuple[_Order, float]:
        """The task that is asked for, and its age."""
        order = self._orders.get(request.match_info["task"])
        if order is None:
            raise Refused(404, "not_found", "task not found")
        return order, (self.clock.utc() - order.created).total_seconds()

    async def _create_task(self, request: web.Request) -> web.Response:
        order = self._accepted(await _json(request))
        self._orders[order.id] = order
        return web.json_response(self._task(order, 0.0), status=201)

    def _accepted(self, body: Any) -> _Order:
        # But for the one documented code, what the service calls these refusals is not published.
        missing = [key for key in _REQUIRED if key not in body]
        if missing:
            raise Refused(400, "bad_request", f"missing {', '.join(missing)}")
        if body["contractID"] != self.contract_id:
            raise Refused(403, "forbidden", "no such contract")
        opens = _window(body["acquisitionWindow"])
        if not isinstance(body["pointOfInterest"], dict) or not {"lat", "lon"} <= set(body["pointOfInterest"]):
            raise Refused(400, "bad_request", "pointOfInterest needs lat and lon")
        if body.get("derivativeProductTypes"):
            if body["imagingMode"] not in documents.SUPPORTED_MODES:
                raise Refused(
                    400,
                    "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES",
                    f"{body['imagingMode']} does not support derivatives",
                )
            if "GRD" not in body.get("productTypes", ()):
                raise Refused(400, "bad_request", "derivatives need GRD in productTypes")
        now = self.clock.utc()
        return _Order(str(uuid.uuid4()), body, now, (opens - now).total_seconds())

    async def _get_task(self, request: web.Request) -> web.Response:
        return web.json_response(self._task(*self._order(request)))

    def _task(self, order: _Order, age: float) -> dict[str, Any]:
        status = self.scenario.status(age, order.opens)
        created, updated = documents.timestamp(order.created), documents.timestamp(self.clock.utc())
        return documents.task(order.id, order.body, status, created, updated, echo=self.scenario.echo)

    async def _list_products(self, request: web.Request) -> web.Response:
        order, age = self._order(request)
        if self.scenario.status(age, order.opens) not in {"FULFILLED", "DONE"}:
            raise Refused(404, "not_found", "no products are available yet")
        wanted = request.match_info.get("type")
        kinds = [kind for kind in order.body.get("productTypes", ["GRD"]) if kind in _PRODUCT_TYPES]
        items = [self._product(order, kind) for kind in kinds if wanted in {None, kind}]
        return web.json_response({"data": items, "cursor": ""})

    def _product(self, order: _Order, kind: str) -> dict[str, Any]:
        taken = order.created + timedelta(seconds=self.scenario.picture(order.opens))
        ready = taken + timedelta(seconds=self.scenario.fulfilled)
        links = {key: self._link(order, kind, key, key, ready) for key in documents.ASSETS}
        return documents.product(_id(order, kind), order.body, taken, ready, links)

    async def _get_derivatives(self, request: web.Request) -> web.Response:
        order, age = self._order(request)
        kinds = order.body.get("derivativeProductTypes", [])
        ready = [kind for kind in kinds if self.scenario.has_assets(kind, age, order.opens)]
        if not ready:
            raise Refused(404, "not_found", "no derivative products are available yet")
        links = {kind: self._derivative_link(order, kind) for kind in ready}
        data = [documents.derivative(_id(order, kind), kind, _id(order, "image"), links.get(kind)) for kind in kinds]
        return web.json_response({"data": data}, status=200 if len(ready) == len(kinds) else 206)

    # --- signed links ------------------------------------------------------------------------------------------

    def _derivative_link(self, order: _Order, kind: str) -> str:
        since = self.scenario.picture(order.opens) + self.scenario.fulfilled + self.scenario.derivatives[kind]
        return self._link(order, kind, kind, documents.detection_file(kind), order.created + timedelta(seconds=since))

    def _link(self, order: _Order, kind: str, key: str, last: str, ready: datetime) -> str:
        """A new link to a file of the product or derivative of this type; its path ends in `last`.

        The products of a task have their previews in common: the path is the same, the signature is each one's own.
        """
        item = _id(order, kind)
        taken = order.created + timedelta(seconds=self.scenario.picture(order.opens))
        file = File(
            key=(order.id, key),
            media=documents.media(key),
            modified=ready.replace(microsecond=0),
            name=documents.told_name(kind, key, order.id, taken) if self.scenario.names else None,
            size=self.scenario.sizes.get(key),
            make=partial(documents.file, key, order.id, order.body),
        )
        folder = _id(order, "previews") if documents.is_preview(key) else item
        return self._links.link(f"{folder}/{last}", item, file, self.scenario.link_life)

    def _signature(self, path: str, expires: str) -> str:
        digest = hmac.digest(self._signing_key, f"{path}?{expires}".encode(), "sha256")
        return base64.b64encode(digest, b"-~").decode().replace("=", "_")


def _id(order: _Order, what: str) -> str:
    """The id of a thing of this task, the same each time."""
    return str(uuid.uuid5(uuid.UUID(order.id), what))


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


async def _json(request: web.Request) -> Any:
    try:
        body = await request.json()
    except ValueError:
        raise Refused(400, "bad_request", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "bad_request", "the body is not an object")
    return body


def _window(window: Any) -> datetime:
    try:
        start, end = (datetime.fromisoformat(window[end]) for end in ("start", "end"))
        if start >= end:
            raise Refused(400, "bad_request", "acquisitionWindow ends before it starts")
    except (KeyError, TypeError, ValueError):
        raise Refused(400, "bad_request", "acquisitionWindow needs start and end as RFC 3339 times") from None
    return start


def _error(request: web.Request, refused: Refused) -> web.Response:
    problem = "application/problem+json" in request.headers.get("Accept", "")
    body = documents.error(refused.code, refused.details, problem=problem)
    kind = "application/problem+json" if problem else "application/json"
    return web.json_response(body, status=refused.status, content_type=kind)
