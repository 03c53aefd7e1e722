"""C, where tables end: documented bodies, mutated, and read by everything that reads replies.

Only errors of this package come out, what is read has the right types, and no signature of a link is in an error's
text. ICEYE_FUZZ_BODIES says how many bodies (3,000; a million take minutes). Each body is known by its seed and number,
which is what a miss names: `replay(seed, number)` gives it again, with what comes of it.

    ICEYE_FUZZ_BODIES=1000000 pytest tests/faults/test_fuzz.py -n 2

says at the end how many there were, and how long they took.
"""

import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from iceye_async import (
    ApiError,
    DecodeError,
    Derivative,
    DerivativeAsset,
    DerivativeSet,
    IceyeError,
    Interval,
    Position,
    Product,
    ProductAsset,
    Task,
)
from iceye_async.protocol import replies, requests
from iceye_async.protocol.replies import Reply
from iceye_async.protocol.waiting import Listing, Nothing, Renewed

BODIES = int(os.environ.get("ICEYE_FUZZ_BODIES", "2000"))
SEEDS = (1, 2, 3, 4)
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)

# A test of the default time limit has no time for a million bodies.
pytestmark = pytest.mark.timeout(60 + BODIES // 200)


# --- what is mutated ---------------------------------------------------------------------------------------------

SIGNATURE, POLICY = "s1g~nature-0042" * 3, "p0licy_0815" * 3
QUERY = f"?Expires=1234567890&Policy={POLICY}&Signature={SIGNATURE}&Key-Pair-Id=KEYPAIR"
LINK = f"https://d1.cloudfront.net/a/f.tif{QUERY}"
TASK = {
    "id": "t1",
    "contractID": "c1",
    "status": "FULFILLED",
    "imagingMode": "SPOTLIGHT",
    "pointOfInterest": {"lat": 60.19, "lon": 24.83},
    "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00.5+03:00"},
    "createdAt": "2026-02-28T12:00:00.123456Z",
    "updatedAt": "2026-02-28T12:00:01Z",
    "fulfilledAt": "2026-03-01T10:00:00Z",
    "reference": LINK,
    "productTypes": ["GRD", "SLC-COG"],
    "derivativeProductTypes": ["DC_VESSELS"],
    "imagingDuration": 10,
    "productsAvailableInSeconds": 28_800,
    "incidenceAngle": {"min": 20, "max": 40},
    "notifications": {"webhook": {"id": "w1"}},
}
PROBLEM = {"title": "No", "code": "not_found", "details": f"no rows at {LINK}", "reference": LINK}
PLAIN = {"code": "ERR_LINK", "message": f"cannot read '{LINK}' or {LINK}, got 403"}


def seeds() -> dict[str, bytes]:
    """The documented bodies with whole links, a task, and errors of both documented shapes."""
    found = {}
    for path in sorted((Path(__file__).parents[1] / "data").glob("*.json")):
        body = path.read_bytes().replace(b"?Expires=1234567890&Signature=...", QUERY.encode())
        found[path.stem] = body.replace(b"/XXXX/XXXX", b"/XXXX/XXXX" + QUERY.encode())
    others = {
        "task": TASK,
        "task-again": TASK,
        "problem": PROBLEM,
        "plain": PLAIN,
        "problem-again": PROBLEM,
        "plain-again": PLAIN,
    }
    return found | {name: json.dumps(document).encode() for name, document in others.items()}


class Seed(NamedTuple):
    """A body, and where in it values and keys stand, and where objects with members begin."""

    body: bytes
    values: list[tuple[int, int]]
    keys: list[tuple[int, int]]
    objects: list[int]


def laid_out(body: bytes) -> Seed:
    values, keys, opened = [], [], []
    for found in re.finditer(rb'"(?:[^"\\]|\\.)*"(\s*:)?|[-0-9.eE+]+|true|false|null|[\[\]{}]', body):
        if found.group() in b"[{":
            opened.append(found.start())
        elif found.group() in b"]}":
            values.append((opened.pop(), found.end()))
        elif found.group(1) is not None:
            keys.append((found.start(), found.start(1)))
        else:
            values.append(found.span())
    return Seed(body, values, keys, [found.end() for found in re.finditer(rb"{(?=\s*\")", body)])


