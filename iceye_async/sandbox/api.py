"""The API origin: who may ask, what goes wrong, and which call is answered by what."""

import asyncio
import base64
import hmac
import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias
from urllib.parse import parse_qs

from aiohttp import web

from . import documents, openapi
from .answers import Reply, Sender, Sent
from .chance import Chance
from .contents import content
from .contracts import Contracts
from .faults import TOKEN, Fault, suffered
from .links import LinkOrigin
from .planning import Planning
from .products import Products
from .refusals import Refused, bad, error, sent
from .tasks import Tasks
from .world import World

TOKEN_LIFE = 3600
_MOST = 2**20
"""Bytes of a request's body."""
_SLOWEST = 60.0
"""Real seconds that a request may take to come."""
_FOREIGN = (
    "this is a sandbox, which takes only its own credentials. What was sent is neither kept nor logged; if it is a "
    "real secret, look at where your program has the address from (ICEYE_BASE_URL, ICEYE_TOKEN_URL)"
)

Call: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


class Service(World, Protocol):
    """What the API is of."""

    client_id: str
    client_secret: str
    requests: list[tuple[str, str]]
    faults: list[Fault]

    @property
    def base_url(self) -> str: ...

    @property
    def token_url(self) -> str: ...


class Api:
    """All calls, over what is in `service`. Products have links to files of `links`."""

    def __init__(self, service: Service, links: LinkOrigin) -> None:
        self._service, self._links = service, links
        self._tokens: dict[str, float] = {}
        self._minted, self._fortune = (Chance(service.scenario.seed, name) for name in ("tokens", "faults"))
        self._tasks = Tasks(service)
        self._sender = Sender(service.clock)

    def app(self) -> web.Application:
        """The origin as something that aiohttp serves. Its handlers must be cancelled when clients hang up."""
        app = web.Application(client_max_size=_MOST, middlewares=[_in_the_services_words])
        app.add_routes(self._routes())
        self._sender.watch(app)
        return app

    def _routes(self) -> list[web.RouteDef]:
        tasks, products = self._tasks, Products(self._service, self._tasks, self._links)
        planning, contracts = Planning(self._service), Contracts(self._service)
        tasking, company = "/api/tasking/v2", "/api/company/v1"
        task = f"{tasking}/tasks/{{task}}"
        return [
            web.post("/oauth2/token", self._call(TOKEN, self._token)),
            web.post(f"{tasking}/tasks", self._call("createTask", tasks.create)),
            web.get(f"{tasking}/tasks", self._call("listTasks", tasks.list), allow_head=False),
            web.get(task, self._call("getTask", tasks.get), allow_head=False),
            web.patch(task, self._call("cancelTask", tasks.cancel)),
            web.get(f"{task}/scene", self._call("getTaskScene", tasks.scene), allow_head=False),
            web.get(f"{task}/products", self._call("listTaskProducts", products.list), allow_head=False),
            web.get(f"{task}/products/{{type}}", self._call("getTaskProduct", products.list), allow_head=False),
            web.get(f"{task}/derivatives", self._call("listTaskDerivatives", products.derivatives), allow_head=False),
            web.get(f"{tasking}/price", self._call("getPrice", planning.price), allow_head=False),
            web.post(f"{tasking}/feasibility", self._call("checkFeasibility", planning.feasibility)),
            web.get(f"{company}/contracts", self._call("listContracts", contracts.list), allow_head=False),
            web.get(f"{company}/contracts/{{contract}}", self._call("getContract", contracts.get), allow_head=False),
            web.get("/openapi.json", self._describe, allow_head=False),
        ]

    def _call(self, name: str, answer: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            self._service.clock.stir()
            self._service.requests.append((request.method, request.path))
            await _whole(request)
            await self._check(name, request)
            fault = await self._suffered(name, request)
            if fault is None:
                return await answer(request)
            with self._sender.under_way(request):
                if fault.delay:
                    await self._service.clock.sleep(fault.delay)
                return await self._failed(name, request, fault, answer)

        return handler

    async def _describe(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler takes it
        return web.json_response(openapi.document(self._service.base_url))

    # --- who may ask -------------------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            return _token_error(400, "invalid_request", "the body must be application/x-www-form-urlencoded")
        form = parse_qs((await request.read()).decode(errors="replace"))
        if form.get("grant_type") != ["client_credentials"]:
            return _token_error(400, "unsupported_grant_type", "grant_type must be client_credentials")
        token, now = self._minted.secret(24), self._service.clock.now()
        self._tokens = {old: ends for old, ends in self._tokens.items() if ends + TOKEN_LIFE > now}
        self._tokens[token] = now + TOKEN_LIFE
        return web.json_response({"token_type": "Bearer", "expires_in": TOKEN_LIFE, "access_token": token, "scope": ""})

    async def _check(self, name: str, request: web.Request) -> None:
        """Refuse who has no good credentials."""
        given = request.headers.get("Authorization", "")
        if name == TOKEN:
            basic = base64.b64encode(f"{self._service.client_id}:{self._service.client_secret}".encode()).decode()
            if not _same(given, f"Basic {basic}"):
                words = "" if given.startswith("Basic ") else "send the client's id and secret as HTTP Basic; "
                raise web.HTTPUnauthorized(reason=words + _FOREIGN)  # See `_in_the_services_words`.
            return
        scheme, _, token = given.partition(" ")
        ends = self._tokens.get(token, 0.0) if scheme.lower() == "bearer" else 0.0
        if ends > self._service.clock.now():
            return
        if ends:
            raise Refused(401, "unauthorized", "the authentication token has expired")
        words = "invalid authentication token"
        if scheme.lower() != "bearer":
            words = f"missing authentication token: send `Authorization: Bearer` with one of {self._service.token_url}"
        raise Refused(401, "unauthorized", f"{words}; {_FOREIGN}" if given else words)

    # --- what goes wrong ---------------------------------------------------------------------------------------

    async def _suffered(self, name: str, request: web.Request) -> Fault | None:
        service, reference = self._service, await self._reference(name, request)
        now, means = service.clock.now(), lambda fault: fault.means(name, reference)
        return suffered(service.faults, means, now, self._fortune.roll)

    async def _reference(self, name: str, request: web.Request) -> str | None:
        """The reference of the task that a request is about, if it has one."""
        if name != "createTask":
            return self._tasks.reference(request)
        try:
            reference = (await sent(request)).get("reference")
        except (Refused, AttributeError):
            return None
        return reference if isinstance(reference, str) else None

    async def _failed(self, name: str, request: web.Request, fault: Fault, answer: Call) -> web.StreamResponse:
        """The answer as a fault leaves it."""
        if fault.status is None:
            response = await _answered(request, answer)
        else:
            response = _refusal(request, name, fault, fault.status)
        headers = {key: text for key, text in response.headers.items() if key != "Content-Length"}
        if fault.retry_after is not None:
            headers["Retry-After"] = _seconds(fault.retry_after)
        body = (response.text or "").encode() if fault.body is None else fault.body
        return await self._sender.send(request, Reply(response.status, headers, content(body)), fault, Sent())


async def _answered(request: web.Request, answer: Call) -> web.Response:
    try:
        return await answer(request)
    except Refused as refused:
        return error(request, refused)


def _refusal(request: web.Request, name: str, fault: Fault, status: int) -> web.Response:
    code = documents.code(status) if fault.code is None else fault.code
    details = "so the scenario has it" if fault.details is None else fault.details
    if name == TOKEN:
        return _token_error(status, code, details)
    return error(request, Refused(status, code, details))


def _seconds(retry_after: float | str) -> str:
    return retry_after if isinstance(retry_after, str) else str(math.ceil(retry_after))


async def _whole(request: web.Request) -> None:
    """Take the body, which comes to its end soon and is not too large."""
    try:
        async with asyncio.timeout(_SLOWEST):
            await request.read()
    except TimeoutError:
        raise Refused(408, "request_timeout", "the request did not come to its end") from None
    except web.RequestPayloadError:
        raise bad("the body cannot be read") from None


@web.middleware
async def _in_the_services_words(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer what cannot be asked with an error body of the service's."""
    try:
        return await handler(request)
    except Refused as refused:
        return error(request, refused)
    except web.HTTPUnauthorized as exception:
        answer = _token_error(401, "invalid_client", exception.reason)
        answer.headers["WWW-Authenticate"] = "Basic"
        return answer
    except web.HTTPException as exception:
        details = f"{request.method} {request.path}: {exception.reason.lower()}"
        answer = error(request, Refused(exception.status, documents.code(exception.status), details))
        if "Allow" in exception.headers:
            answer.headers["Allow"] = exception.headers["Allow"]
        return answer


def _token_error(status: int, code: str, details: str) -> web.Response:
    """An error of the token endpoint, as RFC 6749, section 5.2, has them."""
    return web.json_response({"error": code, "error_description": details}, status=status)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
