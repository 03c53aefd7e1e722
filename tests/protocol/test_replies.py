"""What came back: the right model or the right error, whatever the status, the headers and the body."""

import json
import pickle
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from iceye_async.errors import (
    ApiError,
    BadRequest,
    DecodeError,
    EmptyAnswer,
    Forbidden,
    IceyeError,
    NotFound,
    RateLimited,
    ServerError,
    TaskNotFound,
    Unauthorized,
)
from iceye_async.models import Contract, DerivativeSet, DerivativeType, Feasibility, Price, Scene, Task
from iceye_async.protocol import replies, requests, wire
from iceye_async.protocol.replies import Reply
from iceye_async.protocol.waiting import Listing, Nothing, Renewed

EXAMPLES = settings(max_examples=200, deadline=None)
NOON = "Sun, 06 Nov 1994 12:00:00 GMT"
LINK = "https://d1.cloudfront.net/a.tif?Expires=1&Signature=s3cret"
LOOK = requests.look_for_derivatives("t1")
TASK = requests.get_task("t1")
ONE = {"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": [{"type": "geojson", "href": LINK}]}
PROBLEM = {
    "title": "Incompatible mode",
    "code": "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES",
    "details": "STRIPMAP has no derivatives",
    "reference": "r-77",
}
HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"


def reply(status, body=b"", at=0.0, **headers):
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Reply(status, CIMultiDictProxy(named), body if isinstance(body, bytes) else json.dumps(body).encode(), at)


def listed(*items, **rest):
    return {"data": list(items), **rest}


def error(status, body=b"", request=LOOK, secrets=(), **headers):
    return replies.error(reply(status, body, **headers), request, secrets)


def heard(answer, before=None):
    return replies.heard(answer, "t1", before)[0]


def wait(*values, date=NOON, at=0.0):
    headers = CIMultiDict([("Retry-After", value) for value in values])
    if date is not None:
        headers["Date"] = date
    return replies.retry_after(Reply(429, CIMultiDictProxy(headers), b"", at))


# --- answers ---------------------------------------------------------------------------------------------------


def test_the_status_says_whether_a_list_is_final(sample):
    for status, final in ((200, True), (206, False)):
        answer = reply(status, sample("derivatives-206"))

        found = replies.derivatives(answer, "t1")
        assert isinstance(found, DerivativeSet)
        assert (len(found), found.final) == (2, final)
        assert found.ready == {DerivativeType.VESSELS}
        told = heard(answer)
        assert isinstance(told, Listing)
        assert (told.derivatives, told.final, told.unread, told.blocked) == (tuple(found), final, None, frozenset())
        assert told.read() == told.derivatives


def test_what_is_asked_about_a_task_is_answered_with_a_model_of_its_own():
    assert replies.scene(reply(200, b"{}"), "t1") == Scene(task_id="t1")
    assert replies.price(reply(200, b'{"amount": 5, "currency": "EUR"}')) == Price(amount=5, currency="EUR")
    assert replies.contract(reply(200, b'{"id": "c"}')) == Contract(id="c")
    assert replies.feasibility(reply(200, b'{"feasibility": []}')) == ()
    assert replies.page(reply(200, b'{"data": [{"id": "c"}]}'), Contract).items == (Contract(id="c"),)


def test_feasibility_that_cannot_be_read_keeps_what_can():
    with pytest.raises(DecodeError) as caught:
        replies.feasibility(reply(200, b'{"feasibility": [{"result": "FEASIBLE"}, {}]}'))

    assert caught.value.where == ("$.feasibility[1].result",)
    assert caught.value.latest == (Feasibility(result="FEASIBLE"),)


def test_a_404_outside_of_tasks_does_not_send_the_caller_to_one():
    failed = error(404, b"{}", requests.get_contract("c"))

    assert "client.contracts.list()" in str(failed)
    assert "task" not in str(failed)


def test_the_documented_refusal_of_derivatives_names_the_modes_that_have_them():
    failed = error(400, PROBLEM, requests.get_task("t1"))

    assert "SPOTLIGHT_FINE_1L" in str(failed)


