"""The fixtures for tests of one's own code: under which plugins, in which event loops, and what is said elsewhere.

Each test here runs a pytest of its own in a new process, which loads the plugins that it names and no others.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

README = Path(__file__).parent.parent.parent / "README.md"
ASYNCIO, ANYIO = "pytest_asyncio.plugin", "anyio.pytest_plugin"
STRICT = "asyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
AUTO = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"

COMMON = """
import asyncio, socket, sys, unittest

AT_FIRST = set(sys.modules)

from datetime import timedelta

import pytest

from iceye_async import Client, StateError
from iceye_async.sandbox import Sandbox, Scenario

ON_ASYNCIO = pytest.fixture(lambda: "asyncio", name="anyio_backend")


async def order(client, sandbox, days=1):
    now = sandbox.clock.utc()
    return await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode="SPOTLIGHT",
        point_of_interest=(51.95, 4.05),
        acquisition_window=(now + timedelta(days=days), now + timedelta(days=days + 2)),
        product_types=["GRD"],
        derivative_product_types=["DC_VESSELS"],
    )


async def works(client, sandbox):
    [contract] = await client.contracts.list()
    assert contract.id == sandbox.contract_id
"""

Run: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs these tests with these plugins, where every warning is an error."""

    def run(tests: str, *plugins: str, ini: str = "", options: tuple[str, ...] = ()) -> pytest.RunResult:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
        pytester.makepyfile(test_yours=COMMON + tests)
        # By its name, as pytest finds it of itself where nothing is disabled.
        names = [part for plugin in ("iceye_async", *plugins) for part in ("-p", plugin)]
        return pytester.runpytest_subprocess(*names, "--tb=short", *options, timeout=30)

    return run


def test_a_test_has_a_client_of_a_sandbox_of_its_own(run: Run) -> None:
    """Also in a fixture on top of it, after a test that failed, and for a wait of days; nothing leaves loopback."""
    tests = """
    import pytest_asyncio

    pytestmark = pytest.mark.asyncio
    connected, seen = [], []
    sys.addaudithook(lambda event, args: connected.append(args[1]) if event == "socket.connect" else None)


    async def test_client(iceye_client, iceye_sandbox):
        await works(iceye_client, iceye_sandbox)
        seen.append((iceye_sandbox, iceye_client))


    async def test_afterwards_the_client_is_closed_and_the_sandbox_stopped(iceye_sandbox):
        sandbox, client = seen[-1]
        assert sandbox is not iceye_sandbox
        with pytest.raises(StateError, match="closed"):
            await client.contracts.list()
        for url in (sandbox.base_url, sandbox.link_url):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0


    async def test_fails(iceye_client, iceye_sandbox):
        seen.append((iceye_sandbox, iceye_client))
        await works(iceye_client, iceye_sandbox)
        assert iceye_sandbox.contract_id == "that of another"


    async def test_after_a_failure_as_well(iceye_sandbox):
        sandbox, client = seen[-1]
        with pytest.raises(StateError, match="closed"):
            await client.contracts.list()
        async with iceye_sandbox.client() as client:
            await works(client, iceye_sandbox)


    class Shop:
        def __init__(self, client): self.client = client


    @pytest_asyncio.fixture
    async def shop(iceye_sandbox):
        async with iceye_sandbox.client(rate_limit=None) as client:
            await works(client, iceye_sandbox)
            yield Shop(client)
            await works(client, iceye_sandbox)


    async def test_fixture_of_yours(shop, iceye_sandbox):
        await works(shop.client, iceye_sandbox)


    async def test_three_days(iceye_client, iceye_sandbox, tmp_path):
        task = await order(iceye_client, iceye_sandbox, days=3)
        derivatives = await iceye_client.await_derivatives(task.id)
        assert await iceye_client.download(derivatives, to=tmp_path)
        assert iceye_sandbox.clock.now() > 3 * 24 * 3600


    async def test_only_loopback():
        assert {host for host, *_ in connected} == {"127.0.0.1"}
    """

    ran = run(dedented(tests), ASYNCIO, ini=STRICT)

    ran.assert_outcomes(passed=6, failed=1)
    ran.stdout.fnmatch_lines(["E   AssertionError: assert * == 'that of another'"])