BASES = [laid_out(body) for body in seeds().values()]


def is_json(token: bytes) -> bool:
    """Whether Python's own reader takes it: good enough to choose by."""
    try:
        json.loads(token)
    except (ValueError, RecursionError):
        return False
    return True


NASTY = [
    *(b"null", b"true", b"false", b"0", b"-0", b"-1", b"1.5", b"18446744073709551616", b"1e308", b"1e400", b"-1e999"),
    *(b"0.1e-400", b"NaN", b"Infinity", b"-Infinity", b"9" * 400, b"9" * 4_301, b"-", b"+1", b"01", b"tru", b""),
    *(
        b'""',
        b'" "',
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\\udc00\\ud83d"',
        b'"\\ud83d\\ude39"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
    ),
    *(b'"\x00"', b'"\\n\\u001b[31m\\u202e"', b'"\\x"', b'"' + b"x" * 5_000 + b'"', b"'x'", b"/**/1", b"[]", b"{}"),
    *(b"[[]]", b"[null]", b"[{}]", b'[""]', b'{"":null}', b'{"href":null}', b'{"href":""}', b'{"type":5}', b"[1,2,3]"),
    *(b'"2026-02-30T00:00:00Z"', b'"9999-12-31T23:59:59-01:00"', b'"0001-01-01T00:00:00+23:59"', b'"-1"', b'"1"'),
    *(b'"2026-03-01T12:34:60Z"', b'"2026-03-01T00:00:00"', b'"DC_TRAINS"', b'"GRD-COG"', b'"DONE"', b'"../../x"'),
    *(f'"{LINK}"'.encode(), f'"{QUERY}"'.encode(), f'["{LINK}"]'.encode(), f'{{"{LINK}":"{LINK}"}}'.encode()),
    *(
        b"[" * 101 + b"]" * 101,
        b'{"a":' * 101 + b"1" + b"}" * 101,
        b"[" * 95 + b"]" * 95,
        b"[" * 2_000,
        b"\xef\xbb\xbf",
    ),
]
LEGAL = [token for token in NASTY if is_json(token)]
KEYS = [
    f'"{name}"'.encode()
    for name in (
        *("id", "data", "cursor", "assets", "href", "properties", "type", "document", "task_id", "acquired", "bbox"),
        *("derivativeProductType", "status", "code", "details", "", "\\u0000", "\\ud800", f"f?Signature={SIGNATURE}"),
    )
]
RARE = [
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" * 50_000 + b"]" * 50_000,
    b"7" * 200_000,
    b'["' + b"y" * 200_000 + b'"]',
]
SPECKS = [bytes([code]) for code in (*range(32), 0x22, 0x5C, 0x7F, 0x80, 0xC0, 0xE5, 0xED, 0xF4, 0xFE, 0xFF)]
SPECKS += [
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\\u",
    b'\\"',
]


# --- how it is mutated -------------------------------------------------------------------------------------------


def at(dice: random.Random, body: bytes) -> int:
    return int(dice.random() * (len(body) + 1))


def cut(dice: random.Random, body: bytes) -> tuple[int, int]:
    """A stretch of the body."""
    first = at(dice, body)
    return first, min(len(body), first + int(dice.random() ** 3 * 400))


