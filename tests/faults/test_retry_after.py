"""`Retry-After` in more than a thousand spellings: nobody asks before a legal one allows it, and no other does harm.

RFC 9110 knows two forms: whole seconds, and a date in one of three spellings, all of them in UTC. A date counts
from the `Date` of the reply that it came with; without one, from the local clock.
"""

import asyncio
import gc
import itertools
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from iceye_async import (
    ApiError,
    Client,
    ClientCredentials,
    IceyeError,
    PollPolicy,
    PollTimeout,
    RateLimited,
    RetryPolicy,
)

EPOCH = 1_800_000_000.0
"""What a right local clock shows at virtual time 0."""
DAY = 86_400.0
READY = (
    b'{"data": [{"id": "d", "derivativeProductType": "DC_VESSELS", "assets": [{"type": "g", "href": "https://l/x"}]}]}'
)
ABSURD = 1e15
"""Seconds. Nobody can tell whether so many were kept."""
FORMS = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
"""As in RFC 9110, as in RFC 850, and as C's asctime has them."""


# --- the variants --------------------------------------------------------------------------------------------------


@dataclass
class Variant:
    """What one reply says in its headers, and what follows from it."""

    values: Callable[[float], list[str]]
    """The `Retry-After` headers, where the service's clock shows so many seconds since 1970."""
    skew: float = 0.0
    """Seconds that the service's clock is ahead of the local one."""
    dated: bool = False
    floor: float | None = field(default=None, init=False)
    """Seconds from the reply on in which nobody may ask. None where the reply says nothing that is legal."""
    allowed: float = field(default=-math.inf, init=False)
    """Virtual time at which they are over."""

    def headers(self, now: float) -> list[tuple[str, str]]:
        """The headers of a reply that is sent now. The headers that are sent are the ones that bind."""
        clock = EPOCH + now + self.skew
        values = self.values(clock)
        base = math.floor(clock) if self.dated else EPOCH + now
        floors = [floor for floor in (legal(value, base) for value in values) if floor is not None]
        self.floor = max(floors, default=None)
        if self.floor is not None and self.floor < ABSURD:
            self.allowed = now + self.floor - (clock - base if self.dated else 0.0)
        date = [("Date", spelled(FORMS[0], clock))] if self.dated else []
        return date + [("Retry-After", value) for value in values]


def spelled(form: str, moment: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=math.floor(moment))).strftime(form)


def legal(value: str, now: float) -> float | None:
    """Seconds that a value asks for, by RFC 9110; None where it is neither number nor date, or has twenty digits."""
    value = value.strip(" \t")
    if re.fullmatch("[0-9]+", value):
        return float(value) if len(value.lstrip("0")) < 20 else None
    for form in FORMS:
        try:
            moment = datetime.strptime(re.sub("  ", " ", value), form.replace("%e", "%d")).replace(tzinfo=UTC)
        except ValueError:
            continue
        if re.sub(r"\s0", " ", re.sub(" +", " ", moment.strftime(form))) == re.sub(r"\s0", " ", value):
            return max(0.0, moment.timestamp() - now)
    return None


def plain(*values: str) -> Variant:
    return Variant(lambda clock: list(values))


def in_seconds() -> list[Variant]:
    forms = ["{}", " {}", "{} ", "\t{}\t", "0{}", "000000000{}"]
    return [plain(form.format(number)) for number in range(121) for form in forms[: 1 + 5 * (number % 8 == 0)]]


