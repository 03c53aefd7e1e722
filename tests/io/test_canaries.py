"""The fixture that looks for secrets in every test finds them, wherever they are."""

import logging

import pytest

from iceye_async import Client, IceyeError

SECRET = "c4n4ry-in-the-open"


@pytest.fixture
def found(aviary):
    """What the fixture has found so far; forgotten at the end, so that these tests can pass."""
    yield lambda: [text.partition(":")[0] for text in aviary.everything() if SECRET in text]
    aviary.seen.clear()
    aviary.errors.clear()
    aviary.sessions.clear()


def test_in_a_message_of_the_log_below_every_level(found):
    logging.getLogger("iceye_async").debug("token %s", SECRET)

    assert found() == ["logged"]


def test_in_the_facts_beside_a_message(found):
    logging.getLogger("iceye_async").debug("reply", extra={"token": SECRET})

    assert found() == ["logged"]


def test_in_the_text_of_an_error_and_in_its_pickle(found):
    IceyeError(SECRET)

    assert found() == ["error", "pickled"]


def test_in_the_facts_of_an_error(found):
    IceyeError("a text").detail = SECRET

    assert found() == ["error", "pickled"]


async def test_in_what_a_client_holds_in_the_open(found):
    async with Client("https://api.example", auth="t") as client:
        client._session.note = SECRET

        assert found() == ["session"]


def test_in_a_local_of_our_frames(found):
    with pytest.raises(IceyeError):
        # The link is refused by a frame of the package, which the caller gave it to.
        Client("https://api.example", auth="t", clock=SECRET)

    assert "in a traceback" in found()