def flipped(dice: random.Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(1 + int(dice.random() ** 2 * 5)):
        if flipped:
            flipped[int(dice.random() * len(flipped))] ^= 1 << int(dice.random() * 8)
    return bytes(flipped)


def truncated(dice: random.Random, body: bytes) -> bytes:
    return body[: at(dice, body)] if dice.random() < 0.7 else body[at(dice, body) :]


def repeated(dice: random.Random, body: bytes) -> bytes:
    first, last = cut(dice, body)
    return body[:last] + body[first:last] * (1 + int(dice.random() ** 4 * 20)) + body[last:]


def removed(dice: random.Random, body: bytes) -> bytes:
    first, last = cut(dice, body)
    return body[:first] + body[last:]


def spliced(dice: random.Random, body: bytes) -> bytes:
    other = dice.choice(BASES).body
    if dice.random() < 0.3:
        return body[: at(dice, body)] + other[at(dice, other) :]
    first, last = cut(dice, other)
    place = at(dice, body)
    return body[:place] + other[first:last] + body[place:]


def specked(dice: random.Random, body: bytes) -> bytes:
    place = at(dice, body)
    return body[:place] + dice.choice(SPECKS) + body[place:]


def marked(dice: random.Random, body: bytes) -> bytes:
    return b"\xef\xbb\xbf" * (1 + int(dice.random() * 2)) + body


def recoded(dice: random.Random, body: bytes) -> bytes:
    return body.decode("latin-1").encode(dice.choice(["utf-16", "utf-16-le", "utf-32-be", "utf-8"]))


BYTEWISE = [flipped, flipped, truncated, repeated, removed, spliced, specked, specked, marked, recoded]


def swapped(dice: random.Random, seed: Seed, edits: int, tokens: list[bytes]) -> bytes:
    """The body with some of its values and keys replaced: by tokens, by others of it, or by those of another body."""
    body, changes = seed.body, []
    for _ in range(edits):
        roll = dice.random()
        if roll < 0.1:
            changes.append((*dice.choice(seed.keys), dice.choice(KEYS)))
            continue
        new = dice.choice(tokens)
        if roll > 0.6:
            other = seed if roll < 0.8 else dice.choice(BASES)
            first, last = dice.choice(other.values)
            new = other.body[first:last]
        if roll < 0.25:
            place = dice.choice(seed.objects)
            changes.append((place, place, dice.choice(KEYS) + b":" + new + b","))
        else:
            changes.append((*dice.choice(seed.values), new))
    # From the back, and none inside another: so the places of the others stay where they are.
    end = len(body)
    for first, last, new in sorted(changes, reverse=True):
        if last <= end:
            body, end = body[:first] + new + body[last:], first
    return body


def mutated(dice: random.Random) -> bytes:
    """Half of them are JSON still, with one thing or a few changed in it; the others are mauled, too."""
    seed = dice.choice(BASES)
    roll = dice.random()
    if roll < 0.5:
        return swapped(dice, seed, 1 + int(dice.random() ** 2 * 4), LEGAL)
    body = swapped(dice, seed, 1 + int(dice.random() * 3), RARE if roll > 0.999 else NASTY) if roll > 0.7 else seed.body
    for _ in range(1 + int(dice.random() ** 2 * 3)):
        body = dice.choice(BYTEWISE)(dice, body)
    return body


# --- the reply around it -----------------------------------------------------------------------------------------

STATUSES = (200, 200, 206, 206, 400, 404, 429, 500)
HEADERS = {
    "Content-Type": [
        "application/json",
        "text/html",
        "text/HTML; charset=\x80\x1b[31m",
        "",
        "h" * 500,
        "application/json",
    ],
    "Retry-After": ["5", "-5", "1.5", "nan", "inf", "\u0665", "9" * 400, "", "1e5", "Sun, 06 Nov 1994 08:49:37 GMT"],
    "Date": ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "x", ""],
    "X-Request-Id": ["q-77", "", "q\x1b[31m\u202e" * 50, "a" * 5_000],
}
DATES = "0123456789,:-+ SunMonDecFebGMTZESTa\u0663\x00()\\"


def scrawled(dice: random.Random, text: str) -> str:
    """A header, with some of its characters changed."""
    letters = list(text)
    for _ in range(1 + int(dice.random() * 4)):
        if letters:
            letters[int(dice.random() * len(letters))] = dice.choice(DATES) * int(1 + dice.random() ** 8 * 12)
    return "".join(letters)


def headed(dice: random.Random) -> CIMultiDictProxy[str]:
    headers = CIMultiDict[str]()
    for name, texts in HEADERS.items():
        while dice.random() < 0.4:
            text = dice.choice(texts)
            headers.add(name, text if dice.random() < 0.6 else scrawled(dice, text))
    return CIMultiDictProxy(headers)


