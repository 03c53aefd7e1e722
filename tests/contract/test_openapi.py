"""The OpenAPI document, held against the documented bodies, and the sandbox, held against the document.

ICEYE_CONFORM_REQUESTS says how many requests are made from the document (80; ten thousand take minutes).
"""

import gzip
import json
import logging
import math
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from aiohttp import encode_basic_auth
from jsonschema_rs import Draft202012Validator

from iceye_async.sandbox import Fault, Sandbox
from iceye_async.sandbox.api import Api
from tests.conforming import (
    ABOUT_A_TASK,
    ACCEPTS,
    CONFORM,
    DOCUMENT,
    METHODS,
    PAST,
    PLAIN,
    PROBLEM,
    TASKS,
    asked,
    served,
)
from tests.conftest import DATA

REQUESTS = int(os.environ.get("ICEYE_CONFORM_REQUESTS", "80"))

# A test of the default time limit has no time for thousands of requests.
pytestmark = pytest.mark.timeout(60 + REQUESTS // 10)

OPERATIONS = {
    "createTask": ("POST", TASKS),
    "listTasks": ("GET", TASKS),
    "getTask": ("GET", f"{TASKS}/{{}}"),
    "cancelTask": ("PATCH", f"{TASKS}/{{}}"),
    "getTaskScene": ("GET", f"{TASKS}/{{}}/scene"),
    "listTaskProducts": ("GET", f"{TASKS}/{{}}/products"),
    "getTaskProduct": ("GET", f"{TASKS}/{{}}/products/{{}}"),
    "listTaskDerivatives": ("GET", f"{TASKS}/{{}}/derivatives"),
    "getPrice": ("GET", "/api/tasking/v2/price"),
    "checkFeasibility": ("POST", "/api/tasking/v2/feasibility"),
    "listContracts": ("GET", "/api/company/v1/contracts"),
    "getContract": ("GET", "/api/company/v1/contracts/{}"),
    "token": ("POST", "/oauth2/token"),
    "getDocument": ("GET", "/openapi.json"),
}


# --- the document ------------------------------------------------------------------------------------------------


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each call."""
    for path, item in DOCUMENT["paths"].items():
        yield from ((method.upper(), path, item[method]) for method in METHODS if method in item)


def inside(value: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(part)


def at(pointer: str) -> Any:
    """What a `#/a/b` names in the document."""
    found = DOCUMENT
    for name in pointer.removeprefix("#/").split("/"):
        found = found[name.replace("~1", "/").replace("~0", "~")]
    return found


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Of a schema in the document."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def test_the_document_is_openapi_3_1() -> None:
    schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config()).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        validator(schema)

    assert DOCUMENT["openapi"].startswith("3.1.")


def test_it_has_the_calls_of_the_specification() -> None:
    found = {operation["operationId"]: (method, path) for method, path, operation in operations()}

    assert {name: (method, re.sub("{.*?}", "{}", path)) for name, (method, path) in found.items()} == OPERATIONS
    assert len(list(operations())) == len(OPERATIONS)


async def test_it_has_the_calls_that_the_sandbox_serves_and_no_others() -> None:
    async with Sandbox() as sandbox:
        routes = list(Api(sandbox, sandbox._links).app().router.routes())

    served = {(route.method, re.sub("{.*?}", "{}", route.resource.canonical)) for route in routes if route.resource}
    assert {route for route in served if route[0] != "HEAD"} == set(OPERATIONS.values())


def test_every_reference_leads_somewhere() -> None:
    references = [found["$ref"] for found in inside(DOCUMENT) if "$ref" in found]
    linked = {found["operationId"] for found in inside(DOCUMENT) if "operationId" in found}

    assert references
    assert all(at(reference) for reference in references)
    assert linked == set(OPERATIONS)


def test_nothing_in_it_is_unused() -> None:
    used = {found["$ref"] for found in inside(DOCUMENT) if "$ref" in found}
    kinds = ("schemas", "parameters", "responses", "headers")

    assert used == {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}


def test_every_example_is_what_its_schema_says() -> None:
    bodies = [found for found in inside(DOCUMENT) if "schema" in found and {"example", "examples"} & set(found)]
    for body in bodies:
        examples = [example["value"] for example in body.get("examples", {}).values()]
        for example in [*examples, *([body["example"]] if "example" in body else [])]:
            validator(body["schema"]).validate(example)

    assert len(bodies) > 20


@pytest.mark.parametrize(
    ("operation", "status", "name"),
    [
        ("listTaskProducts", "200", "products-200"),
        ("getTaskProduct", "200", "products-by-type-200"),
        ("listTaskDerivatives", "200", "derivatives-200"),
        ("listTaskDerivatives", "206", "derivatives-206"),
    ],
)
def test_the_documented_bodies_are_what_it_says(operation: str, status: str, name: str) -> None:
    (answers,) = [call["responses"] for _, _, call in operations() if call["operationId"] == operation]
    schema = answers[status]["content"]["application/json"]["schema"]

    validator(schema).validate(json.loads((DATA / f"{name}.json").read_bytes()))


def test_a_206_has_something_and_lacks_something() -> None:
    schema = validator(at("#/components/schemas/SomeDerivatives"))

    assert not schema.is_valid(json.loads((DATA / "derivatives-200.json").read_bytes()))
    assert not schema.is_valid({"data": []})


# --- requests from the document ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_sandbox_is_as_its_document_says(name: str, record_property: Callable[[str, object], None]) -> None:
    number = 1 if name == "getDocument" else -(-REQUESTS // (len(OPERATIONS) - 1))
    with served() as sandbox:
        asking = asked(sandbox, name, number)
        if name == "createTask":
            asking.follow()

    assert not asking.wrong, "\n\n".join(asking.wrong.values())
    assert asking.statuses.total() >= number
    record_property("requests that conform", asking.statuses.total())


@pytest.mark.parametrize("reference", PAST)
def test_whatever_becomes_of_a_task_its_answers_are_as_documented(reference: str) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config())
    with served() as sandbox:
        task = sandbox.tasks[list(PAST).index(reference)]
        seen = []
        for call in ABOUT_A_TASK:
            case = schema.find_operation_by_id(call).Case(path_parameters={"taskID": task, "productType": "GRD"})
            answer = case.call(base_url=sandbox.sandbox.base_url, session=sandbox.http, headers=sandbox.headers)
            case.validate_response(answer, checks=CONFORM)
            seen.append(answer.status_code)
        status = sandbox.get(f"{TASKS}/{task}")["status"]

    assert (status, *seen[1:]) == BECOMES[reference]


BECOMES = {
    "all": ("DONE", 200, 200, 200, 200),
    "frames of long ago": ("DONE", 200, 200, 200, 200),
    "failed": ("FAILED", 404, 404, 404, 404),
    "canceled": ("CANCELED", 404, 404, 404, 404),
    "rejected": ("REJECTED", 404, 404, 404, 404),
    "some": ("FULFILLED", 200, 200, 200, 206),
    "frames of now": ("FULFILLED", 200, 200, 200, 404),
    "fulfilled": ("FULFILLED", 200, 200, 200, 404),
    "active": ("ACTIVE", 200, 404, 404, 404),
    "received": ("RECEIVED", 404, 404, 404, 404),
}


# --- what no schema makes ----------------------------------------------------------------------------------------

JSON, FORM = ({"Content-Type": f"application/{kind}"} for kind in ("json", "x-www-form-urlencoded"))
TOO_MUCH = b" " * (2**20 + 1)
ODD: dict[str, tuple[int, str, str, Mapping[str, str], bytes]] = {
    "an unknown charset": (400, "POST", TASKS, {"Content-Type": "application/json; charset=no-such"}, b"{}"),
    "a codec that is no charset": (400, "POST", TASKS, {"Content-Type": "application/json; charset=base64"}, b"{}"),
    "another charset than it says": (400, "POST", TASKS, {"Content-Type": "application/json; charset=utf-16"}, b"{}"),
    "bytes that are no text": (400, "POST", TASKS, JSON, b"\xff\xfe"),
    "nothing": (400, "POST", TASKS, JSON, b""),
    "depth": (400, "POST", TASKS, JSON, b"[" * 100_000),
    "depth that ends": (400, "POST", "/api/tasking/v2/feasibility", JSON, b"[" * 20_000 + b"]" * 20_000),
    "a number of a thousand digits": (400, "POST", TASKS, JSON, b'{"contractID": 1' + b"0" * 5_000 + b"}"),
    "no number": (400, "POST", TASKS, JSON, b'{"pointOfInterest": {"lat": NaN, "lon": Infinity}}'),
    "what is not packed as it says": (400, "POST", TASKS, {**JSON, "Content-Encoding": "gzip"}, b"{}"),
    "too much": (413, "POST", TASKS, JSON, TOO_MUCH),
    "what is packed": (400, "POST", TASKS, {**JSON, "Content-Encoding": "gzip"}, gzip.compress(TOO_MUCH * 9)),
    "too much of a form": (413, "POST", "/oauth2/token", FORM, b"a" * len(TOO_MUCH)),
    "a form in an unknown charset": (
        400,
        "POST",
        "/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded; charset=no-such"},
        b"a=b",
    ),
    "a form that is no text": (400, "POST", "/oauth2/token", FORM, b"\xff\xfe=%ff"),
    "parts without a boundary": (400, "POST", "/oauth2/token", {"Content-Type": "multipart/form-data"}, b"a"),
    "a part without a name": (
        400,
        "POST",
        "/oauth2/token",
        {"Content-Type": "multipart/form-data; boundary=a"},
        b"--a\r\n\r\nb",
    ),
    "a form that is not packed as it says": (
        400,
        "POST",
        "/oauth2/token",
        {**FORM, "Content-Encoding": "gzip"},
        b"a=b",
    ),
    "an unknown path": (404, "GET", "/nowhere", {}, b""),
    "a path that goes on": (404, "GET", f"{TASKS}/", {}, b""),
    "a path of strange bytes": (404, "GET", f"{TASKS}/%00%ff%2F", {}, b""),
    "an unknown method": (405, "PUT", TASKS, {}, b""),
    "another method": (405, "GET", "/oauth2/token", {}, b""),
    "a method on the document": (405, "DELETE", "/openapi.json", {}, b""),
}


@pytest.mark.parametrize("what", ODD)
def test_what_no_schema_makes_is_refused_as_documented(what: str, caplog: pytest.LogCaptureFixture) -> None:
    status, method, path, headers, body = ODD[what]
    with served({}) as sandbox:
        basic = encode_basic_auth(sandbox.sandbox.client_id, sandbox.sandbox.client_secret)
        trusted = {"Authorization": basic} if path == "/oauth2/token" else sandbox.headers
        for accept in ACCEPTS:
            url = sandbox.sandbox.base_url + path
            answer = sandbox.http.request(method, url, headers={"Accept": accept, **headers, **trusted}, data=body)
            kind = PROBLEM if PROBLEM in accept else PLAIN
            schema = {PROBLEM: "Problem", PLAIN: "Error"}[kind]
            if path == "/oauth2/token" and status == 400:
                kind, schema = PLAIN, "TokenError"

            assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (status, kind)
            validator(at(f"#/components/schemas/{schema}")).validate(answer.json())
            assert ("Allow" in answer.headers) == (status == 405)

    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_of_what_is_not_http_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """There may be credentials in it."""
    with served({}) as sandbox:
        host, port = sandbox.sandbox.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as wire:
            wire.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer mine\x00\r\n\r\n")
            answer = wire.recv(65536)

    assert answer.startswith(b"HTTP/1.0 400")
    assert "mine" not in caplog.text


# --- these tests themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fault", "words"),
    [
        ("getTask", {"status": 500}, "Server error"),
        ("getTask", {"status": 418}, "Undocumented status code"),
        ("getTask", {"headers": {"Date": None}}, "Missing required response headers"),
        ("getTask", {"headers": {"Content-Type": "text/html"}}, "Undocumented Content-Type"),
        ("getTask", {"body": "{}"}, "Response violates schema"),
        ("getPrice", {"body": '{"amount": 1, "currency": "EUR", "unit": 2}'}, "Response violates schema"),
        ("checkFeasibility", {"status": 200, "body": '{"feasibility": []}'}, "Schema-violating request accepted"),
        ("getPrice", {"status": 400}, "Schema-valid request rejected"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_wrong_answer_is_found(name: str, fault: Mapping[str, Any], words: str) -> None:
    with served() as sandbox:
        sandbox.sandbox.faults.append(Fault(call=name, times=math.inf, **fault))
        asking = asked(sandbox, name, 14)

    assert words in " ".join(asking.wrong.values())


def test_a_lack_of_care_for_credentials_is_found() -> None:
    with served() as sandbox:
        sandbox.foreign = sandbox.headers
        asking = asked(sandbox, "listContracts", 50)

    assert "it took credentials that are not good" in " ".join(asking.wrong.values())
