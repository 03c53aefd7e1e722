"""The fault proxy as a fixture. A test file asks for it with `pytest_plugins = ["tests.faults.plugin_fault_proxy"]`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from .fault_proxy import Fault, FaultProxy


@pytest.fixture
async def faulty() -> AsyncIterator[Callable[..., Awaitable[FaultProxy]]]:
    """Starts a proxy: `await faulty(service.url, {"black_hole": True}, {})` swallows its first connection only."""
    async with AsyncExitStack() as stack:

        async def start(upstream: str, *faults: Mapping[str, Any]) -> FaultProxy:
            return await stack.enter_async_context(FaultProxy(upstream, *(Fault(**fault) for fault in faults)))

        yield start