def test_a_404_is_something_that_a_wait_heard_and_an_error_for_one_look():
    assert isinstance(heard(reply(404, PROBLEM)), Nothing)
    failed = error(404, PROBLEM, requests.get_derivatives("t1"))
    assert type(failed) is NotFound
    assert failed.code == PROBLEM["code"]
    assert "whether the task exists" in str(failed)


def test_a_look_with_an_unreadable_entry_keeps_the_others():
    answer = reply(206, listed(ONE, {**ONE, "id": None}), X_Request_Id="q1", Retry_After="7")

    with pytest.raises(DecodeError) as caught:
        replies.derivatives(answer, "t1")
    failed = caught.value
    assert failed.where == ("$.data[1].id",)
    assert [entry.id for entry in failed.latest] == ["d1"]
    assert not failed.latest.final
    assert (failed.request_id, failed.retry_after) == ("q1", 7.0)


def test_a_wait_hears_what_could_be_read_and_which_types_could_not():
    bad = [{**ONE, "id": 5, "derivativeProductType": "DC_AIRCRAFT"}, {"id": "x"}, 5]
    found = heard(reply(200, listed(ONE, *bad), X_Request_Id="q1", Retry_After="7"))

    assert [entry.id for entry in found.derivatives] == ["d1"]
    assert found.final
    assert found.blocked == {"DC_AIRCRAFT"}
    assert found.unread.where == ("$.data[1].id", "$.data[2].derivativeProductType", "$.data[3]")
    assert (found.unread.request_id, found.unread.retry_after) == ("q1", 7.0)


def test_products_come_with_their_cursor_and_flaws(sample):
    page = replies.products(reply(200, sample("products-200")), "t1")
    assert [found.task_id for found in page.items] == ["t1"]

    page = replies.products(reply(200, listed(5, cursor="more")), "t1")
    assert (page.items, page.cursor, len(page.flaws)) == ((), "more", 1)


def test_a_task_and_any_other_document():
    body = {
        "id": "t1",
        "contractID": "c1",
        "status": "DONE",
        "imagingMode": "SPOTLIGHT",
        "pointOfInterest": {"lat": 1, "lon": 2},
        "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"},
        "createdAt": "2026-03-01T00:00:00Z",
        "updatedAt": "2026-03-01T00:00:00Z",
    }

    assert isinstance(replies.task(reply(200, body)), Task)
    assert replies.document(reply(200, body)) == body


READERS = {
    "derivatives": lambda answer: replies.derivatives(answer, "t1"),
    "heard": heard,
    "products": lambda answer: replies.products(answer, "t1"),
    "task": replies.task,
    "document": replies.document,
}
READ = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@READ
@pytest.mark.parametrize("body", [b"", b" \r\n\t"])
def test_an_empty_body_where_json_is_due(read, body):
    with pytest.raises(DecodeError, match="a 200 without a body") as caught:
        read(reply(200, body, X_Request_Id="q1"))
    assert (caught.value.where, caught.value.request_id) == (("$",), "q1")


@READ
def test_a_login_page_with_200_is_named_by_its_type(read):
    with pytest.raises(
        DecodeError, match="its type is 'text/html; charset=utf-8', a proxy may have answered"
    ) as caught:
        read(reply(200, HTML, Content_Type="text/html; charset=utf-8", Retry_After="3"))
    assert caught.value.retry_after == 3.0
    assert caught.value.__suppress_context__


@READ
def test_a_body_that_is_no_json(read):
    with pytest.raises(DecodeError, match="not JSON") as caught:
        read(reply(200, b'{"data": ['))
    assert "proxy" not in str(caught.value)
    assert caught.value.where == ("$",)


def test_neither_content_type_nor_charset_matters_on_valid_json(sample):
    for kind in ("text/plain", "text/html", "application/json; charset=latin-1", "", "application/octet-stream"):
        answer = reply(200, sample("derivatives-200"), Content_Type=kind)
        assert len(replies.derivatives(answer, "t1")) == 2


