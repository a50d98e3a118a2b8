"""HAProxy's own answers in problem+json (RFC 9457), in the format of a replica's answers.

HAProxy reads most answers from files. Answers to malformed requests are constants in the program,
and up to version 3.1 no setting changes these constants. So this module replaces the constants in a
copy of the program (docs/decisions/0019-haproxys-early-answers.md).
"""

import json
from dataclasses import dataclass
from pathlib import Path

_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Answer:
    """Answer of HAProxy for an error."""

    status: int
    title: str
    detail: str
    retry_after: int | None = None


ANSWERS = {
    "missing_host": Answer(
        400, "A request of HTTP/1.1 needs a Host header", "send Host: and the name of this service"
    ),
    "method_not_allowed": Answer(
        405, "This method is not allowed here", "the header Allow names the methods of the API"
    ),
    "bad_request": Answer(
        400, "This is no HTTP/1.1 request", "malformed, larger than 32 KiB, or ended too early"
    ),
    "request_timeout": Answer(
        408, "The request came too slowly", "headers have 10 s, and no pause may be over a minute"
    ),
    "too_many_requests": Answer(
        429,
        "This key has too many requests under way",
        "other keys use the service, too; send the request again after an answer",
        retry_after=1,
    ),
    "too_many_refusals": Answer(
        429,
        "Too many requests of this address had no good key",
        "check the key, and send the request again in some seconds",
        retry_after=5,
    ),
    "internal": Answer(500, "Internal error", "HAProxy had an internal error"),
    "replica_lost": Answer(
        502, "The process that had the request has ended", "send the request again", retry_after=1
    ),
    "not_ready": Answer(
        503,
        "Pixlake can't answer right now",
        "Pixlake is starting, or the process with the request has ended; send the request again",
        retry_after=1,
    ),
    "no_answer": Answer(
        504,
        "The process that has the request does not answer",
        "send the request again",
        retry_after=1,
    ),
}
"""Answers by error code."""

_FOR_STATUS = (
    "bad_request", "request_timeout", "internal", "replica_lost", "not_ready", "no_answer",
)  # fmt: skip
# Texts in place of HAProxy's own texts, which are short; a replacement must not be longer.
_EARLY = {
    400: ("bad_request", "Malformed, or headers over 32 KiB"),
    408: ("request_timeout", "The request came too slowly"),
    500: ("internal", "Internal error"),
    501: ("not_implemented", "Transfer coding not supported"),
}


def answer(folder: Path, code: str) -> str:
    """Build the arguments of `http-request return status …` and `http-error status …`.

    Writes the body of the answer into `folder`.
    """
    known = ANSWERS[code]
    problem = {
        "type": f"urn:pixlake:problem:{code}",
        "title": known.title,
        "status": known.status,
        "detail": known.detail,
        "code": code,
        "request_id": "%[var(txn.id)]",
    }
    file = folder / f"{code}.json"
    file.write_text(json.dumps(problem))
    retry = "" if known.retry_after is None else f" hdr Retry-After {known.retry_after}"
    headers = 'hdr Cache-Control no-store hdr X-Request-Id "%[var(txn.id)]"'
    return f'content-type {_TYPE} lf-file "{file}" {headers}{retry}'


def error_lines(folder: Path) -> str:
    """Build the configuration lines for the answers with HAProxy's own statuses."""
    line = "    http-error status {} {}"
    return "\n".join(line.format(ANSWERS[one].status, answer(folder, one)) for one in _FOR_STATUS)


def speaking(original: Path, copy: Path) -> Path:
    """Copy HAProxy's program and replace the early answers; returns the copy's path.

    An answer that the program does not contain, for example in another version of HAProxy, is
    skipped.
    """
    program = original.read_bytes()
    for status, (code, title) in _EARLY.items():
        begins = program.find(b"\0HTTP/1.1 %d " % status) + 1
        ends = program.find(b"\0", begins)
        ours = _early(program[begins:ends].split(b"\r\n")[0], status, code, title)
        if begins and b"<html>" in program[begins:ends] and len(ours) <= ends - begins:
            program = program[:begins] + ours.ljust(ends - begins, b"\0") + program[ends:]
    # The file of a running program can't be written, but it can be removed and created again.
    copy.unlink(missing_ok=True)
    copy.write_bytes(program)
    copy.chmod(0o700)
    return copy


def _early(line: bytes, status: int, code: str, title: str) -> bytes:
    """Build a complete response that closes the connection."""
    kind = f"urn:pixlake:problem:{code}"
    problem = {"type": kind, "title": title, "status": status, "code": code}
    body = json.dumps(problem, separators=(",", ":")).encode()
    head = [line, b"Content-Type: " + _TYPE.encode(), b"Connection: close", b"", body]
    return b"\r\n".join(head)
