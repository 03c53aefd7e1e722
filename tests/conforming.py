"""A sandbox that has been lived in, requests that are made from its OpenAPI document, and what is wrong with answers.

Half of the requests are good by the document and half are not; most are about tasks that exist, in all statuses. One in
ten has credentials that are not good. The same number makes the same requests.
"""

import asyncio
import copy
import queue
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import requests
import schemathesis
from aiohttp import encode_basic_auth
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from iceye_async.sandbox import Sandbox, Scenario
from iceye_async.sandbox.openapi import document

TASKS = "/api/tasking/v2/tasks"
METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT = document("http://127.0.0.1")

# --- the sandbox in a thread -------------------------------------------------------------------------------------

COURSES = {
    "rejected": {"ends": "REJECTED"},
    "failed": {"ends": "FAILED"},
    "canceled": {"ends": "CANCELED"},
    "frames*": {"frames": 12},
}
PLACES = {"frames of long ago": {"lat": 90, "lon": 180}, "frames of now": {"lat": -90, "lon": -180}}
# Seconds before the requests are made, and the tasks that are then ordered; each has another past by its age.
PAST = {
    "all": 6000,
    "frames of long ago": 5990,
    "failed": 5980,
    "canceled": 5970,
    "rejected": 5960,
    "some": 4000,
    "frames of now": 3300,
    "fulfilled": 3200,
    "active": 600,
    "received": 0,
}