def test_the_loop_is_the_one_of_the_test_whatever_its_scope(run: Run) -> None:
    tests = """
    import pytest_asyncio


    @pytest.mark.asyncio(loop_scope="class")
    class TestOfAClass:
        async def test_one(self, iceye_client, iceye_sandbox):
            await works(iceye_client, iceye_sandbox)

        async def test_two(self, iceye_client, iceye_sandbox):
            await works(iceye_client, iceye_sandbox)


    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.asyncio(loop_scope="module")
    async def test_module(number, iceye_client, iceye_sandbox):
        await works(iceye_client, iceye_sandbox)


    @pytest.mark.asyncio(loop_scope="package")
    async def test_package(iceye_client, iceye_sandbox):
        await works(iceye_client, iceye_sandbox)


    @pytest.mark.asyncio(loop_scope="function")
    async def test_function(iceye_client, iceye_sandbox):
        await works(iceye_client, iceye_sandbox)


    @pytest_asyncio.fixture(loop_scope="session", scope="session")
    async def loop():
        return asyncio.get_running_loop()


    @pytest_asyncio.fixture
    async def contracts(loop, iceye_client):
        return await iceye_client.contracts.list()


    @pytest.mark.asyncio
    async def test_as_the_ini_file_says(loop, contracts, iceye_client, iceye_sandbox):
        assert asyncio.get_running_loop() is loop
        await works(iceye_client, iceye_sandbox)
    """
    ini = "asyncio_default_fixture_loop_scope = session\nasyncio_default_test_loop_scope = session\n"

    run(dedented(tests), ASYNCIO, ini=ini).assert_outcomes(passed=7)


def test_a_scenario_is_overridden_or_parametrized(run: Run) -> None:
    tests = """
    @pytest.mark.parametrize("iceye_scenario", ["slow-vessels", Scenario(ends="FAILED")])
    async def test_parametrized(iceye_client, iceye_sandbox, iceye_scenario):
        await works(iceye_client, iceye_sandbox)
        given = iceye_scenario if isinstance(iceye_scenario, Scenario) else Scenario.load(iceye_scenario)
        assert iceye_sandbox.scenario == given


    class TestOverridden:
        @pytest.fixture
        def iceye_scenario(self):
            return Scenario(ends="REJECTED")

        async def test_it_counts(self, iceye_sandbox):
            assert iceye_sandbox.scenario.ends == "REJECTED"


    class TestWithASandboxOfYours:
        @pytest.fixture
        async def iceye_sandbox(self, iceye_scenario):
            async with Sandbox(iceye_scenario, speed=60) as sandbox:
                yield sandbox

        async def test_the_client_is_of_it(self, iceye_sandbox, iceye_client):
            await works(iceye_client, iceye_sandbox)
    """

    run(dedented(tests), ASYNCIO, ini=AUTO).assert_outcomes(passed=4)


ANYIO_TESTS = """
@pytest.fixture
async def contracts(iceye_client):
    yield await iceye_client.contracts.list()
    await iceye_client.contracts.list()


@pytest.mark.anyio
@pytest.mark.parametrize("iceye_scenario", [Scenario(), Scenario(ends="FAILED")])
async def test_anyio(contracts, iceye_client, iceye_sandbox, iceye_scenario):
    assert iceye_sandbox.scenario is iceye_scenario
    await works(iceye_client, iceye_sandbox)


@pytest.mark.anyio
async def test_anyio_fails(iceye_client, iceye_sandbox):
    await works(iceye_client, iceye_sandbox)
    assert iceye_sandbox.contract_id == "that of another"
"""


def test_anyio_runs_it_alone(run: Run) -> None:
    ran = run("anyio_backend = ON_ASYNCIO\n" + ANYIO_TESTS, ANYIO)

    ran.assert_outcomes(passed=2, failed=1)
    ran.stdout.fnmatch_lines(["E   AssertionError: assert * == 'that of another'"])


@pytest.mark.parametrize("plugins", [(ASYNCIO, ANYIO), (ANYIO, ASYNCIO)], ids=["asyncio first", "anyio first"])
def test_each_test_is_its_plugins_where_both_are_there(run: Run, plugins: tuple[str, str]) -> None:
    tests = """
    @pytest.mark.asyncio
    async def test_asyncio(iceye_client, iceye_sandbox):
        await works(iceye_client, iceye_sandbox)
    """

    ran = run("anyio_backend = ON_ASYNCIO\n" + ANYIO_TESTS + dedented(tests), *plugins, ini=STRICT)

    ran.assert_outcomes(passed=3, failed=1)


