"""What a client is made from: addresses and tokens that are refused, and what the environment says."""

import asyncio
import time
from email.utils import formatdate

import pytest

from iceye_async import Client, ClientCredentials, Token, TransportError, UsageError

CREDENTIALS = {
    "ICEYE_TOKEN_URL": "https://id.example/oauth2/token",
    "ICEYE_CLIENT_ID": "an-id",
    "ICEYE_CLIENT_SECRET": "s3cr3t",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Nothing of the real environment; calling it sets variables."""
    names = ["ICEYE_BASE_URL", "ICEYE_ACCESS_TOKEN", *CREDENTIALS]
    for name in [*names, "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"]:
        monkeypatch.delenv(name, raising=False)
    return lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]


@pytest.fixture
async def proxy():
    """An HTTP proxy on loopback that notes the first line of each request and refuses it."""
    lines = []

    async def refuse(reader, writer):
        lines.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lines


REFUSED = [
    "http://platform.iceye.com",
    "http://10.0.0.1",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://0.0.0.0",
    "http://[fe80::1]",
    "ftp://platform.iceye.com",
    "platform.iceye.com",
    "/relative",
    "https://",
    "https://user:password@platform.iceye.com",
    "https://platform.iceye.com?x=1",
    "",
    None,
    7,
]
ALLOWED = ["https://platform.iceye.com", "http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"]


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_would_show_the_token_or_is_none_is_refused(url):
    with pytest.raises(UsageError, match="base_url"):
        Client(url, auth="c4n4ry-token")
    with pytest.raises(UsageError, match="token_url"):
        ClientCredentials(url, "an-id", "c4n4ry-secret")


@pytest.mark.parametrize("url", ALLOWED)
def test_https_and_this_machine_are_fine(url):
    Client(url, auth="c4n4ry-token")
    ClientCredentials(url, "an-id", "c4n4ry-secret")


@pytest.mark.parametrize(
    "token", ["", "with\nbreak", "trailing\n", "a\rb", "nul\x00", "t\u00f6ken", "two words", "\ud800"]
)
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token):
    for make in (lambda: Client(auth=token), lambda: Token(token)):
        with pytest.raises(UsageError) as caught:
            make()
        assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    "auth", [None, 7, b"c4n4ry-token", object(), {"token": "a"}], ids=lambda auth: type(auth).__name__
)
def test_what_is_no_way_to_sign_in_is_refused(auth):
    with pytest.raises(UsageError):
        Client(auth=auth)


@pytest.mark.parametrize(("client_id", "client_secret"), [("", "s"), ("i", ""), (" ", "s"), ("i", None)])
def test_empty_credentials_are_refused(client_id, client_secret):
    with pytest.raises(UsageError, match="is empty"):
        ClientCredentials("https://id.example/token", client_id, client_secret)


# --- from_env ----------------------------------------------------------------------------------------------------


async def test_an_access_token_in_the_environment_is_enough(environment, service):
    environment({"ICEYE_ACCESS_TOKEN": "from-env", "ICEYE_BASE_URL": service.url})
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {}, b'{"data": []}'))
    client = Client.from_env()

    await client.derivatives.get("t1")
    await client.close()

    assert service.requests[0].headers["Authorization"] == "Bearer from-env"


async def test_credentials_in_the_environment_win_over_a_token(environment, service):
    environment({**CREDENTIALS, "ICEYE_TOKEN_URL": f"{service.url}/token", "ICEYE_ACCESS_TOKEN": "old"})
    environment({"ICEYE_BASE_URL": service.url})
    service.answers("/token", (200, {}, b'{"access_token": "new", "expires_in": 3600}'))
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {}, b'{"data": []}'))
    client = Client.from_env()

    await client.derivatives.get("t1")
    await client.close()

    assert service.requests[-1].headers["Authorization"] == "Bearer new"


async def test_a_client_of_the_environment_can_be_listened_to_and_be_slower(environment, service):
    environment({"ICEYE_ACCESS_TOKEN": "from-env", "ICEYE_BASE_URL": service.url})
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {}, b'{"data": []}'))
    heard = []

    async with Client.from_env(rate_limit=2.0, on_event=heard.append) as client:
        await client.derivatives.get("t1")

    assert [event.status for event in heard] == [200]
    with pytest.raises(UsageError, match="rate_limit"):
        Client.from_env(rate_limit=0)


@pytest.mark.parametrize("seconds", [-120, 0, 3600])
async def test_a_client_tells_how_far_the_clock_of_its_machine_is_off(connect, service, seconds):
    date = formatdate(time.time() + seconds, usegmt=True)
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {"Date": date}, b'{"data": []}'))
    client = connect()
    assert client.skew is None

    await client.derivatives.get("t1")

    assert abs(client.skew - seconds) < 10


async def test_a_client_tells_its_time(connect, clock):
    assert connect().clock is clock


def test_without_a_base_url_it_is_the_documented_one(environment):
    environment({"ICEYE_ACCESS_TOKEN": "from-env"})

    assert "https://platform.iceye.com" in repr(Client.from_env())


def test_an_empty_environment_is_told_what_to_set():
    with pytest.raises(UsageError, match=r"ICEYE_TOKEN_URL.*ICEYE_CLIENT_ID.*ICEYE_CLIENT_SECRET.*ICEYE_ACCESS_TOKEN"):
        Client.from_env()


@pytest.mark.parametrize(
    "value", ["", "  ", "<your token url>", "${TOKEN}", "your-secret", "YOUR_ID", "changeme", "ChangeMe"]
)
@pytest.mark.parametrize("name", CREDENTIALS)
def test_an_empty_or_placeholder_credential_is_named_and_no_value_shown(environment, name, value):
    environment({**CREDENTIALS, name: value})

    with pytest.raises(UsageError, match=name) as caught:
        Client.from_env()

    assert "s3cr3t" not in str(caught.value)
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_missing_credential_is_named(environment, name):
    environment({key: value for key, value in CREDENTIALS.items() if key != name})

    with pytest.raises(UsageError, match=name):
        Client.from_env()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ICEYE_BASE_URL", ""),
        ("ICEYE_BASE_URL", "<url>"),
        ("ICEYE_ACCESS_TOKEN", ""),
        ("ICEYE_ACCESS_TOKEN", "${TOKEN}"),
    ],
)
def test_other_variables_are_checked_alike(environment, name, value):
    environment({"ICEYE_ACCESS_TOKEN": "from-env", name: value})

    with pytest.raises(UsageError, match=name):
        Client.from_env()


async def ask(client):
    async with client:
        await client.derivatives.get("t1")


async def test_the_proxy_of_the_environment_is_read_once(environment, proxy):
    url, lines = proxy
    environment({"ICEYE_ACCESS_TOKEN": "from-env", "ICEYE_BASE_URL": "https://api.example", "HTTPS_PROXY": url})
    client = Client.from_env()
    environment({"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "*"})

    with pytest.raises(TransportError, match="proxy"):
        await ask(client)

    assert set(lines) == {"CONNECT api.example:443 HTTP/1.1"}


async def test_no_proxy_is_read_once_and_honoured(environment, proxy, closed_port):
    url, lines = proxy
    base = closed_port.replace("http://127.0.0.1", "https://localhost")
    environment({"ICEYE_ACCESS_TOKEN": "from-env", "ICEYE_BASE_URL": base, "HTTPS_PROXY": url, "NO_PROXY": "localhost"})
    client = Client.from_env()
    environment({"NO_PROXY": ""})

    with pytest.raises(TransportError, match="no connection"):
        await ask(client)

    assert not lines


async def test_a_client_made_by_hand_does_not_look_at_the_environment(environment, proxy, service):
    url, lines = proxy
    environment({"HTTPS_PROXY": url, "HTTP_PROXY": url, "http_proxy": url})
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {}, b'{"data": []}'))

    await ask(Client(service.url, auth="c4n4ry-token"))

    assert not lines


@pytest.mark.parametrize("value", ["proxy.example:3128", "socks5://proxy.example:1080", "http://"])
def test_a_proxy_of_the_environment_that_cannot_be_used_is_named(environment, value):
    environment({"ICEYE_ACCESS_TOKEN": "from-env", "HTTPS_PROXY": value})

    with pytest.raises(UsageError, match=r"HTTPS_PROXY|proxy"):
        Client.from_env()


@pytest.mark.parametrize(
    ("option", "wrong"),
    [("poll", None), ("retry", None), ("ssl", "x"), ("clock", 3), ("http", 3), ("timeout", 0), ("in_flight", 0.5)],
)
def test_what_cannot_work_is_refused_when_the_client_is_made(option, wrong):
    with pytest.raises(UsageError, match=option):
        Client("https://api.example", auth="c4n4ry-token", **{option: wrong})


@pytest.mark.parametrize(
    "address", ["https://h.example#f", "https://:pw@h.example", "https://h.example/api/tasking/v2"]
)
def test_an_address_that_would_lead_elsewhere_is_refused(address):
    with pytest.raises(UsageError, match="base_url"):
        Client(address, auth="c4n4ry-token")


@pytest.mark.parametrize("secret", ["c4n4ry\n", " c4n4ry", "c4n\r4ry", "c4n4ry "])
def test_a_secret_that_was_read_with_its_line_break_is_refused_and_not_shown(secret):
    with pytest.raises(UsageError, match=r"client_secret .* line break") as caught:
        ClientCredentials("https://id.example/token", "an-id", secret)

    assert "c4n" not in str(caught.value)


@pytest.mark.parametrize("token", ['"c4n4ry"', "'c4n4ry'"])
def test_a_token_in_the_quotes_of_a_shell_is_refused(token):
    with pytest.raises(UsageError, match="in quotes"):
        Client(auth=token)


@pytest.mark.parametrize("value", ["...", "xxx", "XXXXXXXX", "TODO", "replace_me", "REPLACE-ME", "change_me"])
def test_more_words_that_stand_for_a_value_are_told_from_one(monkeypatch, value):
    monkeypatch.delenv("ICEYE_CLIENT_ID", raising=False)
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", value)

    with pytest.raises(UsageError, match="ICEYE_ACCESS_TOKEN still holds a placeholder"):
        Client.from_env()