def reply_of(seed: int, number: int) -> Reply:
    """Body number so-and-so of a seed, with its status and headers."""
    dice = random.Random(seed * 10**10 + number)  # noqa: S311 - chance, no secret
    return Reply(dice.choice(STATUSES), headed(dice), mutated(dice), 1_800_000_000.0)


# --- what may come of it -----------------------------------------------------------------------------------------

LOOK = requests.look_for_derivatives("t1")
ASKED = [LOOK, requests.get_derivatives("t1"), requests.list_products("t1"), requests.get_task("t1")]
BEFORE = [None, *(replies.heard(Reply(206, {}, base.body), "t1")[1] for base in BASES[:2])]


class Wrong(Exception):
    """Something that was read is not what it should be."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


def optional(value: object, kind: type | tuple[type, ...]) -> bool:
    return value is None or isinstance(value, kind)


def check_derivative(found: Derivative) -> None:
    need(type(found) is Derivative, "not a derivative")
    need(isinstance(found.id, str) and isinstance(found.type, str) and found.task_id == "t1", "id, type or task")
    need(optional(found.image_reference, str) and optional(found.image_id, str), "image")
    need(type(found.assets) is tuple and type(found.document) is dict, "assets or document")
    for asset in found.assets:
        need(type(asset) is DerivativeAsset and type(asset.href) is str and optional(asset.type, str), "asset")


def check_product(found: Product) -> None:
    need(type(found) is Product and type(found.id) is str and found.task_id == "t1", "id or task")
    need(type(found.document) is dict and type(found.assets) is dict and optional(found.geometry, dict), "objects")
    need(found.bbox is None or all(type(edge) is float for edge in found.bbox), "box")
    need(all(type(word) is str for word in found.polarizations), "polarizations")
    texts = (found.product_type, found.mode, found.frame_id, found.look_side, found.orbit_state)
    need(all(optional(text, str) for text in texts), "texts")
    numbers = (found.incidence_near, found.incidence_center, found.incidence_far, found.azimuth_resolution)
    need(all(optional(number, float) for number in numbers), "numbers")
    for moment in (found.created, *(found.acquired or ())):
        need(moment is None or moment.utcoffset() is not None, "times")
    for key, asset in found.assets.items():
        need(type(key) is str and type(asset) is ProductAsset and type(asset.href) is str, "asset")
        need(optional(asset.title, str) and optional(asset.type, str), "title or type")
        need(type(asset.roles) is tuple and optional(asset.coordinates, dict), "roles or coordinates")


def check_task(found: Task) -> None:
    need(type(found) is Task, "not a task")
    need(all(type(text) is str for text in (found.id, found.contract_id)), "ids")
    need(isinstance(found.status, str) and isinstance(found.imaging_mode, str), "status or mode")
    need(type(found.point_of_interest) is Position and all(type(x) is float for x in found.point_of_interest), "point")
    need(type(found.acquisition_window) is Interval, "window")
    for moment in (*found.acquisition_window, found.created_at, found.updated_at, found.fulfilled_at):
        need(moment is None or moment.utcoffset() is not None, "times")
    need(optional(found.imaging_duration, int) and type(found.imaging_duration) is not bool, "duration")
    for words in (found.product_types, found.derivative_product_types):
        need(words is None or (type(words) is tuple and all(isinstance(word, str) for word in words)), "types")


def check_flawed(error: DecodeError) -> None:
    need(type(error.where) is tuple and all(type(path) is str for path in error.where), "where")
    need(error.where != (), "no place")


def hear(reply: Reply) -> Iterator[IceyeError]:
    heard, _ = replies.heard(reply, "t1", BEFORE[len(reply.body) % len(BEFORE)])
    if isinstance(heard, Nothing):
        need(reply.status == 404, "nothing heard")
        return
    need(isinstance(heard, Listing | Renewed) and heard.final is (reply.status == 200), "kind or final")
    for found in heard.read():
        check_derivative(found)
    if isinstance(heard, Listing):
        need(tuple(heard.derivatives) == tuple(heard.read()), "read again, it differs")
        need(all(type(word) is str for word in heard.blocked), "blocked")
        if heard.unread is not None:
            yield heard.unread


def look(reply: Reply) -> Iterator[IceyeError]:
    try:
        found = replies.derivatives(reply, "t1")
    except DecodeError as error:
        need(optional(error.latest, DerivativeSet), "latest")
        raise
    need(type(found) is DerivativeSet and found.final is (reply.status == 200), "kind or final")
    for entry in found:
        check_derivative(entry)
    yield from ()


def list_products(reply: Reply) -> Iterator[IceyeError]:
    page = replies.products(reply, "t1")
    need(page.cursor is None or (type(page.cursor) is str and page.cursor != ""), "cursor")
    for found in page.items:
        check_product(found)
    if page.flaws:
        yield replies.wire.unreadable(page.flaws)


def read_task(reply: Reply) -> Iterator[IceyeError]:
    check_task(replies.task(reply))
    yield from ()


def fail(reply: Reply) -> Iterator[IceyeError]:
    error = replies.error(reply, ASKED[len(reply.body) % len(ASKED)], ("a-token",))
    if reply.status < 300:
        need(isinstance(error, DecodeError), "kind")
    else:
        need(isinstance(error, ApiError) and error.status == reply.status, "kind or status")
        texts = (error.code, error.title, error.detail, error.reference)
        need(all(text is None or (type(text) is str and len(text) <= 1_000) for text in texts), "texts")
    yield error


READERS: list[Callable[[Reply], Iterator[IceyeError]]] = [hear, look, list_products, read_task, fail]


def text_of(error: IceyeError) -> str:
    """All that could be shown of an error, and of those behind it."""
    shown = []
    link: BaseException | None = error
    while link is not None:
        shown += [repr(link), *(str(fact) for name, fact in vars(link).items() if name != "latest")]
        link = link.__cause__ or link.__context__
    return " ".join(shown)


def check_error(error: IceyeError, secrets: list[str]) -> str | None:
    """What is wrong with an error; `leak` where it shows a part of a link's signature."""
    need(isinstance(error.retry_after, float) or error.retry_after is None, "retry_after")
    need(error.retry_after is None or 0 <= error.retry_after < float("inf"), "retry_after")
    need(error.request_id is None or len(error.request_id) <= 1_000, "request_id")
    if isinstance(error, DecodeError):
        check_flawed(error)
    text = text_of(error)
    need(len(text) < 200_000, "endless text")
    return "leak" if any(secret in text for secret in secrets) else None