def far_away() -> list[Variant]:
    seconds = [121, 150, 600, 3599, 3600, 7201, 86_400, 86_401, 10**6, 2**31 - 1, 2**31, 2**32, 10**10, 10**12, 2**63]
    dates = ["Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "Fri Dec 31 23:59:59 9999"]
    return [plain(value) for value in [*map(str, seconds), *dates]]


def as_dates() -> list[Variant]:
    delays = [-1000, 0, 1, 17, 45, 90, 110, 3600]
    skews = [-3650 * DAY, -DAY, -60, -0.4, 0, 0.4, 60, DAY, 3650 * DAY]
    return [
        Variant(lambda clock, form=form, delay=delay: [spelled(form, clock + delay)], skew, dated)
        for form, delay, skew, dated in itertools.product(FORMS, delays, skews, [True, False])
        if dated or abs(skew) <= 3600
    ]


ILLEGAL = [
    *["nan", "NaN", "-nan", "inf", "Infinity", "-inf", "1e3", "1E1", "1.5", "1.0", ".5", "5.", "1,5", "-5", "-0", "+5"],
    *[
        "",
        " ",
        "\t",
        ",",
        ";",
        "0x10",
        "0b1",
        "1_000",
        "5s",
        "5 s",
        "5;",
        "5,",
        "5, 6",
        "5,6",
        "5;6",
        "5 6",
        "PT5S",
        "5m",
    ],
    *[
        "null",
        "None",
        "true",
        "false",
        "[]",
        "{}",
        "[5]",
        '"5"',
        "'5'",
        "<5>",
        "(5)",
        "${5}",
        "%35",
        "soon",
        "tomorrow",
    ],
    *["\u0663", "\u0663\u0660", "\u0967\u0968", "\u4e09", "\u00b2", "\u00bd", "\uff15", "\u2460", "5\u00a0", "\u20035"],
    *["\udcff", "\udce9\udc80", "\u00e9", "\ufeff5", "5\u200b", "\x7f", "\x01", "\x85", "\U0001f552"],
    *["Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 99 Foo 99999 00:00:00 GMT", "Fri, 31 Dec 0000 23:59:59 GMT"],
    *["Sun, 30 Feb 2027 08:00:00 GMT", "Fri, 15 Jan 2027 25:00:00 GMT", "Fri, 15 Jan 2027 08:60:00 GMT"],
    *["Fri, 15 Jan 2027 08:00:61 GMT", "Fri, 15 Jan 2027", "15 Jan", "GMT", "Fri", "08:00:00", "Fri, 15 Jan 2027 8"],
    *[
        "2027-01-15T08:00:00Z",
        "2027-01-15",
        "20270115T080000Z",
        "15/01/2027",
        "1800000000.5",
        "Fri, 00 Jan 2027 08:00:00",
    ],
    *["Fri, 15 Jan 2027 08:00:00 +99999", "Fri, 15 Jan 2027 08:00:00 -9999999999", "Fri, 15 Jan -2027 08:00:00 GMT"],
    *[
        "Fri, 15 Jan 2027 08:00:00 GMT" * 2,
        "Fri, 15 Jan 99999999999999999999 08:00:00 GMT",
        "Mon, 1e3 Jan 2027 08:00:00",
    ],
    # Legal, and a mistake all the same: believed, it would end a client for good.
    *map(str, [2**64, 10**19, 10**20 - 1, 10**20, 10**100, 10**308, 10**309, 10**400, 10**4000, 10**4299]),
    "1" + "0" * 5000,
    *[
        "+" + "9" * 5000,
        "-" + "9" * 5000,
        "a" * 100_000,
        "9" * 400 + "x",
        "1" + "0" * 20 + ".5",
        ":" * 5000,
        "," * 5000,
    ],
]
"""None of them is a number of whole seconds or a date that exists."""


def nonsense() -> list[Variant]:
    dated = [Variant(lambda clock, value=value: [value], skew, True) for value in ILLEGAL for skew in (0, -DAY)][::4]
    return [plain(value) for value in ILLEGAL] + dated


def noise(chance: random.Random) -> list[Variant]:
    """Strings of characters that legal ones are made of, and of some that they are not. By chance some are legal."""
    alphabet = "0123456789  ,:+-.eGMTFriJan2027\u0663\udcff\u00e9\t"
    strings = ["".join(chance.choices(alphabet, k=chance.randrange(1, 32))) for _ in range(100)]
    # Legal dates with one character gone wrong.
    for _ in range(100):
        date = list(spelled(chance.choice(FORMS), EPOCH + chance.randrange(0, 100)))
        date[chance.randrange(len(date))] = chance.choice(alphabet)
        strings.append("".join(date))
    return [plain(value) for value in strings]


def several(chance: random.Random) -> list[Variant]:
    """Two or three headers: whoever is to be on the safe side waits for the longest of the legal ones."""

    def one() -> Callable[[float], str]:
        seconds = chance.randrange(0, 110)
        form, value = chance.choice(FORMS), chance.choice(ILLEGAL[:60])
        kinds = [lambda clock: str(seconds), lambda clock: spelled(form, clock + seconds), lambda clock: value]
        return chance.choice(kinds)

    def some() -> Callable[[float], list[str]]:
        each = [one() for _ in range(chance.choice([2, 2, 3]))]
        return lambda clock: [make(clock) for make in each]

    return [Variant(some(), chance.choice([0, 0, -DAY, 3600]), True) for _ in range(100)]


def variants() -> list[Variant]:
    chance = random.Random(7)  # noqa: S311 - no secret
    return in_seconds() + far_away() + as_dates() + nonsense() + noise(chance) + several(chance)


@pytest.fixture(autouse=True)
def undisturbed():
    """Garbage is looked for after a test that left much, and not in it, nor in another that measures time."""
    gc.disable()
    yield
    gc.enable()
    if gc.get_count()[0] > 50_000:
        gc.collect()


# --- asking --------------------------------------------------------------------------------------------------------


class Trial:
    """Asks once for each variant. The first answer to each is the variant, all later ones are good."""

    def __init__(self, wire, status, body=b"", given=None):
        self.wire = wire
        self.variants = variants() if given is None else given
        self.replied = [math.inf] * len(self.variants)
        self.status, self.body = status, body
        self.ends = []
        wire.answer = self.answer

    def answer(self, asked):
        number = number_of(asked)
        now = asyncio.get_running_loop().time()
        if self.replied[number] == math.inf:
            self.replied[number] = now
            return (self.status, self.variants[number].headers(now), self.body)
        return (200, {}, READY if "derivatives" in asked.path else b'{"data": []}')

    def run(self, use, **options):
        """`ends` is what `use(client, task_id)` came to, for each variant: a result or an error.

        Each variant has a client of its own: a 429 holds back all of a client, and so does a clock that is wrong.
        """

        async def one(http, number):
            # At a moment of its own, so that fractions of a second are of all kinds.
            await asyncio.sleep(number * 0.377 % 5)
            async with Client("https://api.example", auth="a-token", http=http, **options) as client:
                return await use(client, f"t{number}")

        async def main(_):
            async with aiohttp.ClientSession() as http:
                trials = (one(http, number) for number in range(len(self.variants)))
                return await asyncio.gather(*trials, return_exceptions=True)

        ends = self.wire.run(main)
        # They are kept for several tests, and what hangs on a traceback with them.
        self.ends = [end.with_traceback(None) if isinstance(end, BaseException) else end for end in ends]
        return self

    def later(self):
        """For each variant, when the requests after its reply left."""
        later = [[] for _ in self.variants]
        for asked in self.wire.asked:
            number = number_of(asked)
            if asked.at > self.replied[number]:
                later[number].append(asked.at)
        return later

    def early(self):
        """Requests that left before they might: what the variant said, and how much too early."""
        return [
            (variant.values(EPOCH), variant.allowed - at)
            for variant, times in zip(self.variants, self.later(), strict=True)
            for at in times
            if at < variant.allowed - 1e-6
        ]

    def found(self):
        """Each variant, what it came to, and when the requests after it left."""
        return zip(self.variants, self.ends, self.later(), strict=True)


def number_of(asked):
    return int(asked.path.split("/")[5].removeprefix("t"))


async def call(client, task_id):
    return await client.derivatives.get(task_id)


async def wait(client, task_id):
    return await client.await_derivatives(task_id)


USES = {
    "a call hears it with a 429": (call, 429),
    "a call hears it with a 503": (call, 503),
    "a wait hears it with a 429": (wait, 429),
    "a wait hears it with a 503": (wait, 503),
}
TRIED = {}
"""Each of these is tried once, and looked at by several tests."""


@pytest.fixture
def tried(wire):
    def tried(said):
        if said not in TRIED:
            use, status = USES[said]
            TRIED[said] = Trial(wire, status).run(use)
        return TRIED[said]

    return tried


each_use = pytest.mark.parametrize("said", USES)
each_call = pytest.mark.parametrize("said", list(USES)[:2])


def test_there_are_more_than_a_thousand_variants_of_which_many_are_legal_and_many_are_not():
    found = variants()
    for variant in found:
        variant.headers(0.0)

    assert len(found) >= 1000
    assert sum(variant.floor is not None for variant in found) > 500
    assert sum(variant.floor is None for variant in found) > 300


@each_use
def test_b11_no_request_leaves_before_a_legal_retry_after_allows_it(tried, record_property, said):
    trial = tried(said)

    assert trial.early() == []
    assert all(replied < math.inf for replied in trial.replied)
    record_property("Retry-After variants tried", len(trial.variants))


@each_use
def test_b12_whatever_retry_after_says_a_caller_gets_a_result_or_an_error_of_this_package(tried, said):
    trial = tried(said)

    strange = [
        (variant.values(EPOCH), end)
        for variant, end in zip(trial.variants, trial.ends, strict=True)
        if not good(end) and not typed(end, trial.status)
    ]
    assert strange == []


def good(end):
    return not isinstance(end, BaseException) and [found.id for found in end] == ["d"]


def typed(end, status):
    return isinstance(end, PollTimeout) or (isinstance(end, ApiError) and end.status == status)


@each_call
def test_b10_a_call_sits_out_up_to_two_minutes_and_then_gets_its_answer(tried, said):
    short = [end for variant, end, _ in tried(said).found() if variant.floor is not None and variant.floor < 118]

    assert len(short) > 500
    assert all(good(end) for end in short)


@each_call
def test_b13_a_call_that_would_have_to_sit_out_more_fails_at_once_and_says_for_how_long(tried, said):
    trial = tried(said)

    long = [found for found in trial.found() if found[0].floor is not None and 122 < found[0].floor < ABSURD]
    assert len(long) > 30
    assert all(end.status == trial.status and not later for _, end, later in long)
    assert all(end.retry_after >= min(variant.floor, 1e9) for variant, end, _ in long)


@each_use
def test_b10_nobody_waits_for_much_longer_than_the_service_asked_for(tried, said):
    late = [
        (variant.values(EPOCH), later[0] - variant.allowed)
        for variant, _, later in tried(said).found()
        if later and variant.floor is not None and later[0] - variant.allowed > 60
    ]

    assert late == []


@pytest.mark.parametrize("status", [429, 503])
def test_b13_a_wait_that_would_have_to_sit_out_its_deadline_fails_at_once_and_says_why(wire, status):
    async def hasty(client, task_id):
        began = asyncio.get_running_loop().time()
        with pytest.raises(PollTimeout) as caught:
            await client.await_derivatives(task_id, poll=PollPolicy(timeout=100))
        return caught.value.__cause__, asyncio.get_running_loop().time() - began

    given = [plain(str(seconds)) for seconds in [120, 3600, 86_400, 10**9, 10**18]]
    ends = Trial(wire, status, given=given).run(hasty).ends

    assert [cause.retry_after for cause, _ in ends][:4] == [120, 3600, 86_400, 10**9]
    assert all(cause.status == status and took < 1 for cause, took in ends)


@pytest.mark.parametrize(("use", "status"), USES.values(), ids=USES)
def test_b12_what_means_nothing_holds_nobody_up_for_longer_than_the_clients_own_pauses(wire, use, status):
    """Of the illegal ones, those that no kind reader could take for a date."""
    given = [plain(value) for value in ILLEGAL if "Jan" not in value and "Dec" not in value]

    trial = Trial(wire, status, given=given).run(use)

    assert all(good(end) for end in trial.ends)
    assert all(later[0] - replied <= 60 for later, replied in zip(trial.later(), trial.replied, strict=True))


async def crowd(client, task_id):
    """Three are in line when the first of them is told to stay away, and two come later."""
    first = [client.derivatives.get(task_id), client.await_derivatives(task_id), client.products.list(task_id)]
    pending = [asyncio.ensure_future(each) for each in first]
    await asyncio.sleep(0.06)
    pending += [asyncio.ensure_future(each) for each in (client.tasks.get(task_id), client.await_derivatives(task_id))]
    ends = await asyncio.gather(*pending, return_exceptions=True)
    return [end for end in ends if isinstance(end, BaseException) and not isinstance(end, IceyeError)]


async def crowd_behind_a_wait(client, task_id):
    """The same, where a wait is the first to hear it."""
    waiting = asyncio.ensure_future(client.await_derivatives(task_id))
    await asyncio.sleep(0)
    return [*await crowd(client, task_id), *[end for end in [await end_of(waiting)] if not isinstance(end, IceyeError)]]


async def end_of(waiting):
    (end,) = await asyncio.gather(waiting, return_exceptions=True)
    return end if isinstance(end, BaseException) else IceyeError()


def test_b10_a_429_that_one_caller_hears_holds_back_every_other_of_the_client(wire, record_property):
    """However it is spelled: calls in line, calls that come later, lists and waits."""
    # One at a time, so that the others are in line when the first of them is told.
    trial = Trial(wire, 429, given=variants()[::2]).run(crowd, in_flight=1)

    assert trial.early() == []
    assert [end for end in trial.ends if end] == []
    record_property("Retry-After variants tried", len(trial.variants))


def test_b10_a_429_that_a_wait_hears_holds_back_every_other_of_the_client_too(wire, record_property):
    trial = Trial(wire, 429, given=variants()[1::6]).run(crowd_behind_a_wait, in_flight=1)

    assert trial.early() == []
    assert [end for end in trial.ends if end] == []
    record_property("Retry-After variants tried", len(trial.variants))


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (502, b"<html>"), (504, b""), (200, b"<html>"), (200, b""), (206, b'{"data": [{}]}'), (204, b"")],
)
def test_b10_on_any_answer_that_is_a_setback_of_a_wait_it_binds(wire, status, body):
    trial = Trial(wire, status, body, variants()[::9]).run(wait)

    assert trial.early() == []