class Served:
    """A sandbox in a thread of its own, where time stands still, and what is there to ask for."""

    def __init__(self, sandbox: Sandbox, loop: asyncio.AbstractEventLoop) -> None:
        self.sandbox, self.http = sandbox, requests.Session()
        self._loop = loop
        self.http.trust_env = False
        self.tasks: list[str] = []
        self.cursors: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.foreign = {"Authorization": "Bearer not-one"}

    def live_through(self, past: Mapping[str, int]) -> None:
        """Order the tasks, each at its time."""
        waited = max(past.values(), default=0)
        for reference, age in past.items():
            self.advance(waited - age)
            waited = age
            self.book(reference)
        self.advance(waited)
        self.sign_in()
        if not past:
            return
        self.cursors[TASKS] = self.get(f"{TASKS}?limit=3")["cursor"]
        self.cursors[f"{TASKS}/{{taskID}}/products"] = self.get(f"{TASKS}/{self.tasks[1]}/products")["cursor"]

    def book(self, reference: str) -> None:
        """Order a task."""
        self.sign_in()
        now = self.sandbox.clock.utc()
        order = {
            "contractID": self.sandbox.contract_id,
            "imagingMode": "SPOTLIGHT",
            "pointOfInterest": PLACES.get(reference, {"lat": 60.17, "lon": 24.94}),
            "acquisitionWindow": {"start": now.isoformat(), "end": (now + timedelta(days=2)).isoformat()},
            "reference": reference,
            "productTypes": ["GRD", "GRD-COG", "SICD"],
            "derivativeProductTypes": ["DC_VESSELS", "DC_AIRCRAFT"],
        }
        with self.http.post(self.sandbox.base_url + TASKS, headers=self.headers, json=order) as answer:
            answer.raise_for_status()
            self.learn(answer.json()["id"])

    def learn(self, task: str) -> None:
        """Of a task that was created: the next requests may be about it."""
        self.tasks = [*self.tasks[: len(PAST)], *self.tasks[len(PAST) :][-9:], task]

    def advance(self, seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(self.sandbox.advance(seconds), self._loop).result(30)

    def sign_in(self) -> None:
        auth, form = (self.sandbox.client_id, self.sandbox.client_secret), {"grant_type": "client_credentials"}
        with self.http.post(self.sandbox.token_url, auth=auth, data=form) as answer:
            self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def get(self, path: str) -> Any:
        with self.http.get(self.sandbox.base_url + path, headers=self.headers) as answer:
            answer.raise_for_status()
            return answer.json()


@contextmanager
def served(past: Mapping[str, int] = PAST) -> Iterator[Served]:
    """With tasks that were ordered so many seconds ago, by their references: all statuses."""
    started: queue.Queue[tuple[Sandbox, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def live() -> None:
        async with Sandbox(Scenario(seed=1, courses=COURSES), speed=0) as sandbox:
            end = asyncio.Event()
            started.put((sandbox, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    sandbox, loop, end = started.get(timeout=30)
    found = Served(sandbox, loop)
    try:
        with found.http:
            found.live_through(past)
            yield found
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)


# --- requests from the document ----------------------------------------------------------------------------------


def narrowed(served: Served, mode: GenerationMode) -> dict[str, Any]:
    """The document, with less to choose from in requests, so that they are about something that there is.

    And with nothing in answers that it does not name.
    """
    found = copy.deepcopy(DOCUMENT)
    contract, now = served.get(f"/api/company/v1/contracts/{served.sandbox.contract_id}"), served.sandbox.clock.utc()
    choices = {
        "contractID": served.sandbox.contract_ids,
        "imagingMode": contract["imagingModes"]["allowed"],
        "sla": contract["sla"]["allowed"],
        "productType": ["GRD", "GRD-COG", "QLK"],  # Those that each mode has.
        "start": [(now + timedelta(hours=hours)).isoformat() for hours in (0, 12, 24)],
        "end": [(now + timedelta(days=days)).isoformat() for days in (2, 3, 14)],
    }
    schemas = found["components"]["schemas"]
    for name in ANSWERS:
        schemas[name]["additionalProperties"] = False
    order, window = schemas["Order"]["properties"], copy.deepcopy(schemas["Window"])
    order |= {"acquisitionWindow": window, "productTypes": {"type": "array", "items": one_of(choices["productType"])}}
    for fields in (order, window["properties"]):
        fields |= {name: one_of(choices[name]) for name in choices if name in fields}
    if mode.is_positive:  # Many good orders take long to make.
        feasibility = found["paths"]["/api/tasking/v2/feasibility"]["post"]["requestBody"]["content"]
        feasibility["application/json"]["schema"]["maxItems"] = 2
    for path, item in found["paths"].items():
        for parameter in parameters(item):
            if parameter.get("name") in choices:
                parameter["schema"] = one_of(choices[parameter["name"]])
            if parameter.get("$ref", "").endswith("/cursor") and path in served.cursors:
                parameter.clear()
                parameter |= {"name": "cursor", "in": "query", "schema": one_of([served.cursors[path]])}
    return found


def one_of(values: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def parameters(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of a path, and of its calls."""
    for holder in [item, *(item[method] for method in METHODS if method in item)]:
        yield from holder.get("parameters", ())


ANSWERS = (
    *("Task", "Delivery", "TaskList", "Scene", "ProductList", "Product", "ProductProperties", "ProductAsset"),
    *("Derivative", "DerivativeAsset", "Price", "Feasibility", "Contract", "ContractList", "Token", "TokenError"),
    *("Problem", "Error"),
)


def mended(body: Any) -> Any:
    """A good order by the document, made one by what a schema cannot say."""
    if isinstance(body, list):
        return [mended(order) for order in body]
    if body.get("derivativeProductTypes"):
        body |= {"imagingMode": "SPOTLIGHT", "productTypes": [*body.get("productTypes", []), "GRD"]}
    if "incidenceAngle" in body:
        least, most = sorted(map(int, body["incidenceAngle"].values()))
        body["incidenceAngle"] = {"min": least, "max": most}
    if "imagingDuration" in body:  # 100.0 is an integer to a schema.
        body["imagingDuration"] = int(body["imagingDuration"])
    return body


CONFORM = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
PROBLEM, PLAIN = "application/problem+json", "application/json"
ACCEPTS = (f"{PLAIN}, {PROBLEM}", PLAIN, "*/*")
ABOUT_A_TASK = ("getTask", "getTaskScene", "listTaskProducts", "getTaskProduct", "listTaskDerivatives")
WITHOUT_TOKEN = {"getDocument"}
MAY_REFUSE = {"cancelTask", "token"}
"""Which of the calls may say 400 to a good request: the task is in another status, or the credentials are not good."""


class Asking:
    """Makes requests of one call from the document, and keeps what is wrong with the answers."""

    def __init__(self, served: Served, name: str) -> None:
        self._served, self._name = served, name
        config = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})
        # There is nothing in a request for the document that could be wrong.
        modes = [GenerationMode.POSITIVE] if name in WITHOUT_TOKEN else list(GenerationMode)
        self._schemas = [schemathesis.openapi.from_dict(narrowed(served, mode), config=config) for mode in modes]
        self.cases = [
            schema.find_operation_by_id(name).as_strategy(mode)
            for schema, mode in zip(self._schemas, modes, strict=True)
        ]
        self._created: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.wrong: dict[str, str] = {}

    def ask(self, case: Case, chance: random.Random) -> None:
        good, trusted = not case.meta.generation.mode.is_negative, chance.random() < 0.9
        accept = chance.choice(ACCEPTS)
        if good and case.media_type == "application/json":
            case.body = mended(case.body)
        if "taskID" in case.path_parameters and not is_bad_path(case) and chance.random() < 0.9:
            case.path_parameters["taskID"] = chance.choice(self._served.tasks)
        if self._name == "cancelTask" and good and chance.random() < 0.5:
            self._served.book("to be canceled")
            case.path_parameters["taskID"] = self._served.tasks[-1]
        headers = {"Accept": accept, **self._credentials(trusted=trusted)}
        url, http = self._served.sandbox.base_url, self._served.http
        answer = case.call(base_url=url, session=http, headers=headers, allow_redirects=False)
        self.statuses[answer.status_code] += 1
        if answer.status_code == 201:
            self._created.append(answer.json()["id"])
            self._served.learn(self._created[-1])
        self._check(case, answer, good=good)
        kind = answer.headers.get("content-type", [""])[0].partition(";")[0]
        if answer.status_code >= 400 and self._name != "token" and kind != (PROBLEM if PROBLEM in accept else PLAIN):
            self._note(answer, f"an error as {kind}, not as what the request accepts")
        if not trusted and self._name not in WITHOUT_TOKEN and answer.status_code != 401 and not is_bad_path(case):
            self._note(answer, "it took credentials that are not good")

    def follow(self) -> None:
        """Ask for everything about the tasks that were created, when they are done."""
        self._served.advance(timedelta(days=3).total_seconds())
        self._served.sign_in()
        url, http, headers = self._served.sandbox.base_url, self._served.http, self._served.headers
        for task in self._created:
            for name in ABOUT_A_TASK:
                known = {"taskID": task, "productType": "GRD"}
                case = self._schemas[0].find_operation_by_id(name).Case(path_parameters=known)
                answer = case.call(base_url=url, session=http, headers=headers)
                self.statuses[answer.status_code] += 1
                self._check(case, answer, good=True)

    def _credentials(self, *, trusted: bool) -> dict[str, str]:
        if self._name == "token":
            secret = self._served.sandbox.client_secret if trusted else "not it"
            return {"Authorization": encode_basic_auth(self._served.sandbox.client_id, secret)}
        return self._served.headers if trusted else self._served.foreign

    def _check(self, case: Case, answer: Response, *, good: bool) -> None:
        wanted = list(CONFORM)
        if not good:
            wanted.append(checks.negative_data_rejection)
        elif case.meta is not None and self._name not in MAY_REFUSE and "cursor" not in case.query:
            wanted.append(checks.positive_data_acceptance)
        try:
            case.validate_response(answer, checks=wanted)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._note(answer, f"{failure.title}: {failure.message}")

    def _note(self, answer: Response, words: str) -> None:
        request = answer.request
        told = f"{words:.600}\n{request.method} {request.url} {request.body!r:.600}\n{answer.content[:300]!r}"
        self.wrong.setdefault(f"{answer.status_code} {words:.60}", told)


def is_bad_path(case: Case) -> bool:
    return case.meta is not None and case.meta.is_negative_at(ParameterLocation.PATH)


def asked(served: Served, name: str, number: int) -> Asking:
    """After so many requests of this call."""
    asking = Asking(served, name)
    for cases in asking.cases:

        @settings(
            max_examples=-(-number // len(asking.cases)),
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.integers(0, 2**32), cases)
        def ask(salt: int, case: Case) -> None:
            asking.ask(case, random.Random(salt))  # noqa: S311 - no secret

        ask()
    return asking