def outcomes(reply: Reply) -> Iterator[tuple[str, str]]:
    """What each reader makes of a reply: its name, and `read`, `refused`, `leak` or what went wrong."""
    # Whole: what a mutation cut in pieces signs nothing any more, and looks like any other word.
    secrets = [SIGNATURE, POLICY]
    for read in READERS:
        outcome = "read"
        try:
            try:
                for error in read(reply):
                    outcome = check_error(error, secrets) or "refused"
            except IceyeError as error:
                outcome = check_error(error, secrets) or "refused"
        except Exception as foreign:  # noqa: BLE001 - whatever it is, it is a miss
            outcome = f"{type(foreign).__name__}: {foreign}"[:200]
        yield read.__name__, outcome


def replay(seed: int, number: int) -> tuple[Reply, list[tuple[str, str]]]:
    """A body once more, with what comes of it."""
    reply = reply_of(seed, number)
    return reply, list(outcomes(reply))


# --- the tests ---------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """What came of the bodies of one seed."""

    bodies: int
    seconds: float
    counts: Counter[str]
    misses: list[str]
    leaks: list[str]


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed-{seed}")
def run(request: pytest.FixtureRequest) -> Run:
    """The bodies of one seed, all read."""
    seed, bodies = request.param, max(1, BODIES // len(SEEDS))
    counts: Counter[str] = Counter()
    misses, leaks = [], []
    began = time.perf_counter()
    for number in range(bodies):
        for reader, outcome in outcomes(reply_of(seed, number)):
            counts[outcome if outcome in {"read", "refused", "leak"} else "miss"] += 1
            if outcome == "leak":
                leaks.append(f"replay({seed}, {number}): {reader}")
            elif outcome not in {"read", "refused"}:
                misses.append(f"replay({seed}, {number}): {reader}: {outcome}")
    return Run(bodies, time.perf_counter() - began, counts, misses, leaks)


def shown(misses: list[str]) -> str:
    return f"{len(misses)} misses, the first:\n" + "\n".join(misses[:10])


def test_c_a_mutated_body_gives_a_model_or_an_error_of_this_package(run, record_property):
    """Whatever a body, its status and its headers: models of the right types, or an IceyeError."""
    record_property("mutated bodies", run.bodies)
    record_property("mutated bodies: milliseconds spent on them, on one core", round(run.seconds * 1000))
    record_property("mutated bodies: readings that gave models", run.counts["read"])
    record_property("mutated bodies: readings that gave an error", run.counts["refused"])

    assert not run.misses, shown(run.misses)


def test_c_a_mutated_body_shows_no_signature_in_an_error(run):
    """No value behind `Signature=` or `Policy=` in a body is in the text or the facts of the error it gives."""
    assert not run.leaks, shown(run.leaks)


def test_c_the_fuzzer_is_neither_too_mild_nor_too_wild():
    """Each reader reads some of the mutated bodies and refuses some; the last gives nothing but errors."""
    found = Counter(outcome for number in range(500) for outcome in outcomes(reply_of(9, number)))

    assert all(found[read.__name__, "refused"] > 10 for read in READERS)
    assert all(found[read.__name__, "read"] > 10 for read in READERS[:-1])


def test_c_a_body_is_known_by_its_seed_and_number():
    """What a miss names can be had again."""
    first, second = replay(3, 77), replay(3, 77)

    assert first == second
    assert first[0].body != replay(3, 78)[0].body


# --- properties --------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)
NAMES = st.sampled_from(["data", "id", "assets", "properties", "href", "cursor", "code", "pointOfInterest", "lat"])
SHAPED = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=12)


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