@pytest.mark.parametrize("body", [[], "x", 5, None, {"data": None}, {"data": [], "cursor": 5}])
def test_a_list_that_is_not_as_documented(body):
    for name in ("derivatives", "heard", "products"):
        with pytest.raises(DecodeError, match="not as documented"):
            READERS[name](reply(200, body))


# --- a listing that brings nothing but new links ---------------------------------------------------------------


def second(first, then, status=206):
    """What the second of two listings is heard as."""
    _, before = replies.heard(reply(206, first), "t1")
    return heard(reply(status, then), before)


def relinked(href):
    return {**ONE, "assets": [{"type": "geojson", "href": href}]}


def test_a_listing_with_nothing_but_new_links_is_read_when_somebody_looks():
    found = second(listed(ONE), listed(relinked("https://d1.cloudfront.net/new")))

    assert isinstance(found, Renewed)
    assert not found.final
    (entry,) = found.read()
    assert entry.assets[0].href == "https://d1.cloudfront.net/new"
    assert entry.document == relinked("https://d1.cloudfront.net/new")


def test_the_same_body_again_brings_nothing_new():
    assert isinstance(second(listed(ONE), listed(ONE)), Renewed)
    assert isinstance(second(listed(), listed()), Renewed)


def test_a_404_between_two_listings_does_not_make_the_second_new():
    _, before = replies.heard(reply(206, listed(ONE)), "t1")
    nothing, before = replies.heard(reply(404), "t1", before)

    assert isinstance(nothing, Nothing)
    assert isinstance(heard(reply(206, listed(ONE)), before), Renewed)


@pytest.mark.parametrize(
    "item",
    [
        {**ONE, "id": "d2"},
        {**ONE, "derivativeProductType": "DC_AIRCRAFT"},
        {**ONE, "assets": []},
        {**ONE, "assets": ONE["assets"] * 2},
        {**ONE, "assets": [{"type": "other", "href": LINK}]},
        {**ONE, "imageReference": "i1"},
        {**ONE, "extra": 1},
    ],
)
def test_a_listing_with_any_other_difference_is_new(item):
    assert isinstance(second(listed(ONE), listed(item)), Listing)
    assert isinstance(second(listed(item), listed(ONE)), Listing)


def test_a_listing_with_another_status_is_new():
    found = second(listed(ONE), listed(ONE), status=200)

    assert isinstance(found, Listing)
    assert found.final


NOT_A_LINK = [None, 5, True, [], {}]


@pytest.mark.parametrize(
    "body",
    [
        *[listed(relinked(wrong)) for wrong in NOT_A_LINK],
        listed({**ONE, "assets": [{"type": "geojson"}]}),
        listed(ONE, cursor=5),
        {"data": {"0": ONE}},
        b'{"data": [',
        b"",
        json.dumps(listed(ONE)).encode().replace(f', "href": "{LINK}"'.encode(), b", "),
        json.dumps(listed(ONE)).encode().replace(b'"href":', b'"href"\x0b:'),
        json.dumps(listed(ONE)).encode().replace(b'"href":', b'"href": "x" "href":'),
        json.dumps(listed(ONE)).encode().replace(b"Signature=", b"Signature=\xff"),
        json.dumps(listed(ONE)).encode().replace(b"Signature=", b"Signature=\n"),
        json.dumps(listed(ONE)).encode().replace(b"Signature=", b"Signature=\\ud800"),
    ],
)
def test_what_cannot_be_read_is_never_taken_for_new_links(body):
    """A `DecodeError` must be heard by the wait; it may not hide until somebody looks at the update."""
    try:
        found = second(listed(ONE), body)
    except DecodeError:
        return
    assert isinstance(found, Listing)
    assert found.unread is not None


def test_a_link_that_is_gone_from_an_asset_with_nothing_else_is_not_new_links():
    bare = {**ONE, "assets": [{"href": LINK}]}

    found = second(listed(bare), listed({**ONE, "assets": [{}]}))

    assert isinstance(found, Listing)
    assert found.unread.where == ("$.data[0].assets[0].href",)


