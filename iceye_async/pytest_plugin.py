"""The sandbox as fixtures of pytest, for tests of your own code: `iceye_sandbox`, `iceye_client`, `iceye_scenario`.

pytest loads this in every session: the sandbox is imported when a test asks for it. A sandbox lives in the event
loop of its test, and an event loop in a test is the matter of another plugin: here it is found out which one runs the
test, and a fixture of that plugin's kind, of which there is one for each loop, starts and stops things.
"""

import inspect
import math
import sys
import types
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from . import Client
    from .sandbox import Sandbox, Scenario

Scope: TypeAlias = Literal["function", "class", "module", "package", "session"]
AsyncFixture: TypeAlias = Callable[..., AsyncIterator[Any]]

_PYTEST_ASYNCIO = "pytest_asyncio.plugin"
_LOOP_SCOPES: tuple[Scope, ...] = ("function", "class", "module", "package", "session")


@pytest.fixture
def iceye_scenario() -> "Scenario | str | Path":
    """What happens in the sandbox, and when: a `Scenario`, the name of a built-in one, or the path of a TOML file.

    Override it in a module or a conftest.py, or for one test:
    `@pytest.mark.parametrize("iceye_scenario", ["slow-vessels", Scenario(ends="FAILED")])`.
    """
    from .sandbox import Scenario

    return Scenario()


@pytest.fixture
def iceye_sandbox(request: pytest.FixtureRequest, iceye_scenario: "Scenario | str | Path") -> "Sandbox":  # noqa: ARG001 - to be parametrized
    """A local service that behaves as ICEYE's API does, started for one async test and in its event loop.

    It follows `iceye_scenario`, and its time jumps: a wait of days takes milliseconds. Code that makes clients of its
    own is given `base_url`, `token_url`, `client_id`, `client_secret` and `clock`. A client in real time would wait for
    ever: for `Client.from_env()` take `async with Sandbox(Scenario().faster(1000)) as sandbox:` and its `environment`.
    """
    sandbox: Sandbox = request.getfixturevalue(f"_iceye_sandbox_{_driver(request)}")
    return sandbox


@pytest.fixture
def iceye_client(request: pytest.FixtureRequest, iceye_sandbox: "Sandbox") -> "Client":  # noqa: ARG001 - to be there first
    """An open client of `iceye_sandbox`, in its time; closed after the test."""
    client: Client = request.getfixturevalue(f"_iceye_client_{_driver(request)}")
    return client


# --- the fixtures that start and stop, one of which is taken -----------------------------------------------------


def _starting() -> tuple[AsyncFixture, AsyncFixture]:
    """New functions, as a plugin may mark a function for one event loop."""

    async def sandbox(iceye_scenario: "Scenario | str | Path") -> "AsyncIterator[Sandbox]":
        async with _sandbox(iceye_scenario) as sandbox:
            yield sandbox

    async def client(iceye_sandbox: "Sandbox") -> "AsyncIterator[Client]":
        async with iceye_sandbox.client() as client:
            yield client

    return sandbox, client


def pytest_configure(config: pytest.Config) -> None:
    fixtures = types.ModuleType("iceye_async_fixtures")
    for function in _starting():
        name = f"_iceye_{function.__name__}_anyio"
        setattr(fixtures, name, pytest.fixture(function, name=name))
    if _has(config, _PYTEST_ASYNCIO):
        import pytest_asyncio

        for scope in _LOOP_SCOPES:
            for function in _starting():
                name = f"_iceye_{function.__name__}_asyncio_{scope}"
                setattr(fixtures, name, pytest_asyncio.fixture(function, loop_scope=scope, name=name))
    config.pluginmanager.register(fixtures, fixtures.__name__)


def _sandbox(scenario: "Scenario | str | Path") -> "Sandbox":
    from .sandbox import Sandbox, ScenarioError

    try:
        return Sandbox(scenario, speed=math.inf)
    except (ScenarioError, TypeError) as error:
        text = f"iceye_scenario: {error}"
    pytest.fail(text, pytrace=False)


# --- who runs the test -------------------------------------------------------------------------------------------


def _has(config: pytest.Config, module: str) -> bool:
    """Whether this plugin takes part, under whatever name; that it is installed is not enough."""
    return module in sys.modules and config.pluginmanager.is_registered(sys.modules[module])


def _driver(request: pytest.FixtureRequest) -> str:
    """Which fixtures have the event loop of this test. The test fails where there is none."""
    test, is_anyio = request.node, "anyio_backend" in request.fixturenames
    if _is_pytest_asyncio(test):
        if is_anyio:
            pytest.fail(_two_loops(request), pytrace=False)
        return f"asyncio_{_loop_scope(test)}"
    if not is_anyio or not _is_async(test):
        pytest.fail(_no_loop(request), pytrace=False)
    backend = request.getfixturevalue("anyio_backend")
    name = backend if isinstance(backend, str) else backend[0]
    if name != "asyncio":
        pytest.fail(_other_loop(request, name), pytrace=False)
    return "anyio"


def _is_pytest_asyncio(item: pytest.Item) -> bool:
    if not _has(item.config, _PYTEST_ASYNCIO):
        return False
    import pytest_asyncio

    return pytest_asyncio.is_async_test(item)


def _loop_scope(item: pytest.Item) -> str:
    marker = item.get_closest_marker("asyncio")
    given = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope") if marker else None
    return str(given or item.config.getini("asyncio_default_test_loop_scope"))


def _is_async(item: pytest.Item) -> bool:
    test = getattr(item, "obj", None)
    function = getattr(getattr(test, "hypothesis", None), "inner_test", test)
    return inspect.iscoroutinefunction(function) and not _is_unittest(item)


def _is_unittest(item: pytest.Item) -> bool:
    import unittest

    return issubclass(getattr(item, "cls", None) or object, unittest.TestCase)


# --- why it cannot be, and what to do ------------------------------------------------------------------------------


def _no_loop(request: pytest.FixtureRequest) -> str:
    test, wanted = request.node, request.fixturename
    if _is_unittest(test):
        return (
            f"{wanted} is not for a unittest.TestCase: in asyncSetUp of an IsolatedAsyncioTestCase write"
            " `self.sandbox = await self.enterAsyncContext(Sandbox(speed=math.inf))`"
        )
    if not _is_async(test):
        return (
            f"{wanted} lives in the event loop of an async test, and {test.name} is none: write `async def`, with"
            " @pytest.mark.asyncio (pytest-asyncio) or @pytest.mark.anyio (anyio); or"
            " `async with Sandbox(speed=math.inf) as sandbox:` within asyncio.run()"
        )
    plugins = {"asyncio": _PYTEST_ASYNCIO, "anyio": "anyio.pytest_plugin"}
    marks = " or ".join(f"@pytest.mark.{mark}" for mark, plugin in plugins.items() if _has(test.config, plugin))
    step = f"mark it with {marks}" if marks else "pip install pytest-asyncio, and mark it with @pytest.mark.asyncio"
    return f"{wanted} lives in the event loop of its test, and nothing runs the async {test.name}: {step}"


def _two_loops(request: pytest.FixtureRequest) -> str:
    return (
        f"{request.node.name} is for anyio and is run by pytest-asyncio, so async fixtures would be in another event"
        ' loop than the test: set asyncio_mode = "strict", or take one of the two marks away'
    )


def _other_loop(request: pytest.FixtureRequest, name: str) -> str:
    return (
        f"{request.fixturename} needs asyncio, and this test runs on {name}: have a fixture anyio_backend that returns"
        ' "asyncio"'
    )