@pytest.mark.parametrize("status", [429, 503])
def test_b10_on_the_look_at_the_task_it_binds_the_wait_too(wire, status):
    """Behind a 404 the task is asked; where that is throttled, so is the wait."""
    trial = Trial(wire, status, given=variants()[::9])

    def answer(asked):
        none_yet = "derivatives" in asked.path and trial.replied[number_of(asked)] == math.inf
        return (404, {}, b"") if none_yet else trial.answer(asked)

    wire.answer = answer
    trial.run(wait)

    assert trial.early() == []
    assert all(replied < math.inf for replied in trial.replied)


@pytest.mark.parametrize("status", [429, 503])
def test_b10_the_token_endpoint_is_left_alone_for_as_long_as_it_says(wire, status):
    """Every spelling in turn, from one client to one token endpoint after another."""
    found = variants()[::9]
    heard = {}

    def answer(asked):
        now = asyncio.get_running_loop().time()
        _, kind, number = asked.path.split("/")[:3]
        if kind != "token":
            return (200, {}, READY)
        if number not in heard:
            heard[number] = (now, found[int(number)].headers(now))
            return (status, heard[number][1], b"")
        return (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 3600}')

    async def one(number):
        auth = ClientCredentials(f"https://api.example/token/{number}", "an-id", "c4n4ry")
        async with Client("https://api.example", auth=auth) as client:
            calls = (client.derivatives.get("t1") for _ in range(3))
            await asyncio.gather(*calls, client.await_derivatives("t1"), return_exceptions=True)

    async def main(_):
        await asyncio.gather(*(one(number) for number in range(len(found))))

    wire.answer = answer
    wire.run(main)

    asked = [(int(ask.path.split("/")[2]), ask.at) for ask in wire.asked if ask.path.startswith("/token")]
    early = [
        (found[number].values(EPOCH), found[number].allowed - at)
        for number, at in asked
        if heard[str(number)][0] < at < found[number].allowed - 1e-6
    ]
    assert len(heard) == len(found)
    assert early == []


