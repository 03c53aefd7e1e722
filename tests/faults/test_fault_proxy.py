"""The fault proxy does what it says, or the tests that use it prove nothing."""

import asyncio
import time

import pytest

pytest_plugins = ["tests.faults.plugin_fault_proxy"]

BODY = bytes(range(256)) * 4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: 1024\r\n\r\n"
WHOLE = len(HEAD + BODY)
REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Server:
    """Answers each request with the same bytes; `heard` is all that came."""

    def __init__(self):
        self.heard = bytearray()
        self.connections = 0

    async def serve(self, reader, writer):
        self.connections += 1
        while data := await reader.read(65_536):
            self.heard += data
            writer.write(HEAD + BODY)
        writer.close()


@pytest.fixture
async def server():
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


class Answer:
    """What came back over one connection: pieces, and the moments at which they came."""

    def __init__(self):
        self.pieces, self.moments = [], []

    @property
    def whole(self):
        return b"".join(self.pieces)

    async def read(self, reader, most):
        while len(self.whole) < most and (piece := await reader.read(65_536)):
            self.pieces.append(piece)
            self.moments.append(time.monotonic() - self.began)


@pytest.fixture
async def ask():
    """Sends a request through a proxy and gives the answer, until it is whole or the other side has closed."""
    writers = []

    async def ask(proxy, most=WHOLE, answer=None):
        answer = Answer() if answer is None else answer
        answer.began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        writers.append(writer)
        writer.write(REQUEST)
        async with asyncio.timeout(5):
            await answer.read(reader, most)
        return answer

    yield ask
    for writer in writers:
        writer.close()


async def test_without_a_fault_every_byte_passes_both_ways(faulty, server, ask):
    answer = await ask(await faulty(server.url))

    assert answer.whole == HEAD + BODY
    assert server.heard == REQUEST


async def test_latency_delays_the_answer(faulty, server, ask):
    answer = await ask(await faulty(server.url, {"latency": 0.1}))

    assert answer.moments[0] >= 0.1
    assert answer.whole == HEAD + BODY


async def test_bandwidth_stretches_the_answer(faulty, server, ask):
    answer = await ask(await faulty(server.url, {"bandwidth": 10_000}))

    assert answer.moments[-1] >= WHOLE / 10_000
    assert answer.moments[0] < answer.moments[-1] / 2
    assert answer.whole == HEAD + BODY


async def test_slices_change_no_byte(faulty, server, ask):
    answer = await ask(await faulty(server.url, {"slices": 7}))

    assert len(answer.pieces) > 10
    assert answer.whole == HEAD + BODY


async def test_a_slow_body_comes_byte_by_byte_behind_a_whole_head(faulty, server, ask):
    answer = await ask(await faulty(server.url, {"slow_body": 0.02}), most=len(HEAD) + 4)

    assert answer.pieces[0] == HEAD
    assert answer.moments[-1] >= 0.08
    assert answer.whole == HEAD + BODY[:4]


@pytest.mark.parametrize("length", [0, 1, len(HEAD), len(HEAD) + 500])
async def test_a_truncated_answer_ends_after_so_many_bytes(faulty, server, ask, length):
    answer = await ask(await faulty(server.url, {"truncate_after": length}))

    assert answer.whole == (HEAD + BODY)[:length]


async def test_a_cut_header_ends_in_the_middle_of_its_name(faulty, server, ask):
    answer = await ask(await faulty(server.url, {"cut_header": True}))

    assert answer.whole == b"HTTP/1.1 200 OK\r\nCont"


@pytest.mark.parametrize("length", [0, 100])
async def test_a_reset_is_no_orderly_end(faulty, server, ask, length):
    answer = Answer()
    with pytest.raises(ConnectionResetError):
        await ask(await faulty(server.url, {"reset_after": length}), answer=answer)

    assert len(answer.whole) <= length
    assert server.heard == REQUEST


async def test_a_connection_that_is_reset_on_reuse_answers_once(faulty, server):
    proxy = await faulty(server.url, {"reset_on_reuse": True})
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
    writer.write(REQUEST)
    assert await reader.readexactly(WHOLE) == HEAD + BODY

    writer.write(REQUEST)

    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert server.heard == REQUEST
    writer.close()


async def test_a_black_hole_accepts_and_never_answers(faulty, server, ask):
    proxy = await faulty(server.url, {"black_hole": True})

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await ask(proxy)

    assert proxy.connections == 1
    assert server.connections == 0


async def test_each_connection_has_a_fault_of_its_own_and_the_last_stands_for_the_rest(faulty, server, ask):
    proxy = await faulty(server.url, {"truncate_after": 3}, {"truncate_after": 5}, {})

    lengths = [len((await ask(proxy)).whole) for _ in range(4)]

    assert lengths == [3, 5, WHOLE, WHOLE]


@pytest.mark.parametrize("black_hole", [False, True])
async def test_when_the_client_hangs_up_the_proxy_lets_go_of_the_connection(faulty, server, black_hole):
    proxy = await faulty(server.url, {"black_hole": black_hole})
    _, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
    writer.write(REQUEST)

    writer.close()

    async with asyncio.timeout(5):
        await proxy.idle.wait()
