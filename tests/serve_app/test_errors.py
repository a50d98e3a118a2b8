import pickle
import re
from collections.abc import Awaitable, Callable

import pytest

from lake.errors import (
    CodedError,
    Fault,
    ImageExpiring,
    LakeError,
    StoreUnavailable,
    StoreUnreachable,
)
from pixlake_server.embedded.haproxy_answers import ANSWERS
from processors.errors import Overloaded, ProcessorError
from serve_app.accounts.errors import AccountsError
from serve_app.errors import PROBLEMS, PROXY_CODES, ApiError, Forbidden, HeadersTooLarge
from serve_app.problems import MEDIA_TYPE
from tests.serve_app.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


def family(root: type[CodedError]) -> list[type[CodedError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in family(child))]


KINDS = [
    kind
    for root in (ApiError, ProcessorError, LakeError, AccountsError)
    for kind in family(root)
    # No HTTP client sees this error, which belongs to a start.
    if kind is not StoreUnreachable
]


async def test_the_document_names_every_code(site: Site) -> None:
    code = site.app.openapi()["components"]["schemas"]["ProblemDetails"]["properties"]["code"]
    assert code["enum"] == sorted({*PROBLEMS, *ANSWERS})


async def test_the_codes_of_the_proxy_have_the_statuses_of_its_answers() -> None:
    answers = {code: answer.status for code, answer in ANSWERS.items() if code not in PROBLEMS}
    assert answers == PROXY_CODES


async def test_every_code_is_described_for_a_route(site: Site) -> None:
    described: set[str] = set()
    for operations in site.app.openapi()["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                described |= set(re.findall(r"`(\w+)`: ", answer["description"]))
    # Of the framework, of middleware, of commands, of Kafka, and of the sealer.
    elsewhere = {
        *("not_found", "method_not_allowed", "headers_too_large"),
        *("query_failed", "no_lifecycle", "no_new_lake", "store_change_refused"),
        *("refused_before", "message_expired", "rejections_denied"),
        *("time_jumped", "lake_held", "claim_kept"),
    }
    faults = {code for code, known in PROBLEMS.items() if known.status == 500}
    assert described | elsewhere | faults == set(PROBLEMS)
    assert not described & (elsewhere | faults)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_every_error_has_its_verdict(kind: type[CodedError]) -> None:
    assert kind.code in PROBLEMS


async def test_what_may_be_tried_again_says_when() -> None:
    for code, known in PROBLEMS.items():
        assert 400 <= known.status < 600, code
        assert (known.retry_after is not None) == (known.status in {429, 503, 507}), code


@pytest.mark.parametrize("kind", family(CodedError), ids=lambda kind: kind.__name__)
async def test_every_error_crosses_processes(kind: type[CodedError]) -> None:
    error = kind("too much", limit=3, value="x")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(again) is kind
    assert again.fault == error.fault == Fault(kind.code, "too much", 3, "x")
    assert str(again) == "too much"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/images/a/b/c", 404, "not_found"),
        ("PUT", "/v1/images", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_the_framework_answers_with_problems_too(
    site: Site, method: str, path: str, status: int, code: str
) -> None:
    answer = await site.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    if status == 405:
        assert answer.headers["Allow"]


FailingSite = Callable[[Exception], Awaitable[Site]]


@pytest.fixture
def failing(site: Site, monkeypatch: pytest.MonkeyPatch) -> FailingSite:
    async def arrange(error: Exception) -> Site:
        async def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(type(site.app.state.context.worker), "handle", fail)
        return site

    return arrange


async def test_an_unforeseen_fault_leaks_nothing(
    failing: FailingSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = await failing(RuntimeError("secret: /etc/passwd"))
    answer = await site.upload(headers={"X-Request-Id": "mine-7"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"] == "mine-7"
    (line,) = [vars(each) for each in caplog.records if each.message == "request failed"]
    assert (line["request_id"], line["tenant"]) == ("mine-7", "acme")
    assert len(line["image_id"]) == 32
    assert "secret" in str(line["exc_info"][1])


async def test_a_store_fault_hides_its_address_and_says_when(failing: FailingSite) -> None:
    site = await failing(StoreUnavailable("s3.internal:9000 refused", value="images/acme/x"))
    answer = await site.upload()
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "s3.internal" not in answer.text
    assert "images/acme" not in answer.text


async def test_expiring_and_overload_say_when(failing: FailingSite) -> None:
    site = await failing(ImageExpiring("soon", value=41.2))
    assert (await site.upload()).headers["Retry-After"] == "42"
    site = await failing(Overloaded("busy", limit=2, value=3))
    answer = await site.upload()
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert (answer.json()["limit"], answer.json()["value"]) == (2, 3)


async def test_a_failed_upload_gives_its_place_back(failing: FailingSite) -> None:
    site = await failing(RuntimeError("no"))
    await site.upload()
    admission = site.app.state.context.admission
    assert (admission.uploads, admission.bytes) == (0, 0)


@pytest.mark.parametrize("odd", ["a b", "x" * 65, "", "line%0abreak", "ä"])
async def test_odd_request_ids_are_replaced(site: Site, odd: str) -> None:
    answer = await site.client.get("/healthz", headers=[(b"X-Request-Id", odd.encode())])
    assert answer.headers["X-Request-Id"] != odd
    assert len(answer.headers["X-Request-Id"]) >= 16


async def test_every_answer_is_safe_by_default(site: Site) -> None:
    for path in ("/healthz", "/nowhere", "/v1/images"):
        headers = (await site.client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cache-Control"] == "no-store"


async def test_huge_headers_are_refused(site: Site) -> None:
    answer = await site.client.get("/healthz", headers={"X-Long": "y" * 40_000})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (431, HeadersTooLarge.code)
    assert problem["value"] > problem["limit"] == 32768


async def test_the_codes_are_those_of_the_tree() -> None:
    assert Forbidden.code == "forbidden"