SPARE = [b"", b'"', b",", b"[", b"}", b" ", b'"href":"x"', b'"href" : "y",', b"\\", b"\x0b", b"\xff", b"{}", b"null"]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([listed(ONE), listed(ONE, relinked("x")), listed({**ONE, "assets": [{"href": LINK}]})]),
    st.sampled_from(SPARE),
    st.integers(0, 2**32).map(random.Random),
)
def test_what_passes_for_new_links_reads_as_the_listing_before_but_for_the_links(first, spare, dice):
    body = json.dumps(first).encode()
    starts = [at for at in range(len(body)) if body[at : at + 1] in b'"{}[],:']
    here, there = sorted(dice.choices(starts, k=2))
    try:
        found = second(first, body[:here] + spare + body[there:])
    except DecodeError:
        return
    if isinstance(found, Renewed):
        page = wire.derivatives(body[:here] + spare + body[there:], "t1")
        assert page.flaws == ()
        assert found.read() == page.items
        outline = [(entry.id, entry.type, len(entry.assets)) for entry in page.items]
        assert outline == [(item["id"], item["derivativeProductType"], len(item["assets"])) for item in first["data"]]


# --- errors ----------------------------------------------------------------------------------------------------

CLASSES = {400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 429: RateLimited}
CLASSES |= dict.fromkeys((500, 501, 502, 503, 504, 505, 511, 599), ServerError)
CLASSES |= dict.fromkeys((0, 100, 199, 300, 301, 304, 308, 399, 402, 405, 409, 418, 499, 600, 999), ApiError)
TRANSIENT = {429, 500, 501, 502, 503, 504, 505, 511, 599}
BODIES = [b"", HTML, b"garbage", b"\xff\xfe", b"[" * 5000, b"[]", b"null", b"5", b'"x"', b"{}", b'{"code": 5}']


@pytest.mark.parametrize("status", CLASSES)
def test_the_status_alone_gives_the_class(status):
    for body in [*BODIES, json.dumps(PROBLEM).encode(), b'{"title": "' + b"x" * 70_000 + b'"}']:
        failed = error(status, body)

        assert type(failed) is CLASSES[status]
        assert failed.status == status
        assert failed.transient == (status in TRANSIENT)
        assert str(failed).startswith(f"GET /api/tasking/v2/tasks/t1/derivatives: {status}")


def test_a_problem_body_is_read():
    failed = error(400, PROBLEM, Content_Type="application/problem+json")

    assert (failed.code, failed.title) == (PROBLEM["code"], PROBLEM["title"])
    assert (failed.detail, failed.reference) == (PROBLEM["details"], "r-77")
    for told in ("INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES", "Incompatible mode", "STRIPMAP has no derivatives"):
        assert told in str(failed)


def test_a_plain_error_body_is_read():
    failed = error(403, {"code": "FORBIDDEN", "message": "not your contract"})

    assert (failed.code, failed.detail) == ("FORBIDDEN", "not your contract")
    assert (failed.title, failed.reference) == (None, None)
    assert "FORBIDDEN; not your contract" in str(failed)


def test_the_bodies_of_other_servers_are_read_as_far_as_they_go():
    assert error(400, {"detail": "RFC 9457 spells it so"}).detail == "RFC 9457 spells it so"
    assert error(401, {"error_description": "bad client"}).detail == "bad client"
    assert error(400, {"details": " ", "message": "the first that says something"}).detail.startswith("the first")


@pytest.mark.parametrize("body", [*BODIES, {"code": None, "title": [], "details": {}, "reference": 5}, {"title": "  "}])
def test_a_body_that_is_neither_gives_no_facts(body):
    failed = error(500, body)

    assert (failed.code, failed.title, failed.detail, failed.reference) == (None,) * 4
    assert str(failed).endswith(": 500")


def test_a_404_means_what_the_request_says_it_means():
    assert type(error(404, request=TASK)) is TaskNotFound
    assert "no such task" in str(error(404, request=TASK))
    assert type(error(404, request=requests.list_products("t1"))) is NotFound


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (401, "check the credentials"),
        (403, "does not allow it"),
        (404, "tells whether the task exists"),
        (429, "lower rate_limit"),
        (300, "check base_url"),
        (301, "check base_url"),
        (308, "check base_url"),
    ],
)
def test_a_message_names_the_next_step(status, step):
    assert step in str(error(status))


