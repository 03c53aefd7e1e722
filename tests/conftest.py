"""What every test may use: the documented bodies, and aioresponses made to work with aiohttp 3.14 and later."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader

DATA = Path(__file__).parent / "data"

# aioresponses 0.7.9 does not know that aiohttp 3.14 wants a stream writer, and that pausing a stream wants a parser.
if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:

    class _MockedResponse(aiohttp.ClientResponse):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.setdefault("stream_writer", Mock(output_size=0))
            super().__init__(*args, **options)

    aioresponses.core.ClientResponse = _MockedResponse
    aioresponses.core.stream_reader_factory = lambda loop=None: StreamReader(
        ResponseHandler(loop=loop), limit=2**30, loop=loop
    )


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """The documented body of this name: `derivatives-206`, for instance."""
    return lambda name: (DATA / f"{name}.json").read_bytes()
