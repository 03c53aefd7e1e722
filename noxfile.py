"""What is run on this project, each in an environment of its own. Plain `nox` runs all that must pass.

demo: the main job in a sandbox; pictures: those of the README; fuzz, conform, torture and simulate: what takes too long
for every day; bench: the benchmarks, which print and never fail.
"""

from pathlib import Path

import nox

nox.options.sessions = ["lint", "typing", "tests", "lowest", "package"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

EVERYTHING = ".[cli,cloud,geo,notebook,otel,stac]"
"""The package with all its extras."""
PROJECT = nox.project.load_toml("pyproject.toml")
BUSY = "--numprocesses=3"
"""For two cores: a third of what the tests take is waiting, for programs and for disks."""


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the mistakes that a linter sees."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """mypy, strict, on the package and on a program that uses it."""
    session.install("-e", EVERYTHING, *group("typing"))
    session.run("mypy")
    session.run("mypy", "tests/typing/api.py", "noxfile.py", "benchmarks", "docs/pictures.py")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, on the wheel as a user would install it; the pure core is covered to the last branch."""
    session.install(EVERYTHING, *group("test"))
    if not session.posargs:
        # By its own tests alone, and not by chance: these need no event loop.
        session.run("pytest", "tests/protocol", "--numprocesses=2", "--cov", "--cov-report=term")
    others = session.posargs or ["--ignore=tests/protocol"]
    session.run("pytest", BUSY, *others)


@nox.session
def lowest(session: nox.Session) -> None:
    """The tests again, with the oldest versions that the project says it works with."""
    session.install(EVERYTHING, *group("test"))
    session.install(
        *[requirement.replace(">=", "==").partition(",")[0] for requirement in PROJECT["project"]["dependencies"]]
    )
    session.run("pytest", BUSY, "-q", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """The wheel and the source archive are complete and well described."""
    session.install(*group("package"))
    dist = session.create_tmp()
    session.run("python", "-m", "build", "--outdir", dist, silent=True)
    session.run("twine", "check", "--strict", *map(str, sorted(Path(dist).glob("iceye_async-*"))))
    session.run("check-wheel-contents", dist)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, in a sandbox."""
    session.install(".[cli]")
    session.run("iceye-async", "demo", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """The pictures of the README and what the notebooks show anew, each from a real run in a sandbox."""
    session.install(EVERYTHING, *group("pictures"))
    session.run("python", "docs/pictures.py")


@nox.session
def fuzz(session: nox.Session) -> None:
    """A million mutated bodies for the decoder, of which the tests take a sample."""
    session.install(EVERYTHING, *group("test"))
    bodies = {"ICEYE_FUZZ_BODIES": "1000000"}
    session.run(
        "pytest", "tests/faults/test_fuzz.py", "--numprocesses=2", "--timeout=3600", *session.posargs, env=bodies
    )


@nox.session
def conform(session: nox.Session) -> None:
    """Ten thousand requests made from the sandbox's OpenAPI document, and as many odd ones; the tests take a sample."""
    session.install(EVERYTHING, *group("test"))
    counts = {
        "ICEYE_CONFORM_REQUESTS": "10000",
        "ICEYE_SANDBOX_ODD": "10000",
        "ICEYE_SANDBOX_TRACES": "100",
        "ICEYE_SANDBOX_CLIENTS": "5000",
    }
    files = ("tests/contract/test_openapi.py", "tests/faults/test_h_sandbox.py")
    session.run("pytest", *files, "--numprocesses=2", "--timeout=600", *session.posargs, env=counts)


@nox.session
def torture(session: nox.Session) -> None:
    """A thousand disturbed downloads, kills of 300 downloads and 300 batches, whole crowds: the tests take a part."""
    session.install(EVERYTHING, *group("test"))
    counts = {
        "ICEYE_TORTURE_DOWNLOADS": "1000",
        "ICEYE_TORTURE_KILLS": "300",
        "ICEYE_TORTURE_BATCH_KILLS": "300",
        "ICEYE_CROWD_PART": "1",
    }
    crowds = [f"tests/faults/test_{name}.py" for name in ("a_auth", "d_polling", "i_loops")]
    session.run("pytest", "tests/torture", *crowds, "--numprocesses=2", "--timeout=300", *session.posargs, env=counts)


@nox.session
def simulate(session: nox.Session) -> None:
    """Ten thousand batches in virtual time, and two of many tasks and days, of which the tests take a sample."""
    session.install(EVERYTHING, *group("test"))
    counts = {"ICEYE_SIMULATION_RUNS": "10000", "ICEYE_SIMULATION_WHOLE": "1"}
    session.run("pytest", "tests/simulation", "--numprocesses=2", "-q", *session.posargs, env=counts)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks of `benchmarks/`, one after the other."""
    session.install(".", *group("bench"))
    for program in ("import_time", "structuring", "poll_overhead", "waiting_memory", "task_life", "batch", "download"):
        session.run("python", f"benchmarks/{program}.py")
