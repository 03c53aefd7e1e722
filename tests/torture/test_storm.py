"""The storm does what its plan says, seen by a plain client that knows nothing but HTTP."""

import asyncio
import json
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.torture.fetching import TRIES
from tests.torture.storm import (
    MIB,
    MOST_SILENT,
    SILENT,
    TASK,
    TOKEN,
    WEIGHTS,
    Disturbance,
    Storm,
    seeded,
    weather,
)

SIZE = 3 * MIB


class Answer(NamedTuple):
    """What came before the connection was over; `head` is empty where no whole head came, `reset` how it ended."""

    head: str
    body: bytes
    reset: bool = False

    @property
    def status(self):
        return int(self.head.split(" ")[1]) if self.head else 0

    def header(self, name):
        lines = dict(line.split(": ", 1) for line in self.head.split("\r\n")[1:])
        return lines.get(name)


async def get(url, **headers):
    """Ask once, and read until the host has no more to say or the body is whole."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = {"Host": parts.netloc, "Accept-Encoding": "identity", **headers}
    said = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    writer.write(f"GET {url.removeprefix(f'http://{parts.netloc}')} HTTP/1.1\r\n{said}\r\n".encode())
    head, body = "", b""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()[:-4]
        length = int(Answer(head, b"").header("Content-Length"))
        while len(body) < length and (piece := await reader.read(length - len(body))):
            body += piece
        return Answer(head, body)
    except asyncio.IncompleteReadError:
        return Answer(head, body)
    except ConnectionResetError:
        return Answer(head, body, reset=True)
    finally:
        writer.close()


def storm(*kinds, where=0.5, **facts):
    return Storm("tried", SIZE, [Disturbance(kind=kind, where=where, **facts) for kind in kinds])


async def test_in_clear_weather_it_gives_the_object_and_its_parts():
    async with storm() as host:
        whole = await get(host.link())
        part = await get(host.link(), Range="bytes=10-19", If_Range=host.current.etag)
        rest = await get(host.link(), Range=f"bytes={SIZE - 5}-", If_Range=host.current.etag)
        beyond = await get(host.link(), Range=f"bytes={SIZE}-", If_Range=host.current.etag)
        other = await get(host.link(), Range="bytes=10-19", If_Range='"another"')

    assert (whole.status, whole.body) == (200, host.current.content)
    assert whole.header("ETag") == host.current.etag
    assert (part.status, part.body) == (206, host.current.content[10:20])
    assert part.header("Content-Range") == f"bytes 10-19/{SIZE}"
    assert (rest.status, rest.body) == (206, host.current.content[-5:])
    assert (beyond.status, beyond.header("Content-Range")) == (416, f"bytes */{SIZE}")
    assert (other.status, other.body) == (200, host.current.content)
    assert host.sent == host.epochs[0].sent == 2 * SIZE + 15
    assert host.complaints == []


@pytest.mark.parametrize("size", [0, 1])
async def test_next_to_nothing_is_an_object_as_well(size):
    async with Storm("tried", size, [Disturbance(kind="close")]) as host:
        answer = await get(host.link())

    assert (answer.status, answer.body) == (200, host.current.content)
    assert host.disturbances == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_a_drop_comes_before_the_answer(reset):
    async with storm("drop", reset=reset) as host:
        assert await get(host.link()) == ("", b"", reset)
        assert (await get(host.link())).body == host.current.content

    assert host.disturbances == 1
    assert host.sent == SIZE


async def test_a_head_may_be_cut():
    async with storm("cut head") as host:
        assert await get(host.link()) == ("", b"", False)


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_a_connection_ends_in_the_middle_of_the_body(kind, where):
    async with storm(kind, where=where) as host:
        answer = await get(host.link())
        rest = await get(host.link(), Range=f"bytes={len(answer.body)}-", If_Range=host.current.etag)

    expected = 1 + int(where * (SIZE - 2))
    assert answer.reset == (kind == "reset")
    assert answer.header("Content-Length") == str(SIZE)
    assert expected - MIB / 2 <= len(answer.body) <= expected
    assert len(answer.body) == expected or answer.reset
    assert host.asked[0].sent == expected
    assert answer.body + rest.body == host.current.content
    assert host.again == expected - len(answer.body)


async def test_it_may_be_busy():
    async with storm("busy", retry_after="0") as host:
        answer = await get(host.link())

    assert (answer.status, answer.header("Retry-After")) == (503, "0")


async def test_links_expire_all_at_once_and_the_api_gives_new_ones():
    async with storm("expire", "expire") as host:
        old = host.link()
        statuses = [(await get(old)).status, (await get(old)).status]
        listed = await get(f"{host.url}/api/tasking/v2/tasks/{TASK}/derivatives", Authorization=f"Bearer {TOKEN}")
        href = json.loads(listed.body)["data"][0]["assets"][0]["href"]
        # The new one must be of use, as often as an old one was refused, before it expires too.
        statuses += [(await get(href)).status for _ in range(3)]

    assert statuses == [403, 403, 200, 200, 403]
    assert host.renewals == 1
    assert host.disturbances == 2


async def test_a_link_has_an_end_of_its_own():
    async with storm() as host:
        assert (await get(host.link(life=-1.0))).status == 403
        assert (await get(f"{host.link()}x")).status == 403


async def test_only_a_range_can_be_ignored():
    async with storm("ignore") as host:
        assert (await get(host.link())).status == 200
        assert host.disturbances == 0
        ignored = await get(host.link(), Range="bytes=10-19", If_Range=host.current.etag)

    assert (ignored.status, ignored.body) == (200, host.current.content)
    assert [epoch.sent for epoch in host.epochs] == [SIZE, SIZE]
    assert host.again == 0


async def test_the_object_may_be_another_one_from_then_on():
    async with storm("replace") as host:
        before = host.current
        answer = await get(host.link(), Range="bytes=10-19", If_Range=before.etag)

    assert before.etag != host.current.etag
    assert (answer.status, answer.body) == (200, host.current.content)
    assert host.versions == [before, host.current]


async def test_it_complains_of_what_a_client_may_never_do():
    async with storm() as host:
        await get(host.link(), Authorization="Bearer x")
        await get(host.link(), Range="bytes=1-2")
        await get(host.link().replace("storm.geojson", "other"))
        await get(host.link(), Accept_Encoding="gzip")
        await get(f"{host.url}/api/tasking/v2/tasks/{TASK}/derivatives")

    assert len(host.complaints) == 5


def test_a_plan_is_the_same_for_the_same_seed_and_knows_all_kinds_of_weather():
    plans = [weather(seeded(f"{number}"), most=10) for number in range(300)]

    assert plans == [weather(seeded(f"{number}"), most=10) for number in range(300)]
    assert {fate.kind for plan in plans for fate in plan} == set(WEIGHTS)
    assert {len(plan) for plan in plans} == set(range(1, 11))
    assert max(sum(fate.kind in SILENT for fate in plan) for plan in plans) == MOST_SILENT


def test_no_plan_is_more_than_the_tortured_clients_endure():
    assert TRIES.tries > MOST_SILENT


async def test_a_plain_client_that_goes_on_by_hand_gets_it_whole_through_any_weather():
    for seed in range(20):
        rng = seeded(f"{seed}")
        async with Storm(f"{seed}", rng.randrange(2 * MIB), weather(rng, most=10)) as host:
            etag, content, link = None, b"", host.link()
            while etag != host.current.etag or len(content) < host.current.size:
                answer = await get(link, **({"Range": f"bytes={len(content)}-", "If_Range": etag} if content else {}))
                link = host.link() if answer.status == 403 else link
                if answer.status in {200, 206}:
                    content, etag = (content if answer.status == 206 else b"") + answer.body, answer.header("ETag")

        assert content == host.current.content
        assert host.complaints == []
        assert all(epoch.again <= epoch.bound for epoch in host.epochs)
