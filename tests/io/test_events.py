"""What `on_event` and the log are told: each thing once, as a value with a type, and never a secret."""

import json
import logging

import pytest

from iceye_async import ClientCredentials, Derivative, DerivativeAsset, NotFound, ServerError, UsageError, events

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NONE_YET = (200, {}, b'{"data": []}')
DOWN = (503, {}, b"")
ENTRY = {"id": "d", "derivativeProductType": "V", "assets": [{"href": "https://l.example/f?Signature=c4n4ry"}]}
SOME, ALL = ((status, {}, json.dumps({"data": [ENTRY]}).encode()) for status in (206, 200))


@pytest.fixture
def told():
    return []


def of(kind, told):
    return [event for event in told if type(event) is kind]


async def test_each_request_is_told_with_its_status(connect, service, told):
    service.answers(LOOK, DOWN, NONE_YET)

    await connect(on_event=told.append).derivatives.get("t1")

    requested = of(events.Requested, told)
    assert [(event.method, event.host, event.path, event.status) for event in requested] == [
        ("GET", "127.0.0.1", LOOK, 503),
        ("GET", "127.0.0.1", LOOK, 200),
    ]
    assert all(event.error is None and 0 <= event.seconds < 60 for event in requested)


async def test_a_request_without_a_reply_is_told_with_its_error(connect, closed_port, told):
    with pytest.raises(events.IceyeError):
        await connect(closed_port, on_event=told.append).tasks.get("t1")

    first = of(events.Requested, told)[0]
    assert first.status is None
    assert "no connection" in str(first.error)


async def test_a_repeat_is_told_with_its_pause_and_its_reason(connect, service, told, clock):
    service.answers(LOOK, (503, {"Retry-After": "7"}, b""), NONE_YET)

    await connect(on_event=told.append).derivatives.get("t1")

    (retried,) = of(events.Retried, told)
    assert (retried.method, retried.path) == ("GET", LOOK)
    assert retried.wait == clock.waits[0] >= 7
    assert isinstance(retried.error, ServerError)


async def test_a_429_is_told_with_the_pause_it_makes(connect, service, told):
    service.answers(LOOK, (429, {"Retry-After": "9"}, b""), NONE_YET)

    await connect(on_event=told.append).derivatives.get("t1")

    assert of(events.Throttled, told) == [events.Throttled(seconds=9.0)]


async def test_a_new_token_is_told_with_its_life_and_without_its_value(connect, service, told):
    service.answers("/token", (200, {}, b'{"access_token": "c4n4ry-tok", "expires_in": 1800}'))
    service.answers(LOOK, NONE_YET)
    auth = ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-sec")

    await connect(auth=auth, on_event=told.append).derivatives.get("t1")

    assert of(events.TokenRenewed, told) == [events.TokenRenewed(expires_in=1800.0)]
    assert [event.path for event in of(events.Requested, told)] == ["/token", LOOK]
    assert "c4n4ry-tok" not in repr(told)
    assert "c4n4ry-sec" not in repr(told)


async def test_each_update_of_a_wait_is_told(connect, service, told):
    service.answers(LOOK, SOME, ALL)

    updates = [update async for update in connect(on_event=told.append).await_derivatives("t1")]

    assert of(events.Updated, told) == [events.Updated(task_id="t1", update=update) for update in updates]
    assert len(updates) == 2


async def test_a_download_is_told_event_by_event(connect, other, told, tmp_path):
    other.answers("/f", (200, {}, b"x" * 100))
    found = Derivative(
        id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f?Signature=c4n4ry"),)
    )

    seen = [event async for event in connect(on_event=told.append).download(found, tmp_path)]

    assert [event for event in told if not isinstance(event, events.Requested)] == seen
    assert [type(event) for event in seen] == [events.Started, events.Progressed, events.Finished]
    assert [(event.host, event.path, event.status) for event in of(events.Requested, told)] == [
        ("127.0.0.1", "/f", 200)
    ]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyError("mine"), RuntimeError("mine")])