def test_a_redirect_is_an_error_that_does_not_tell_where_to():
    failed = error(302, Location=LINK)

    assert type(failed) is ApiError
    assert failed.status == 302
    assert "cloudfront" not in str(failed)


@pytest.mark.parametrize("status", [201, 202, 204, 205, 299])
def test_a_success_that_is_no_documented_answer(status):
    failed = error(status, {"data": []}, X_Request_Id="q1", Retry_After="4")

    assert isinstance(failed, DecodeError)
    assert f"status {status} is not a documented answer" in str(failed)
    assert (failed.where, failed.request_id, failed.retry_after) == (("$",), "q1", 4.0)


def test_the_query_of_a_request_is_not_shown():
    failed = error(500, request=requests.list_products("t1", cursor="c0ffee"))

    assert str(failed).startswith("GET /api/tasking/v2/tasks/t1/products: 500")
    assert "c0ffee" not in str(failed)


def test_errors_survive_pickle():
    for failed in (error(429, PROBLEM, Retry_After="5", X_Request_Id="q"), error(204), error(404, request=TASK)):
        twin = pickle.loads(pickle.dumps(failed))  # noqa: S301 - our own bytes
        assert type(twin) is type(failed)
        assert (str(twin), vars(twin)) == (str(failed), vars(failed))


@pytest.mark.parametrize("name", ["X-Request-Id", "x-correlation-id", "X-Amzn-RequestId", "x-amz-cf-id"])
def test_the_request_id_comes_from_the_common_headers(name):
    answer = Reply(500, CIMultiDictProxy(CIMultiDict({name: "q\x1b[31m1"})), b"")

    assert replies.error(answer, LOOK).request_id == "q [31m1"
    assert error(500).request_id is None


# --- what must not be in a message -----------------------------------------------------------------------------

TEXTS = ["code", "title", "details", "detail", "message", "error_description", "reference"]


def shown(failed):
    return f"{failed} {failed!r} {vars(failed)}"


@pytest.mark.parametrize("key", TEXTS)
def test_secrets_that_the_body_echoes_are_taken_out(key):
    failed = error(400, {key: "Bearer t0ken refused, basic c2Vj, t0ken!"}, secrets=("t0ken", "c2Vj"))

    assert "t0ken" not in shown(failed)
    assert "c2Vj" not in shown(failed)
    assert "Bearer ... refused" in shown(failed)


def test_secrets_may_come_from_any_iterable():
    failed = error(400, {"code": "t0ken", "title": "t0ken", "message": "t0ken"}, secrets=iter(["t0ken"]))

    assert "t0ken" not in shown(failed)


@pytest.mark.parametrize("key", TEXTS)
def test_links_are_masked(key):
    assert "s3cret" not in shown(error(400, {key: f"see {LINK} for more"}))


@pytest.mark.parametrize(
    "text",
    [
        f"see {LINK} for more",
        f"({LINK})",
        f'"{LINK}"',
        f"'{LINK}'",
        f"<{LINK}>",
        LINK.upper().replace("S3CRET", "s3cret"),
        "https://user:s3cret@d1.cloudfront.net/a.tif",
        f"a\\n{LINK}",
        f"url={LINK}&x",
        f"url{LINK}",
        "https://d1.cloudfront.net/o'brien.tif?Signature=s3cret",
        "https://[::1/a?Signature=s3cret",
    ],
)
def test_links_are_masked_wherever_they_stand(text):
    assert "s3cret" not in shown(error(400, {"message": text}))


def test_a_masked_link_still_tells_where_it_leads():
    assert error(400, {"message": f"cannot read {LINK} now"}).detail == (
        "cannot read https://d1.cloudfront.net/a.tif?... now"
    )


