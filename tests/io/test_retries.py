"""Which requests of a single call are sent again, how often, and after how long."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aioresponses import aioresponses

from iceye_async import ApiError, IceyeError, RateLimited, RetryPolicy, ServerError, Token, TransportError

TASKS = "/api/tasking/v2/tasks"
LOOK = f"{TASKS}/t1/derivatives"
NONE_YET = (200, {}, b'{"data": []}')
NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASK = (
    b'{"id": "t1", "contractID": "c", "pointOfInterest": {"lat": 1, "lon": 2}, "imagingMode": "SPOTLIGHT", '
    b'"acquisitionWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}, "status": "RECEIVED", '
    b'"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}'
)


async def drop(request):
    request.transport.abort()


async def create(client):
    return await client.tasks.create(
        contract_id="c",
        imaging_mode="SPOTLIGHT",
        point_of_interest=(1, 2),
        acquisition_window=(NOW, NOW + timedelta(days=1)),
    )


@pytest.mark.parametrize("failure", [(500, {}, b""), (502, {}, b"<html>"), (503, {}, b""), (504, {}, b""), drop])
async def test_a_failing_get_is_tried_again(connect, service, failure):
    service.answers(LOOK, failure, failure, NONE_YET)

    assert (await connect().derivatives.get("t1")).final
    assert len(service.requests) == 3


@pytest.mark.parametrize("tries", [1, 2, 5])
async def test_the_tries_are_bounded_and_the_last_error_is_raised(connect, service, tries):
    service.answers(LOOK, *[(500, {}, b"")] * (tries - 1), (503, {}, b""))

    with pytest.raises(ServerError) as caught:
        await connect(retry=RetryPolicy(tries=tries)).derivatives.get("t1")

    assert caught.value.status == 503
    assert len(service.requests) == tries


async def test_the_pauses_grow_no_longer_than_their_bounds(connect, service, clock):
    service.answers(LOOK, (500, {}, b""))

    with pytest.raises(ServerError):
        await connect(retry=RetryPolicy(tries=6, first=1.0, ceiling=4.0)).derivatives.get("t1")

    assert len(clock.waits) == 5
    assert all(0 <= wait <= longest for wait, longest in zip(clock.waits, [1, 2, 4, 4, 4], strict=True))


async def test_a_refused_connection_is_tried_again_within_bounds(connect, clock, closed_port):
    with pytest.raises(TransportError) as caught:
        await connect(closed_port).derivatives.get("t1")

    assert caught.value.transient
    assert not caught.value.sent
    assert len(clock.waits) == 2


@pytest.mark.parametrize(
    "failure",
    [
        aiohttp.ClientConnectorDNSError(SimpleNamespace(host="api.example"), OSError("no such host")),
        aiohttp.ClientConnectorError(None, ConnectionRefusedError(111, "refused")),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("short"),
        ConnectionResetError(104, "reset"),
    ],
)
async def test_a_get_recovers_once_the_service_is_reached(connect, failure):
    client = connect("https://api.example")
    url = f"https://api.example{LOOK}"
    with aioresponses() as mocked:
        mocked.get(url, exception=failure)
        mocked.get(url, body=b'{"data": []}')

        assert (await client.derivatives.get("t1")).final


async def test_a_body_shorter_than_promised_is_never_read_and_asked_for_again(connect, service):
    async def cut_short(request):
        response = web.StreamResponse(headers={"Content-Length": "99"})
        await response.prepare(request)
        await response.write(b'{"data": []}')
        request.transport.close()
        return response

    service.answers(LOOK, cut_short, NONE_YET)

    await connect().derivatives.get("t1")

    assert len(service.requests) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 418, 501, 505, 600, 999])
async def test_what_will_not_change_is_asked_once(connect, service, status):
    service.answers(LOOK, (status, {}, b""))

    with pytest.raises(ApiError) as caught:
        await connect().derivatives.get("t1")

    assert caught.value.status == status
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_never_undercut(connect, service, status):
    service.answers(LOOK, (status, {"Retry-After": "17"}, b""), NONE_YET)

    await connect().derivatives.get("t1")

    assert service.requests[1].at - service.requests[0].at >= 17


async def test_retry_after_as_a_date_is_read_against_the_date_of_the_reply(connect, service):
    headers = {"Date": format_datetime(NOW, usegmt=True)}
    headers["Retry-After"] = format_datetime(NOW + timedelta(seconds=40), usegmt=True)
    service.answers(LOOK, (503, headers, b""), NONE_YET)

    await connect().derivatives.get("t1")

    assert 40 <= service.requests[1].at - service.requests[0].at < 60


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-5", "1.5", "\u0663", "", "soon", "5, 6", "Fri, 99 Foo 99999 00:00:00"]
)
async def test_a_retry_after_that_means_nothing_does_no_harm(connect, service, clock, value):
    service.answers(LOOK, (503, {"Retry-After": value}, b""), NONE_YET)

    await connect().derivatives.get("t1")

    assert sum(clock.waits) <= 60


async def test_a_call_that_must_stay_away_for_hours_raises_at_once(connect, service, clock):
    service.answers(LOOK, (429, {"Retry-After": "7200"}, b""))

    with pytest.raises(RateLimited) as caught:
        await connect().derivatives.get("t1")

    assert caught.value.retry_after == 7200
    assert sum(clock.waits) == 0
    assert len(service.requests) == 1


@pytest.mark.parametrize("failure", [(500, {}, b""), (503, {"Retry-After": "1"}, b""), (504, {}, b""), drop])
async def test_a_create_that_may_have_been_carried_out_is_not_repeated(connect, service, failure):
    service.answers(TASKS, failure)

    with pytest.raises(IceyeError) as caught:
        await create(connect())

    assert caught.value.transient
    assert len(service.requests) == 1


async def test_a_create_over_a_connection_that_broke_while_idle_is_not_repeated(connect, service):
    service.answers(LOOK, NONE_YET)
    service.answers(TASKS, drop)
    client = connect()
    await client.derivatives.get("t1")

    with pytest.raises(TransportError):
        await create(client)

    assert len(service.asked(TASKS)) == 1


async def test_a_create_that_was_throttled_is_repeated(connect, service):
    service.answers(TASKS, (429, {"Retry-After": "3"}, b""), (201, {}, TASK))

    task = await create(connect())

    assert task.id == "t1"
    assert len(service.requests) == 2


async def test_a_create_that_never_left_is_repeated(connect, clock, closed_port):
    with pytest.raises(TransportError) as caught:
        await create(connect(closed_port, retry=RetryPolicy(tries=4)))

    assert not caught.value.sent
    assert len(clock.waits) == 3


async def test_a_create_after_a_401_goes_out_with_a_new_token(connect, service):
    class Source:
        async def token(self, stale):
            return Token("second" if stale == "first" else "first")

    service.answers(TASKS, (401, {}, b""), (201, {}, TASK))

    await create(connect(auth=Source()))

    assert [heard.headers["Authorization"] for heard in service.requests] == ["Bearer first", "Bearer second"]
    assert service.requests[0].body == service.requests[1].body != b""
