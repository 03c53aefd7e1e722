"""OpenTelemetry spans: a span for each call, one in it for each request, and no query in any of them."""

import asyncio
import json
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from iceye_async import ClientCredentials, Derivative, DerivativeAsset, NotFound, TransportError

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NONE_YET = (200, {}, b'{"data": []}')
CALL = "GET /api/tasking/v2/tasks/{id}/derivatives"


@pytest.fixture
def spans(monkeypatch):
    """All spans that have ended, the last one last."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter.get_finished_spans
    provider.shutdown()


async def test_a_call_is_a_span_with_a_span_for_each_of_its_requests(connect, service, spans):
    service.answers(LOOK, (503, {}, b""), NONE_YET)

    await connect().derivatives.get("t1")

    first, second, call = spans()
    assert (call.name, call.kind, call.parent) == (CALL, SpanKind.INTERNAL, None)
    assert call.status.status_code is StatusCode.UNSET
    assert {first.parent.span_id, second.parent.span_id} == {call.context.span_id}
    assert (first.kind, first.name) == (SpanKind.CLIENT, "GET")
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [503, 200]
    assert first.status.status_code is StatusCode.ERROR
    assert second.attributes["url.full"] == service.url + LOOK


async def test_a_call_that_fails_is_marked_with_the_class_of_its_error_alone(connect, service, spans):
    service.answers(LOOK, (404, {}, b'{"code": "secret words"}'))

    with pytest.raises(NotFound):
        await connect().derivatives.get("t1")

    call = spans()[-1]
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes["error.type"] == "NotFound"
    assert "secret words" not in "".join(span.to_json() for span in spans())


async def test_a_request_without_a_reply_is_marked(connect, closed_port, spans):
    with pytest.raises(TransportError):
        await connect(closed_port).tasks.get("t1")

    assert [span.status.status_code for span in spans()] == [StatusCode.ERROR] * 4
    assert spans()[0].attributes["error.type"] == "ClientConnectorError"


async def test_each_look_of_a_wait_is_a_call(connect, service, spans):
    entry = {"id": "d", "derivativeProductType": "V", "assets": [{"href": "https://l.example/f?Signature=c4n4ry"}]}
    service.answers(LOOK, (206, {}, b'{"data": []}'), (200, {}, json.dumps({"data": [entry]}).encode()))

    await connect().await_derivatives("t1")

    assert [span.name for span in spans()] == ["GET", CALL, "GET", CALL]


async def test_the_token_and_the_links_are_recorded_without_secrets(connect, service, other, spans, tmp_path):
    service.answers("/token", (200, {}, b'{"access_token": "c4n4ry-tok"}'))
    service.answers(f"{TASK}/products", (200, {}, b'{"data": [], "cursor": "cur-99"}'), (200, {}, b'{"data": []}'))
    other.answers("/f", (200, {}, b"x"))
    client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-sec"))
    found = Derivative(
        id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f?Signature=c4n4ry"),)
    )

    await client.products.list("t1")
    await client.download(found, tmp_path)

    recorded = "".join(span.to_json() for span in spans())
    assert f"{other.url}/f" in recorded
    assert "POST /token" in recorded
    assert not [
        secret for secret in ("c4n4ry-tok", "c4n4ry-sec", "sig", "cur-99", "?", "Authorization") if secret in recorded
    ]


async def test_a_cancelled_call_ends_its_spans(connect, service, spans):
    arrived = asyncio.Event()

    async def hang(request):
        arrived.set()
        await asyncio.Event().wait()

    service.answers(LOOK, hang)
    call = asyncio.create_task(connect().derivatives.get("t1"))
    await arrived.wait()

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert [span.name for span in spans()] == ["GET", CALL]
    assert spans()[-1].attributes["error.type"] == "CancelledError"


async def test_without_a_provider_everything_works_as_before(connect, service):
    service.answers(LOOK, NONE_YET)

    assert (await connect().derivatives.get("t1")).final


def test_an_application_without_opentelemetry_does_not_load_it():
    program = (
        "import asyncio, sys, iceye_async\n"
        "async def main():\n"
        "    once = iceye_async.RetryPolicy(tries=1)\n"
        "    async with iceye_async.Client('http://127.0.0.1:9', auth='t', retry=once) as c:\n"
        "        try: await c.tasks.get('t')\n"
        "        except iceye_async.TransportError: pass\n"
        "asyncio.run(main())\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"