@pytest.mark.parametrize(
    "char", ["\x00", "\x07", "\x1b", "\n", "\r", "\t", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f"]
)
def test_control_characters_are_taken_out(char):
    failed = error(400, {"code": f"A{char}B", "message": f"one{char}{char}two{char}"})

    assert (failed.code, failed.detail) == ("A B", "one two")
    assert char not in str(failed)


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\u061c"])
def test_other_characters_that_break_or_turn_a_line_are_taken_out(char):
    assert char not in str(error(400, {"message": f"one{char}two"}))


def test_a_text_of_nothing_but_control_characters_says_nothing():
    assert error(400, {"code": "\x00\x1b"}).code in {None, ""}
    assert str(error(400, {"code": "\x00\x1b"})).endswith(": 400")


def test_a_long_text_is_cut():
    failed = error(400, {"message": "x" * 10_000, "code": "y" * 10_000, "title": "z" * 10_000})

    assert len(failed.detail) == 300
    assert failed.detail.endswith("x...")
    assert len(str(failed)) < 1100
    assert error(400, {"message": "x" * 300}).detail == "x" * 300


def test_a_huge_error_body_is_not_even_read():
    assert error(400, {"message": "x", "more": "y" * 70_000}).detail is None


def test_no_link_of_an_unreadable_answer_is_shown():
    for status in (200, 206):
        with pytest.raises(DecodeError) as caught:
            heard(reply(status, LINK.encode(), Content_Type=f"text/html; at={LINK}"))
        assert "s3cret" not in shown(caught.value)


# --- Retry-After -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1", 1), ("120", 120), (" 5 ", 5), ("007", 7), ("86400", 86400)]
)
def test_whole_seconds(text, seconds):
    assert wait(text) == seconds


@pytest.mark.parametrize("text", ["1" * 20, "9" * 400, "9" * 5000])
def test_a_number_of_seconds_with_very_many_digits_means_nothing(text):
    assert wait(text) is None


def test_a_number_that_nobody_can_wait_for_is_a_very_long_wait():
    assert wait("9" * 19) == 1e12


def test_twelve_digits_are_still_counted():
    assert wait("123456789012") == 123_456_789_012


def test_leading_zeros_do_not_make_a_number_long():
    assert wait("0" * 20 + "5") == 5


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 12:00:37 GMT", "Sunday, 06-Nov-94 12:00:37 GMT", "Sun Nov  6 12:00:37 1994"]
)
def test_an_http_date_in_each_of_its_forms_is_read_against_the_date_of_the_reply(text):
    assert wait(text) == 37
    assert wait(text, at=5e9) == 37
    assert wait(text, date="Sunday, 06-Nov-94 12:00:07 GMT") == 30
    assert wait(text, date="Sun Nov  6 12:00:17 1994") == 20


def test_an_http_date_is_read_against_the_local_time_where_the_reply_has_none():
    noon = replies.http_date(NOON)

    for date in (None, "", "yesterday"):
        assert wait("Sun, 06 Nov 1994 12:01:00 GMT", date=date, at=noon) == 60


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the local zone cannot be set here")
def test_a_date_without_a_zone_is_utc_wherever_this_machine_stands(monkeypatch):
    monkeypatch.setenv("TZ", "EST+5")
    time.tzset()
    try:
        assert replies.http_date("Sun Nov  6 12:00:00 1994") == replies.http_date(NOON) == 784_123_200
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_in_the_past_is_no_wait():
    assert wait("Sun, 06 Nov 1994 11:00:00 GMT") == 0


def test_a_date_with_another_zone_is_converted():
    assert wait("Sun, 06 Nov 1994 14:00:10 +0200") == 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "nan",
        "inf",
        "Infinity",
        "٣",
        "²",
        "\uff11\uff12",
        "0x10",
        "5s",
        "5 seconds",
        "5, 10",
        "soon",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Sun, 06 Nov 1994 25:00:00 GMT",
        "Sun, 06 Nov 1994 12:00:60 GMT",
        "Sun, 31 Feb 1994 12:00:00 GMT",
        "Sun, 06 Nov 1994 12:00:00 +99999999999",
        ",",
        "::",
        "Sun,",
        "\x00",
        "x" * 10_000,
    ],
)
def test_what_is_no_retry_after_says_nothing(text):
    assert wait(text) is None
    assert replies.http_date(text) is None


def test_no_retry_after_says_nothing():
    assert wait() is None


