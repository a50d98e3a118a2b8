"""Rounds of the differential test: a hostile stream, concurrent bystanders, and the checks."""

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from tests.framing.forms import FORMS, Form, Stream, written
from tests.framing.stand import Door, Echo, Heard, Stand

AT_ONCE = 4
"""Number of concurrent rounds: a round waits for most of its time."""
# Waits for answers to a stream whose parse is not certain: it may be unfinished and get no answer.
# A later answer is ignored.
FIRST_SECONDS = 0.2
QUIET_SECONDS = 0.03
ANSWER_SECONDS = 60
BYSTANDER = re.compile(rb"bystander-[0-9a-f]{32}")


class Disagreement(AssertionError):
    """A client got another one's answer, or the app got a request that its client did not send."""


@dataclass(frozen=True)
class Round:
    """Round made from its seed and number; the number selects one of `forms` in turn."""

    seed: int
    number: int
    forms: tuple[Form, ...] = FORMS

    def stream(self) -> Stream:
        """Build the hostile client's stream, the same for both doors."""
        return written(self.seed, self.number, self.forms)


async def play(
    stand: Stand, rounds: Sequence[Round], patience: float = ANSWER_SECONDS
) -> list[Disagreement]:
    """Play rounds concurrently, each at both doors; returns the disagreements.

    A hostile stream that has only one reading is answered or closed within `patience` seconds.

    Any of the rounds may have harmed a bystander: to reproduce that, play all of the rounds again.
    """
    before = {door: len(door.app.heard) for door in stand.doors}
    found = await asyncio.gather(*(_play(stand, one, patience) for one in rounds))
    wrong = [each for each in found if each is not None]
    for door in stand.doors:
        wrong += _of_bystanders(door.app.heard[before[door] :])
    return wrong


async def _play(stand: Stand, one: Round, patience: float) -> Disagreement | None:
    stream = one.stream()
    try:
        by_haproxy, refused = await _at_door(stand.haproxy, one, stream, patience)
        by_replica, _ = await _at_door(stand.replica, one, stream, patience)
        # A client that resets its connection cannot see that HAProxy refused one request and
        # passed on the next.
        if not refused and stream.ending != "reset":
            _check_agreement(by_haproxy, by_replica)
    except Disagreement as wrong:
        name = f"seed {one.seed}, round {one.number} ({stream.name}, {stream.ending})"
        return Disagreement(f"{name}: {wrong}\nsent: {stream.segments!r}")
    return None


async def _at_door(
    door: Door, one: Round, stream: Stream, patience: float
) -> tuple[list[Heard], bool]:
    """Return the requests that reached the app, and whether a request of the stream is missing.

    Bystanders send requests during the stream and after it.
    """
    before = len(door.app.heard)
    results = await asyncio.gather(
        _send(door, stream, patience),
        _bystander(door.port, b"GET", 2),
        _bystander(door.port, b"POST", 1),
        return_exceptions=True,
    )
    for wrong in results[::-1]:  # a bystander's disagreement first
        if isinstance(wrong, BaseException):
            raise wrong
    hostile = results[0]
    assert isinstance(hostile, bytes)
    await _bystander(door.port, b"POST", 1)
    path, mark = f"/{one.number}/", stream.mark.encode()
    found = [h for h in door.app.heard[before:] if path in h.path or mark in _bytes(h)]
    _check_readings(stream, found)
    _check_answers(hostile, found)
    heads = hostile.split(b"HTTP/1.1 ")[1:]
    return found, any(b"x-echo: " not in head and head[:3] != b"100" for head in heads)


