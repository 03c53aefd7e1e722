"""`iceye-async doctor`: what a wait of days needs, looked at beforehand."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from urllib.parse import urlsplit

import click

from ..client import BASE_URL, Client
from ..errors import Forbidden, IceyeError, NotFound, Unauthorized
from ..events import Event, Requested, TokenRenewed
from ..models import Contract
from .bugs import versions
from .exits import Exit, NoCredentials, code_of
from .output import Check, Output
from .running import answers, connect
from .words import PROGRAM, SECRETS, told

_VARIABLES = ("ICEYE_BASE_URL", "ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET", "ICEYE_ACCESS_TOKEN")
_EXTRAS = {"cloud": "obstore", "otel": "opentelemetry"}
_OFF = 30.0
"""Seconds that a clock may be off without a word."""


@click.command()
@answers
async def doctor(out: Output) -> Exit:
    """Look for what could go wrong, and say what to mend.

    At versions, environment, network, credentials and clock.

    It asks the service for the list of contracts, and for nothing else.
    """
    seen: list[Event] = []
    wrong = ""
    try:
        opening = connect(on_event=seen.append)
    except NoCredentials as error:
        wrong = told(error).partition("; `")[0]
    for check in (*_installed(), *_environment(os.environ, wrong)):
        out.check(check)
    if wrong:
        out.check(Check("credentials", "failed", wrong, f"`{PROGRAM} --help` tells which are needed"))
        for name in ("token", "service", "account", "clock"):
            out.check(Check(name, "skipped", "needs credentials"))
        return Exit.CREDENTIALS
    async with opening as client:
        return await _ask(out, client, seen)


async def _ask(out: Output, client: Client, seen: list[Event]) -> Exit:
    """One call, and what can be told from it."""
    failure: IceyeError | None = None
    account = Check("account", "skipped", "the list of contracts was not to be had")
    try:
        contracts = await client.contracts.list()
    except IceyeError as error:
        failure = error
    else:
        account = _account(contracts)
    for check in (_token(seen, failure), _service(seen, failure), account, _clock(client.skew)):
        out.check(check)
    if failure is None:
        return Exit.DONE
    # Nothing was asked for that could be missing.
    return Exit.FAILED if isinstance(failure, NotFound) else code_of(failure)


def _account(contracts: tuple[Contract, ...]) -> Check:
    if not contracts:
        return Check("account", "warning", "no contract", "without one nothing can be ordered; ask ICEYE")
    names = ", ".join(one.name or one.id for one in contracts[:3])
    more = f" and {len(contracts) - 3} more" if len(contracts) > 3 else ""
    return Check("account", "ok", f"{len(contracts)} contract{'' if len(contracts) == 1 else 's'}: {names}{more}")


def _installed() -> Iterator[Check]:
    python, *packages = versions()
    yield Check("python", "ok", python)
    yield Check("packages", "ok", ", ".join([*packages, f"SQLite {sqlite3.sqlite_version}"]))
    for extra, module in _EXTRAS.items():
        there = find_spec(module) is not None
        detail = f"{module} is installed" if there else f"{module} is not installed"
        yield Check(f"extra {extra}", "ok" if there else "skipped", detail)


def _environment(environment: Mapping[str, str], wrong: str) -> Iterator[Check]:
    """Each variable; `wrong` is what is the matter with one of them."""
    for name in _VARIABLES:
        value = environment.get(name, "").strip()
        if value and name in wrong:
            yield Check(name, "failed", "set, and of no use; see below")
        elif not value:
            yield Check(name, "skipped", f"not set; {BASE_URL}" if name == "ICEYE_BASE_URL" else "not set")
        elif name in SECRETS:
            yield Check(name, "ok", "set; it is not shown")
        else:
            yield Check(name, "ok", _address(value) if name.endswith("_URL") else value)
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if proxy := environment.get(name) or environment.get(name.lower()):
            yield Check(name, "ok", proxy if name == "NO_PROXY" else _address(proxy))


def _address(url: str) -> str:
    """Without a user's name and password, and what else may be secret in it."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "no address"
    if not parts.hostname:
        return "no address"
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def _token(seen: list[Event], failure: IceyeError | None) -> Check:
    renewed = [event for event in seen if isinstance(event, TokenRenewed)]
    if isinstance(failure, Unauthorized):
        return Check("token", "failed", told(failure), "set the values that ICEYE gave you; see that none has ended")
    if renewed:
        return Check("token", "ok", f"given, for {renewed[-1].expires_in / 60:.0f} minutes; it is renewed by itself")
    if failure is not None and failure.undone:
        return Check("token", "failed", told(failure))
    return Check("token", "ok", "ICEYE_ACCESS_TOKEN; it cannot be renewed here: a long wait ends with it")


def _service(seen: list[Event], failure: IceyeError | None) -> Check:
    asked = [event for event in seen if isinstance(event, Requested) and "/api/" in event.path]
    answered = [event for event in asked if event.status is not None]
    if answered:
        last = answered[-1]
        words = f"{last.host} answers within {last.seconds * 1000:.0f} ms"
        if failure is None or isinstance(failure, Unauthorized):
            return Check("service", "ok", words)
        return Check("service", "failed", f"{words}: {told(failure)}", _step(failure))
    if asked and failure is not None:
        return Check("service", "failed", told(failure), "see that the address, the network and the proxy are right")
    return Check("service", "skipped", "there was no token to ask with")


def _step(failure: IceyeError) -> str:
    if isinstance(failure, NotFound):
        return "see that ICEYE_BASE_URL is the address that stands before /api"
    if isinstance(failure, Forbidden):
        return "ask ICEYE what these credentials allow"
    return "try again later, and ask ICEYE if it stays so"


def _clock(skew: float | None) -> Check:
    if skew is None:
        return Check("clock", "skipped", "the service did not answer")
    if abs(skew) <= _OFF:
        return Check("clock", "ok", f"{abs(skew):.0f} s from the service's")
    side = "behind" if skew > 0 else "ahead of"
    words = f"{abs(skew):.0f} s {side} the service's"
    return Check("clock", "warning", words, "waits go by the service's clock; but set this one (NTP) for --since")