def test_b11_a_date_without_the_date_of_its_reply_counts_from_the_clock_that_the_service_showed_before(wire):
    """The local clock is an hour ahead, as every earlier reply told; by it, the moment would have passed long ago."""
    hour = 3600.0

    def answer(asked):
        now = asyncio.get_running_loop().time()
        if len(wire.asked) == 1:
            return (200, {"Date": spelled(FORMS[0], EPOCH + now - hour)}, READY)
        if len(wire.asked) == 2:
            return (429, {"Retry-After": spelled(FORMS[0], EPOCH + now - hour + 60)}, b"")
        return (200, {}, READY)

    wire.answer = answer

    async def main(client):
        await client.derivatives.get("t1")
        await client.derivatives.get("t1")

    wire.run(main)

    assert wire.asked[2].at - wire.asked[1].at >= 59


def test_b10_of_two_429s_the_later_end_binds(wire):
    said = iter(["50", "5", "nonsense"])
    wire.answer = lambda asked: (429, {"Retry-After": next(said)}, b"") if len(wire.asked) <= 3 else (200, {}, READY)

    async def main(client):
        calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(3)]
        await asyncio.gather(*calls, return_exceptions=True)
        await client.derivatives.get("t1")

    wire.run(main, retry=RetryPolicy(tries=1))

    assert wire.asked[3].at >= 50


def test_b10_two_clients_do_not_hold_each_other_back(wire):
    """They may well be of different accounts."""
    wire.answer = lambda asked: (429, {"Retry-After": "60"}, b"") if len(wire.asked) == 1 else (200, {}, READY)

    async def main(client):
        with pytest.raises(RateLimited):
            await client.derivatives.get("t1")
        async with Client("https://api.example", auth="another-token") as other:
            await other.derivatives.get("t1")

    wire.run(main, retry=RetryPolicy(tries=1))

    assert wire.asked[1].at < 1
