"""OpenTelemetry spans: one for each call of the API, and one for each request, be it for a call, a token or a file.

Only for applications that use OpenTelemetry: this is loaded for a client that is made after its API was imported, and
for no other. Queries are never recorded, for they hold the signatures of links, and of errors only the class.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TypeVar

import aiohttp
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from yarl import URL

from ._version import __version__

A = TypeVar("A")

_ID = r"(?<=/tasks/)[^/?]+"


class Tracing:
    """Spans by the application's tracer. Their names and attributes are those of the conventions for HTTP clients."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("iceye_async", __version__)

    @contextmanager
    def call(self, method: str, path: str) -> Iterator[None]:
        """The span of a call, with all its repeats: `GET /api/tasking/v2/tasks/{id}/derivatives`."""
        route = re.sub(_ID, "{id}", path.partition("?")[0])
        attributes = {"http.request.method": method, "http.route": route}
        with self._tracer.start_as_current_span(
            f"{method} {route}", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                _failed(span, type(error).__name__)
                raise

    async def around(self, method: str, path: str, call: Awaitable[A]) -> A:
        """What the call gives, in a span."""
        with self.call(method, path):
            return await call

    @contextmanager
    def request(self, method: str, url: URL) -> Iterator[Callable[[int], None]]:
        """The span of a request that aiohttp does not send; what it gives is to be called with the status."""
        span = self._start(method, url)
        try:
            yield partial(_end, span)
        except BaseException as error:
            _failed(span, type(error).__name__)
            span.end()
            raise

    def requests(self) -> aiohttp.TraceConfig:
        """Makes aiohttp tell of each request: a span of the kind CLIENT, which ends when the headers are there."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._sent)
        config.on_request_end.append(_answered)
        config.on_request_exception.append(_broken)
        return config

    async def _sent(
        self,
        session: aiohttp.ClientSession,  # noqa: ARG002 - aiohttp passes it
        context: SimpleNamespace,
        request: aiohttp.TraceRequestStartParams,
    ) -> None:
        context.span = self._start(request.method, request.url)

    def _start(self, method: str, url: URL) -> Span:
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": url.host or "",
            "server.port": url.port or 0,
            "url.full": str(url.with_query(None).with_fragment(None).with_user(None)),
        }
        return self._tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes)


async def _answered(
    session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp passes it
    context: SimpleNamespace,
    reply: aiohttp.TraceRequestEndParams,
) -> None:
    _end(context.span, reply.response.status)


async def _broken(
    session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp passes it
    context: SimpleNamespace,
    failure: aiohttp.TraceRequestExceptionParams,
) -> None:
    _failed(context.span, type(failure.exception).__name__)
    context.span.end()


def _end(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    # A 404 is patience to a wait. To whom it is an error, the span of the call says so.
    if status >= 400 and status != 404:
        _failed(span, str(status))
    span.end()


def _failed(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