def test_of_two_retry_afters_the_longer_binds():
    assert wait("5", "30") == wait("30", "5") == 30
    assert wait("soon", "5") == 5
    assert wait("5", "Sun, 06 Nov 1994 12:01:00 GMT") == 60


def test_rate_limit_headers_are_not_listened_to():
    answer = reply(429, RateLimit="limit=1, remaining=0, reset=500", X_RateLimit_Reset="9e99", Retry_After="5")

    assert replies.retry_after(answer) == 5


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_every_error_carries_its_retry_after(status):
    assert error(status, Retry_After="12").retry_after == 12
    assert error(status, Retry_After="nan").retry_after is None
    assert error(status).retry_after is None


# --- whatever comes --------------------------------------------------------------------------------------------

words = st.sampled_from(["Sun", "Sun,", "Nov", "06", "6", "1994", "94", "12:00:00", "12.0", "GMT", "+", "-", ":", ","])
dates = st.lists(words | st.text(max_size=4) | st.integers().map(str), max_size=7).map(" ".join) | st.text(max_size=30)


@settings(max_examples=300, deadline=None)
@given(dates, dates)
@example("1" * 5000, "")
@example("Sun, 06 Nov 1994 12:00:00 -9999999999999999999999", "")
@example("0 0 0 0 0 0", "- - - -")
@example("Sun, 06 Nov 1994 0:0:0.0.0", "1994-11-06T12:00:00Z")
def test_any_retry_after_and_any_date_give_seconds_or_nothing(text, date):
    seconds = wait(text, date=date)

    assert seconds is None or 0 <= seconds < float("inf")


header_values = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
statuses = st.sampled_from([200, 201, 204, 206, 301, 400, 401, 403, 404, 418, 429, 500, 503, 600, 999]) | st.integers(
    0, 9999
)
bodies = st.binary(max_size=100) | st.sampled_from([json.dumps(body).encode() for body in (PROBLEM, listed(ONE, 5))])
answers = st.builds(
    lambda status, body, kind, later, named: reply(
        status, body, Content_Type=kind, Retry_After=later, X_Request_Id=named, Date=later
    ),
    statuses,
    bodies,
    header_values,
    header_values,
    header_values,
)


@EXAMPLES
@given(answers)
def test_any_reply_is_an_error_of_ours(answer):
    failed = replies.error(answer, LOOK, ("s3cret",))

    assert isinstance(failed, IceyeError)
    assert isinstance(failed, DecodeError) == (200 <= answer.status < 300)
    assert str(failed).isprintable()
    assert "s3cret" not in str(failed)


@EXAMPLES
@given(st.sampled_from(sorted(READERS)), answers)
def test_any_reply_gives_a_model_or_an_error_of_ours(name, answer):
    try:
        found = READERS[name](answer)
    except IceyeError as failed:
        known = failed
    else:
        known = None
        assert isinstance(found, DerivativeSet | Listing | Nothing | wire.Page | Task) or name == "document"
    assert known is None or "s3cret" not in str(known)


@pytest.mark.parametrize(
    ("status", "body", "kind"), [(204, b"", EmptyAnswer), (202, b" \n", EmptyAnswer), (202, b"{}", DecodeError)]
)
def test_nothing_at_all_is_told_from_something_else(status, body, kind):
    failed = error(status, body, requests.get_task("t1"))

    assert type(failed) is kind
    assert failed.transient is (kind is EmptyAnswer)


def test_a_reply_shows_neither_its_headers_nor_its_body():
    shown = repr(reply(401, b"a token", Authorization="another"))

    assert "401" in shown
    assert "token" not in shown
    assert "another" not in shown


def test_what_is_kept_of_a_listing_has_all_but_its_links(sample):
    """Between two looks of a batch only the outline is kept."""
    body = sample("derivatives-206")

    kept = replies.entries(wire.without_links(body), "t1")

    listed = wire.derivatives(body, "t1").items
    assert [(entry.id, entry.type, len(entry.assets)) for entry in kept] == [
        (entry.id, entry.type, len(entry.assets)) for entry in listed
    ]
    assert {asset.href for entry in kept for asset in entry.assets} == {""}