def test_in_auto_mode_no_mark_is_needed(run: Run) -> None:
    """Also with Hypothesis, told that its examples share a sandbox; not for a test that is anyio's by its mark."""
    tests = """
    from hypothesis import HealthCheck, given, settings, strategies as st


    async def test_plain(iceye_client, iceye_sandbox):
        await works(iceye_client, iceye_sandbox)


    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(number=st.integers())
    async def test_property(iceye_client, iceye_sandbox, number):
        await works(iceye_client, iceye_sandbox)


    anyio_backend = ON_ASYNCIO


    @pytest.mark.anyio
    async def test_whose(iceye_client):
        pass
    """

    ran = run(dedented(tests), ASYNCIO, ANYIO, ini=AUTO)

    ran.assert_outcomes(passed=2, errors=1)
    ran.stdout.fnmatch_lines(
        ['test_whose is for anyio and is run by pytest-asyncio, *: set asyncio_mode = "strict", *']
    )


def test_what_cannot_be_fails_at_once_and_says_what_to_do(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", broken="decided = 60\nimagd = 60\n")
    tests = """
    def test_sync(iceye_client):
        pass


    async def test_unmarked(iceye_client):
        pass


    @pytest.mark.usefixtures("iceye_sandbox")
    class TestCase(unittest.IsolatedAsyncioTestCase):
        async def test_case(self):
            pass


    @pytest.mark.anyio
    class TestTrio:
        anyio_backend = pytest.fixture(lambda self: ("trio", {}), name="anyio_backend")

        async def test_trio(self, iceye_client):
            pass


    @pytest.mark.asyncio
    @pytest.mark.parametrize("iceye_scenario", ["no-such", "broken.toml", 7], ids=["name", "file", "type"])
    async def test_scenario(iceye_sandbox):
        pass
    """

    ran = run(dedented(tests), ASYNCIO, ANYIO, ini=STRICT)

    ran.assert_outcomes(errors=7)
    ran.stdout.fnmatch_lines(
        [
            "iceye_sandbox lives in the event loop of an async test, and test_sync is none: write `async def`, *",
            "iceye_sandbox lives in *, and nothing runs the async test_unmarked: mark it with @pytest.mark.asyncio *",
            "iceye_sandbox is not for a unittest.TestCase: in asyncSetUp of an IsolatedAsyncioTestCase write *",
            "iceye_sandbox needs asyncio, and this test runs on trio: have a fixture anyio_backend that returns *",
            "iceye_scenario: no scenario is called 'no-such'; there are *",
            "iceye_scenario: broken.toml*2*imagd*",
            "iceye_scenario: *",
        ]
    )
    ran.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_without_a_plugin_that_runs_it_the_one_to_install_is_named(run: Run) -> None:
    ran = run("async def test_plain(iceye_client): pass\n")

    ran.assert_outcomes(errors=1)
    ran.stdout.fnmatch_lines(["*nothing runs the async test_plain: pip install pytest-asyncio, and mark it with *"])


def test_the_fixtures_are_listed_and_nothing_else_of_the_plugin(run: Run) -> None:
    listed = run("", options=("--fixtures",)).stdout

    listed.fnmatch_lines(
        [
            "iceye_scenario -- *",
            "    What happens in the sandbox, and when: *",
            "iceye_sandbox -- *",
            "    A local service that behaves as ICEYE's API does, *",
            "iceye_client -- *",
            "    An open client of `iceye_sandbox`, *",
        ]
    )
    assert listed.str().count("\niceye_") == 3
    listed.no_fnmatch_line("_iceye_*")


def test_loading_it_imports_neither_the_sandbox_nor_an_async_plugin(run: Run) -> None:
    tests = """
    def test_all_that_was_imported_before():
        assert not {"iceye_async.sandbox.server", "aiohttp.web", "pytest_asyncio", "anyio"} & AT_FIRST
    """

    run(dedented(tests)).assert_outcomes(passed=1)


def test_the_example_in_the_readme_passes(run: Run, pytester: pytest.Pytester) -> None:
    [example] = re.findall(r"^```python test\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

    run(f"\n{example}", ASYNCIO, ini=STRICT).assert_outcomes(passed=example.count("async def test_"))


def dedented(text: str) -> str:
    return re.sub(r"(?m)^    ", "", text)
