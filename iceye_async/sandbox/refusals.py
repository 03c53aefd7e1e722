"""Error answers of the API, and the bodies of requests that are none."""

import json
from typing import Any

from aiohttp import web

from . import documents


class Refused(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.status, self.code, self.details = status, code, details


def bad(details: str) -> Refused:
    # But for the one documented code, what the service calls the faults of a request is not published.
    return Refused(400, "bad_request", details)


def error(request: web.Request, refused: Refused) -> web.Response:
    """The answer, in the form that the request accepts."""
    problem = "application/problem+json" in request.headers.get("Accept", "")
    body = documents.error(refused.code, refused.details, problem=problem)
    kind = "application/problem+json" if problem else "application/json"
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    return web.json_response(body, status=refused.status, content_type=kind, headers=headers)


async def sent(request: web.Request) -> Any:
    """The JSON that a request carries."""
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise bad("the body is not JSON") from None