async def _send(door: Door, stream: Stream, patience: float) -> bytes:
    """Send the hostile stream; returns all answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        with contextlib.suppress(OSError):
            for segment in stream.segments:
                if segment is not stream.segments[0]:
                    await _begun(door.app)
                writer.write(segment)
                await writer.drain()
            if stream.ending == "reset":
                writer.transport.abort()
                return b""
            if stream.ending == "half":
                writer.write_eof()
            return await _answers(reader, stream, patience)
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _begun(app: Echo) -> None:
    """Wait up to 5 ms for the app to begin, so that the next segment arrives separately."""
    before = app.begun
    for _ in range(10):
        await asyncio.sleep(0.0005)
        if app.begun > before:
            return


async def _answers(reader: asyncio.StreamReader, stream: Stream, patience: float) -> bytes:
    """Read answers until the connection closes, all have come, or no more come in time."""
    answers = b""
    clear = bool(stream.readings)
    wanted = len(stream.readings or ())
    try:
        while not clear or _count(answers) < wanted:
            quiet = QUIET_SECONDS if answers else FIRST_SECONDS
            async with asyncio.timeout(patience if clear else quiet):
                if not (more := await reader.read(65536)):
                    break
            answers += more
    except TimeoutError:
        if clear:
            said = f"{_count(answers)} of {wanted} answers, and the connection stays open"
            raise Disagreement(said) from None
    return answers


def _count(answers: bytes) -> int:
    return answers.count(b"HTTP/1.1 ") - answers.count(b"HTTP/1.1 100")


async def _bystander(port: int, method: bytes, requests: int) -> None:
    """Send ordinary requests on one connection, and check that each gets its own answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            for _ in range(requests):
                await _ask(reader, writer, method)
    except (OSError, asyncio.IncompleteReadError) as lost:  # includes a time-out
        raise Disagreement(f"a bystander got no answer: {lost!r}") from lost
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: bytes) -> None:
    mark = b"bystander-" + secrets.token_hex(16).encode()
    body = b"image of " + mark if method == b"POST" else b""
    head = b"%b /%b HTTP/1.1\r\nHost: a\r\nX-Mark: %b\r\nAuthorization: Bearer %b\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    writer.write(head % (method, mark, mark, mark) + length + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    size = re.search(rb"\ncontent-length: (\d+)", answer)
    said = await reader.readexactly(int(size[1])) if size else b""
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise Disagreement(f"a bystander's answer is {answer + said!r}")
    right = {"mark": [mark.decode()], "sha256": hashlib.sha256(body).hexdigest()}
    if json.loads(said) != right:
        raise Disagreement(f"a bystander's answer is {said!r}, not {right}")


def _of_bystanders(heard: Sequence[Heard]) -> list[Disagreement]:
    """Check that the app got each bystander's request alone, and no part of it in another one."""
    wrong = []
    for one in heard:
        marks = set(BYSTANDER.findall(_bytes(one)))
        own = {one.path[1:].encode()} if one.path.startswith("/bystander-") else set()
        if marks != own:
            wrong.append(Disagreement(f"{one} holds the request of {marks - own}"))
    return wrong


def _bytes(one: Heard) -> bytes:
    return f"{one.path} {one.headers}".encode() + one.body


def _check_readings(stream: Stream, heard: Sequence[Heard]) -> None:
    """Check that the app got no trailer as a header, and only requests of the expected parse."""
    for one in heard:
        trailers = [name for name, _ in one.headers if name == "x-trailer"]
        if trailers and "mutated" not in stream.name:
            raise Disagreement(f"a trailer is a header of {one}")
    if stream.readings is not None:
        right = [
            Heard(one.method, one.path, (), one.body or b"", one.body is not None)
            for one in stream.readings
        ]
        if not _among(heard, right):
            raise Disagreement(f"heard {heard}, right is {right}")


def _check_answers(answers: bytes, heard: Sequence[Heard]) -> None:
    """Check that the answers belong to requests of the same connection, in the same order."""
    marks = [json.dumps(one.header("x-mark")).encode() for one in heard]
    left = iter(marks)
    answered = re.findall(rb'x-echo: {"mark": (\[[^]]*\])', answers)
    if not all(mark in left for mark in answered):
        raise Disagreement(f"answers {answered} to requests {marks}")


def _check_agreement(by_haproxy: Sequence[Heard], by_replica: Sequence[Heard]) -> None:
    """Check that both parsers end each request at the same byte, as far as both parsed.

    Requests that HAProxy answered itself are missing in `by_haproxy`.
    """
    together = all(_same(a, b) for a, b in zip(by_haproxy, by_replica, strict=False))
    if not together and not _among(by_haproxy, by_replica):
        raise Disagreement(f"heard {by_haproxy} by HAProxy, {by_replica} by the replica")


def _among(some: Sequence[Heard], all_of_them: Sequence[Heard]) -> bool:
    """Return whether `some` is a subsequence of `all_of_them`."""
    left = iter(all_of_them)
    return all(any(_same(one, each) for each in left) for one in some)


def _same(one: Heard, other: Heard) -> bool:
    if (one.method, one.path) != (other.method, other.path):
        return False
    if one.whole and other.whole:
        return one.body == other.body
    # A body is incomplete if its connection was closed, or if the app answered before its end.
    short, long = sorted((one, other), key=lambda each: each.whole)
    return not long.whole or long.body.startswith(short.body)