async def test_a_callback_that_fails_is_logged_and_changes_nothing(connect, service, caplog, error):
    service.answers(LOOK, SOME, ALL)

    def fail(event):
        raise error

    derivatives = await connect(on_event=fail).await_derivatives("t1")

    assert len(derivatives) == 1
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.getMessage() for record in warnings} == {"on_event raised"}
    assert {record.event for record in warnings} == {"Requested", "Updated"}
    assert [record.exc_info is not None and bool(record.exc_info) for record in warnings].count(True) == 1


async def test_ctrl_c_in_a_callback_is_not_swallowed(connect, service):
    service.answers(LOOK, NONE_YET)

    class Stop(BaseException):
        pass

    def stop(event):
        raise Stop

    with pytest.raises(Stop):
        await connect(on_event=stop).derivatives.get("t1")


async def test_a_callback_that_would_have_to_be_awaited_is_logged(connect, service, caplog):
    service.answers(LOOK, NONE_YET)

    await connect(on_event=lambda event: unawaited(event)).derivatives.get("t1")

    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["on_event gave a coroutine, and is not awaited"]


async def unawaited(event):
    pass


class Unawaited:
    async def __call__(self, event):
        pass


@pytest.mark.parametrize("on_event", [unawaited, Unawaited(), "print", 1])
def test_what_cannot_be_called_is_refused(connect, on_event):
    with pytest.raises(UsageError, match="on_event is a plain function"):
        connect("https://api.example", on_event=on_event)


# --- the log ---------------------------------------------------------------------------------------------------


async def test_every_request_is_one_line_at_debug_with_its_facts_beside_it(connect, service, other, caplog, tmp_path):
    caplog.set_level(logging.DEBUG, "iceye_async")
    service.answers("/token", (200, {}, b'{"access_token": "c4n4ry-tok"}'))
    service.answers(LOOK, NONE_YET)
    service.answers(TASK, (404, {}, b""))
    other.answers("/f", (200, {}, b"x"))
    client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-sec"))
    found = Derivative(
        id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f?Signature=c4n4ry"),)
    )

    await client.derivatives.get("t1")
    with pytest.raises(NotFound):
        await client.tasks.get("t1")
    await client.download(found, tmp_path)

    told = [(record.getMessage(), record.method, record.host, record.path, record.status) for record in caplog.records]
    assert told == [
        ("reply", "POST", "127.0.0.1", "/token", 200),
        ("reply", "GET", "127.0.0.1", LOOK, 200),
        ("reply", "GET", "127.0.0.1", TASK, 404),
        ("reply", "GET", "127.0.0.1", "/f", 200),
    ]


async def test_nothing_routine_is_logged_above_debug(connect, service, caplog):
    caplog.set_level(logging.INFO)
    service.answers(LOOK, DOWN, (404, {}, b""), SOME, ALL)
    service.answers(TASK, DOWN)

    await connect(auth="c4n4ry-token").await_derivatives("t1")

    assert not caplog.records


async def test_a_service_that_contradicts_itself_is_logged_once_for_each_wait(connect, service, caplog):
    gap = {**ENTRY, "assets": []}
    partial = (200, {}, json.dumps({"data": [gap]}).encode())
    service.answers(LOOK, partial, partial, partial, ALL)

    await connect().await_derivatives("t1")

    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.levelname, record.getMessage(), record.task_id) for record in warnings] == [
        ("WARNING", "the service called a listing complete in which files are missing", "t1")
    ]


async def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_is_over(connect, service, caplog):
    caplog.set_level(logging.INFO)
    service.answers(LOOK, *[DOWN] * 30, ALL)

    await connect().await_derivatives("t1")

    assert [(record.levelname, record.getMessage(), record.failures) for record in caplog.records] == [
        ("WARNING", "the service fails", 5),
        ("INFO", "the service answers again", 30),
    ]
