"""Lists of several pages: fetched when needed, to the end, and never for ever."""

import asyncio
import json

import pytest

from iceye_async import BadRequest, DecodeError, NotFound, PaginationLoop, ProductType, ServerError

PRODUCTS = "/api/tasking/v2/tasks/t1/products"


def product(name):
    return {
        "id": name,
        "properties": {"sar:product_type": "GRD"},
        "assets": {"grd-tif": {"href": "https://l.example/f"}},
    }


def page(*names, **cursor):
    items = [product(name) if isinstance(name, str) else name for name in names]
    return (200, {}, json.dumps({"data": items, **cursor}).encode())


def ids(found):
    return [item.id for item in found]


async def iterate(pages, seen):
    """Notes each id as it comes, so that those before an error count."""
    async for item in pages:
        seen.append(item.id)


@pytest.fixture
def pages(connect, service):
    """The products of a task, in three pages."""
    service.answers(PRODUCTS, page("a", "b", cursor="2"), page("c", cursor="3"), page("d", cursor=""))
    return connect().products.list("t1")


async def test_awaited_a_list_gives_the_items_of_all_pages(pages, service):
    found = await pages

    assert isinstance(found, tuple)
    assert ids(found) == ["a", "b", "c", "d"]
    assert [heard.target for heard in service.requests] == [PRODUCTS, f"{PRODUCTS}?cursor=2", f"{PRODUCTS}?cursor=3"]


async def test_iterated_a_page_is_fetched_when_its_first_item_is_wanted(pages, service):
    asked = [(item.id, len(service.requests)) async for item in pages]

    assert asked == [("a", 1), ("b", 1), ("c", 2), ("d", 3)]


async def test_nothing_is_asked_for_items_that_nobody_wants(pages, service):
    async for item in pages:
        if item.id == "b":
            break

    assert len(service.requests) == 1
    assert ids(pages.latest) == ["a", "b"]


async def test_an_await_after_a_partial_iteration_gives_all(pages, service):
    async for _ in pages:
        break

    assert ids(await pages) == ["a", "b", "c", "d"]
    assert len(service.requests) == 3


async def test_a_second_iteration_goes_on_where_the_first_stopped(pages):
    async for _ in pages:
        break

    assert [item.id async for item in pages] == ["b", "c", "d"]
    assert [item.id async for item in pages] == []


async def test_an_await_after_the_end_asks_nothing(pages, service):
    await pages

    assert ids(await pages) == ["a", "b", "c", "d"]
    assert len(service.requests) == 3


@pytest.mark.parametrize("end", [{}, {"cursor": None}, {"cursor": ""}], ids=str)
async def test_a_list_ends_with_any_of_the_three_empty_cursors(connect, service, end):
    service.answers(PRODUCTS, page("a", cursor="2"), page("b", **end))

    assert ids(await connect().products.list("t1")) == ["a", "b"]


async def test_an_empty_page_in_the_middle_is_not_the_end(connect, service):
    service.answers(PRODUCTS, page("a", cursor="2"), page(cursor="3"), page("b"))

    assert ids(await connect().products.list("t1")) == ["a", "b"]


async def test_a_list_without_items_is_an_empty_tuple(connect, service):
    service.answers(PRODUCTS, page())

    assert await connect().products.list("t1") == ()


async def test_a_cursor_is_sent_back_as_it_came(connect, service):
    service.answers(PRODUCTS, page("a", cursor="a+b/c=&d e%2F\u00fc"), page("b"))

    await connect().products.list("t1")

    assert service.requests[1].target == f"{PRODUCTS}?cursor=a%2Bb%2Fc%3D%26d%20e%252F%C3%BC"


@pytest.mark.parametrize("cursors", [["2", "2"], ["2", "3", "2"], ["2", "3", "4", "3"]], ids=str)
async def test_a_cursor_that_comes_again_is_an_error_that_keeps_the_pages(connect, service, cursors):
    names = "abcd"[: len(cursors)]
    service.answers(PRODUCTS, *(page(name, cursor=cursor) for name, cursor in zip(names, cursors, strict=True)))
    pages = connect().products.list("t1")

    seen = []
    with pytest.raises(PaginationLoop):
        await iterate(pages, seen)

    assert seen == list(names)
    assert ids(pages.latest) == list(names)
    assert len(service.requests) == len(cursors)


async def test_the_good_items_come_first_and_then_every_bad_one_is_named(connect, service):
    bad = {"id": None, "properties": {}, "assets": {}}
    service.answers(
        PRODUCTS, page("a", bad, "b", cursor="2"), page("c", {"id": "x", "assets": {"k": {}}, "properties": {}})
    )
    pages = connect().products.list("t1")

    seen = []
    with pytest.raises(DecodeError) as caught:
        await iterate(pages, seen)

    assert seen == ["a", "b", "c"]
    assert ids(pages.latest) == ["a", "b", "c"]
    first, second = caught.value.where
    assert "$.data[1].id" in first
    assert "$.data[1].assets.k.href" in second
    assert "page 2" in second


async def test_awaited_a_bad_item_is_an_error_and_latest_has_the_good(connect, service):
    service.answers(PRODUCTS, page("a", 7, "b"))
    pages = connect().products.list("t1")

    with pytest.raises(DecodeError) as caught:
        await pages

    assert caught.value.where == ("$.data[1]",)
    assert ids(pages.latest) == ["a", "b"]


async def test_the_items_of_one_type_are_asked_for_by_its_path(connect, service):
    service.answers(f"{PRODUCTS}/GRD-COG", page("a", cursor="2"), page("b"))

    found = await connect().products.list("t1", ProductType.GRD_COG)

    assert ids(found) == ["a", "b"]
    assert service.requests[1].target == f"{PRODUCTS}/GRD-COG?cursor=2"


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (400, BadRequest)])
async def test_a_refused_list_is_a_typed_error(connect, service, status, error):
    service.answers(PRODUCTS, (status, {}, b""))

    with pytest.raises(error):
        await connect().products.list("t1")


async def test_a_page_that_fails_for_a_while_is_asked_for_again(connect, service):
    service.answers(PRODUCTS, page("a", cursor="2"), (503, {}, b""), page("b"))

    assert ids(await connect().products.list("t1")) == ["a", "b"]


async def test_after_a_failed_page_the_list_goes_on_from_that_page(connect, service):
    service.answers(PRODUCTS, page("a", cursor="2"), *[(503, {}, b"")] * 3, page("b"))
    pages = connect().products.list("t1")
    with pytest.raises(ServerError):
        await pages
    assert ids(pages.latest) == ["a"]

    assert ids(await pages) == ["a", "b"]
    assert [heard.target for heard in service.requests].count(PRODUCTS) == 1


async def test_a_page_that_was_cancelled_is_asked_for_again(connect, service):
    async def run_out(request):
        limit.reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    service.answers(PRODUCTS, page("a", cursor="2"), run_out, page("b"))
    pages = connect().products.list("t1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            await pages

    assert ids(await pages) == ["a", "b"]
