import pytest
from starlette.types import Message, Receive, Scope, Send

from serve_app.asgi.serve_headers import PREFIX, STRIPPED, ServeHeaders
from tests.serve_app.site import Site, client_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEEN: list[tuple[bytes, bytes]] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    SEEN[:] = scope["headers"]
    request_id = next(value for name, value in SEEN if name == b"x-request-id")
    # Append a second copy, as Serve does.
    headers = [(b"x-request-id", request_id), (b"x-request-id", request_id)]
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b""})


async def test_headers_that_act_on_serve_do_not_reach_it() -> None:
    sent = {
        "X-Request-Timeout-Seconds": "0",
        "X-Request-Disconnect-Disabled": "?1",
        "serve_multiplexed_model_id": "m",
        "x-session-id": "s",
        "X-Serve-Router-Replica": "r",
        "x_session_id": "s",
        "X-Request-Id": "evil\tid",
        "X-Pixlake-Filename": "kept.jpg",
    }
    async with client_of(ServeHeaders(app), sent) as client:
        answer = await client.get("/")
    names = {name for name, _ in SEEN}
    assert b"x-pixlake-filename" in names
    assert not names & {
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"serve_multiplexed_model_id",
        b"x-session-id",
        b"x_session_id",
        b"x-serve-router-replica",
    }
    [request_id] = answer.headers.get_list("X-Request-Id")
    assert request_id != "evil\tid"
    assert (b"x-request-id", request_id.encode()) in SEEN


async def test_serve_leaves_uploads_to_us_and_watches_over_the_rest() -> None:
    ours = {(b"x-request-timeout-seconds", b"0"), (b"x-request-disconnect-disabled", b"?1")}
    async with client_of(ServeHeaders(app), {"X-Request-Timeout-Seconds": "9"}) as client:
        await client.post("/v1/images")
        assert {pair for pair in SEEN if pair[0] in {name for name, _ in ours}} == ours
        await client.get("/v1/images")
        assert not ours & set(SEEN)


@pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
async def test_what_serve_reads_is_what_is_stripped() -> None:
    from ray.serve._private import constants  # noqa: PLC0415

    read = {
        value.replace("_", "-")
        for name, value in vars(constants).items()
        if name.startswith("SERVE_")
        and isinstance(value, str)
        and (value.startswith("x-") or value == constants.SERVE_MULTIPLEXED_MODEL_ID)
    }
    assert read == {*STRIPPED, f"{PREFIX}router-"}, "this Ray reads other headers of a request"


async def test_a_plain_request_id_passes_through_edge_and_app(site: Site) -> None:
    async with client_of(ServeHeaders(site.app), {"X-Request-Id": "trace-1"}) as client:
        answer = await client.get("/v1/images")
    assert answer.headers.get_list("X-Request-Id") == ["trace-1"]
    assert answer.json()["request_id"] == "trace-1"


@pytest.mark.parametrize(
    ("sent", "seen"), [("GET", "GET"), ("PATCH", "PATCH"), ("BREW", "OTHER"), ("get", "OTHER")]
)
async def test_serve_counts_only_by_methods_that_http_has(sent: str, seen: str) -> None:
    found = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope["method"])
        await app(scope, receive, send)

    ending: Message = {"type": "http.response.body"}

    async def receive() -> Message:
        return ending

    async def send(message: Message) -> None:
        del message

    scope: Scope = {"type": "http", "method": sent, "path": "/", "headers": []}
    await ServeHeaders(noting)(scope, receive, send)
    assert found == [seen]


async def test_another_method_is_not_allowed(site: Site) -> None:
    async with client_of(ServeHeaders(site.app), {}) as client:
        answer = await client.request("BREW", "/v1/images")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"]
