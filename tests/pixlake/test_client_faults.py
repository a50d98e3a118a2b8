"""Faults of server and network: which the client retries, and which errors it raises."""

import hashlib
import pickle
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixlake.client import BadAnswer, Client, Corrupted, Refused, Retries, Unavailable
from pixlake.client.errors import ClientError, InsecureUrl, Problem
from pixlake.client.retries import SHORTEST_SECONDS, parse_retry_after
from pixlake.client.try_limits import TryLimits
from tests.pixlake.scripted import (
    RECORD,
    RESET,
    SILENT,
    Answer,
    overloaded,
    problem,
    record,
    scripted,
)

IMAGE = b"bytes"
SHA256 = hashlib.sha256(IMAGE).hexdigest()
CREATED = Answer(201, record(SHA256))
QUICK = Retries(deadline=20, first_wait=0.01, longest_wait=0.05)
IMPATIENT = Retries(deadline=0.3, first_wait=0.01, longest_wait=0.05)


@pytest.fixture
def dead_url() -> Iterator[str]:
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "fault",
    [
        overloaded(),
        RESET,
        Answer(502, b"<html>"),
        problem(429, "rate_limited"),
        problem(500, "internal"),
    ],
    ids=["503", "reset", "502 of a proxy", "429", "500"],
)
def test_a_passing_fault_is_tried_again_with_the_whole_image(fault: Answer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(IMAGE)
    with (
        scripted(fault, fault, CREATED) as server,
        Client(server.url, "k", retries=QUICK) as client,
    ):
        uploaded = client.upload(tmp_path / "a.jpg")
    assert uploaded.outcome == "created"
    assert [asked.body for asked in server.asked] == [IMAGE] * 3


def test_200_is_a_replay() -> None:
    with scripted(Answer(200, record(SHA256))) as server, Client(server.url, "k") as client:
        assert client.upload(IMAGE).outcome == "replayed"


def test_a_refusal_is_not_tried_again_and_tells_why() -> None:
    told = problem(413, "too_many_bytes", limit=10, value=11, request_id="r1")
    with scripted(told) as server, Client(server.url, "k") as client:
        with pytest.raises(Refused) as caught:
            client.upload(IMAGE)
        assert len(server.asked) == 1
    refused = caught.value
    assert (refused.status, refused.code, refused.limit, refused.value) == (
        413,
        "too_many_bytes",
        10,
        11,
    )
    assert refused.problem.request_id == "r1"
    assert str(refused) == "too_many_bytes: why"


def test_a_refusal_in_other_words_still_has_a_code() -> None:
    with (
        scripted(Answer(403, b"<h1>WAF</h1>")) as server,
        Client(server.url, "k") as client,
        pytest.raises(Refused, match="http_403: 403 Forbidden"),
    ):
        client.upload(IMAGE)


def test_the_deadline_ends_it_with_the_last_answer() -> None:
    with scripted(overloaded()) as server, Client(server.url, "k", retries=IMPATIENT) as client:
        with pytest.raises(Unavailable, match="overloaded: why") as caught:
            client.upload(IMAGE)
        assert caught.value.tries == len(server.asked) > 1
    assert caught.value.problem is not None
    assert caught.value.problem.status == 503


def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    with scripted(overloaded("3600")) as server, Client(server.url, "k", retries=QUICK) as client:
        with pytest.raises(Unavailable):
            client.upload(IMAGE)
        assert len(server.asked) == 1


def test_a_full_store_is_not_tried_again() -> None:
    with scripted(problem(507, "store_full")) as server, Client(server.url, "k") as client:
        with pytest.raises(Unavailable, match="store_full"):
            client.upload(IMAGE)
        assert len(server.asked) == 1


def test_nobody_there(dead_url: str) -> None:
    with Client(dead_url, "k", retries=IMPATIENT) as client:
        with pytest.raises(Unavailable, match=f"no answer from {re.escape(dead_url)}") as caught:
            client.upload(IMAGE)
        assert caught.value.problem is None
        with pytest.raises(Unavailable):
            client.ready()


@pytest.mark.parametrize("size", [5, 900_000], ids=["small", "large"])
def test_a_server_that_takes_the_body_and_never_answers_costs_one_try(size: int) -> None:
    """A large body does not prolong the first try until no time is left for a second one."""
    image = b"x" * size
    created = Answer(201, record(hashlib.sha256(image).hexdigest()))
    retries = Retries(deadline=3, first_wait=0.01, silence=1)
    with scripted(SILENT, created) as server, Client(server.url, "k", retries=retries) as client:
        assert client.upload(image).outcome == "created"
        assert [len(asked.body) for asked in server.asked] == [size, size]


def test_a_silent_listing_costs_one_try_of_a_short_deadline() -> None:
    page = Answer(200, b'{"images": [], "next": null}')
    retries = Retries(deadline=2, first_wait=0.01)
    with scripted(SILENT, page) as server, Client(server.url, "k", retries=retries) as client:
        assert client.page().images == []
        assert len(server.asked) == 2


@given(
    deadline=st.floats(0.01, 1e6), silence=st.floats(0.01, 1e6), size=st.integers(0, 100_000_000)
)
def test_a_second_try_fits_after_a_silent_one(deadline: float, silence: float, size: int) -> None:
    retries = Retries(deadline=deadline, silence=silence)
    first = TryLimits.of(retries, deadline).timeout(size).read
    assert first is not None
    left = deadline - first
    assert left >= retries.try_silence * 0.999 or deadline < 2 * SHORTEST_SECONDS


def test_a_slow_line_may_take_its_time() -> None:
    """A line of 16 kB a second needs 188 s for 3 MB; the last try waits for that."""
    last = TryLimits.of(Retries(), left=60).timeout(3_000_000)
    assert last.read is not None
    assert last.read > 188
    assert (last.connect, last.write) == (5, 52)
    assert TryLimits.of(Retries(deadline=600), left=600).timeout(3_000_000).read == last.read


def test_a_pause_of_all_is_asked_for_once() -> None:
    pause = Answer(429, problem(429, "rate_limited").body, {"Retry-After": "3600"})
    with scripted(pause) as server, Client(server.url, "k", retries=QUICK) as client:
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                client.upload(IMAGE)
            assert caught.value.retry_after == 3600
        assert len(server.asked) == 1


def test_a_pause_of_one_image_is_not_for_all() -> None:
    told = problem(503, "image_expiring")
    pause = Answer(503, told.body, {**told.headers, "Retry-After": "3600"})
    with scripted(pause, CREATED) as server, Client(server.url, "k", retries=QUICK) as client:
        with pytest.raises(Unavailable):
            client.upload(b"other")
        assert client.upload(IMAGE).outcome == "created"


def test_close_ends_a_wait() -> None:
    patient = Retries(deadline=7200, first_wait=3600, longest_wait=3600)
    with scripted(overloaded()) as server, ThreadPoolExecutor() as threads:
        client = Client(server.url, "k", retries=patient)
        upload = threads.submit(client.upload, IMAGE)
        while not server.asked:
            pass
        client.close()
        with pytest.raises((Unavailable, RuntimeError)):
            upload.result(timeout=20)


@pytest.mark.parametrize(
    "answer",
    [Answer(201, b"<html>hello"), Answer(302, b"", {"Location": "/login"}), Answer(201, b"{}")],
    ids=["a page", "a redirect", "other JSON"],
)
def test_what_is_no_pixlake_is_called_so(answer: Answer) -> None:
    with scripted(answer) as server, Client(server.url, "k") as client:
        with pytest.raises(BadAnswer):
            client.upload(IMAGE)
        with pytest.raises(BadAnswer):
            client.get("0" * 32)


def test_other_bytes_in_the_record_are_noticed() -> None:
    with (
        scripted(Answer(201, record("0" * 64))) as server,
        Client(server.url, "k") as client,
        pytest.raises(Corrupted),
    ):
        client.upload(IMAGE)


def test_a_broken_download_leaves_no_file(tmp_path: Path) -> None:
    answers = (Answer(200, record(SHA256)), Answer(200, b"other"))
    with (
        scripted(*answers) as server,
        Client(server.url, "k") as client,
        pytest.raises(Corrupted),
    ):
        client.save(str(RECORD["image_id"]), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_starts_again(tmp_path: Path) -> None:
    answers = (Answer(200, record(SHA256)), RESET, overloaded(), Answer(200, IMAGE))
    with scripted(*answers) as server, Client(server.url, "k", retries=QUICK) as client:
        assert client.save(str(RECORD["image_id"]), tmp_path / "a.jpg") == len(IMAGE)
    assert (tmp_path / "a.jpg").read_bytes() == IMAGE


def test_what_is_said_travels_in_any_script() -> None:
    with scripted(CREATED) as server, Client(server.url, "k") as client:
        client.upload(
            IMAGE,
            preset="archive",
            filename='Föto "1".jpg',
            metadata={"Site": "Zürich 50%", "n": "a\tb"},
            idempotency_key="key-1",
        )
    asked = server.asked[0]
    assert asked.path == "/v1/images?preset=archive"
    assert asked.headers["authorization"] == "Bearer k"
    assert asked.headers["content-length"] == str(len(IMAGE))
    assert asked.headers["idempotency-key"] == "key-1"
    assert asked.headers["x-pixlake-meta-site"] == "Z%C3%BCrich%2050%25"
    assert asked.headers["x-pixlake-meta-n"] == "a%09b"
    assert asked.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''F%C3%B6to%20%221%22.jpg"
    )


@pytest.mark.parametrize("metadata", [{"a b": "1"}, {"": "1"}, {"ü": "1"}, {"a": "1", "A": "2"}])
def test_names_that_no_header_has_are_not_sent(metadata: dict[str, str]) -> None:
    with scripted(CREATED) as server, Client(server.url, "k") as client:
        with pytest.raises(ValueError, match="metadata name"):
            client.upload(IMAGE, metadata=metadata)
        assert server.asked == []


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host/", "http://", "http://[::"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Client(url, "k")


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel"])
def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        Client("http://127.0.0.1", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        Refused(Problem(413, "too_many_bytes", "why", 10, 11, "r")),
        Unavailable("gone", 3, Problem(503, "overloaded", "why"), 60.0),
        InsecureUrl("in clear"),
        BadAnswer("what"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes(error: ClientError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (type(copy), str(copy), copy.code, vars(copy)) == (
        type(error),
        str(error),
        error.code,
        vars(error),
    )


@given(tries=st.integers(1, 10_000), asked=st.none() | st.floats(0, 1e6))
def test_waits_grow_to_a_bound_and_never_undercut_the_server(
    tries: int, asked: float | None
) -> None:
    retries = Retries()
    wait = retries.wait(tries, asked)
    assert (asked or 0) <= wait <= (asked or 0) + min(10.0, 0.2 * 2 ** min(tries, 40))


@given(st.text(max_size=40) | st.integers().map(str))
def test_retry_after_reads_anything(header: str) -> None:
    seconds = parse_retry_after(header, datetime.now(UTC))
    assert seconds is None or seconds >= 0


def test_retry_after_dates() -> None:
    now = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
    assert parse_retry_after("Mon, 23 Nov 2026 10:00:30 GMT", now) == 30
    assert parse_retry_after("Mon, 23 Nov 2026 09:00:00 GMT", now) == 0
    assert parse_retry_after("17", now) == 17
    assert parse_retry_after("17\x1f", now) == 17
    assert parse_retry_after("soon", now) is None
    assert parse_retry_after(None, now) is None