@given(st.one_of(JSON, SHAPED, st.fixed_dictionaries({"data": st.lists(SHAPED)})), st.sampled_from(STATUSES))
@EXAMPLES
def test_c_any_json_gives_a_model_or_an_error_of_this_package(document, status):
    """Any JSON at all, as the answer to anything."""
    reply = Reply(status, CIMultiDictProxy(CIMultiDict()), encoded(document))

    assert {outcome for _, outcome in outcomes(reply)} <= {"read", "refused"}


@given(st.binary(max_size=200), st.sampled_from(STATUSES))
@EXAMPLES
def test_c_any_bytes_give_a_model_or_an_error_of_this_package(body, status):
    """Any bytes at all, as the answer to anything."""
    reply = Reply(status, CIMultiDictProxy(CIMultiDict()), body)

    assert {outcome for _, outcome in outcomes(reply)} <= {"read", "refused"}


@given(st.dictionaries(st.text().map(lambda name: f"x-{name}"), JSON, min_size=1, max_size=4))
@settings(EXAMPLES, max_examples=60)
def test_c_what_nobody_knows_comes_back_without_loss(more):
    """Unknown fields of a task, a product and a derivative are on `.document`, to the last digit."""
    derivative = {"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": [], **more}
    product = {"id": "p1", "assets": {}, "properties": more, **more}

    documents = [
        replies.task(Reply(200, {}, encoded({**TASK, **more}))).document,
        *(found.document for found in replies.derivatives(Reply(200, {}, encoded({"data": [derivative]})), "t1")),
        *(found.document for found in replies.products(Reply(200, {}, encoded({"data": [product]})), "t1").items),
    ]

    assert repr(documents) == repr([{**TASK, **more}, derivative, product])


@given(st.text(), st.sampled_from(["code", "title", "details", "message", "reference"]))
@EXAMPLES
def test_c_any_text_of_an_error_is_fit_for_a_log(text, key):
    """One line without control characters, whatever the service says."""
    reply = Reply(400, CIMultiDictProxy(CIMultiDict()), encoded({key: text}))

    error = replies.error(reply, LOOK)

    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text_of(error))
