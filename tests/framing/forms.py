"""Requests with an ambiguous end, as in the public corpora of request smuggling, and clear ones.

Each form writes one hostile stream. If HTTP allows only one parse of the stream, the form states
this parse. A refusal is always correct, and ends the stream.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.framing.spellings import (
    CHUNK_ENDS,
    CHUNK_SIZES,
    ENCODINGS,
    FOLDS,
    HOSTS,
    LAST_CHUNKS,
    LENGTHS,
    LINE_ENDS,
    MUTATIONS,
    OFFERS,
    REQUEST_LINES,
    TRAILERS,
    filled,
)

CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True)
class Reading:
    """Expected parse of a request; a body of None is not checked."""

    method: str
    path: str
    body: bytes | None


@dataclass
class Stream:
    """Segments that a hostile client sends, and their expected parse if there is only one."""

    segments: list[bytes]
    readings: list[Reading] | None
    name: str = ""
    ending: str = "open"
    mark: str = ""


class Writer:
    """Writer of the parts of one round's requests. No other round has its paths and its mark."""

    def __init__(self, random: Random, path: str) -> None:
        self.random = random
        self.path = path
        self.mark = f"{random.getrandbits(96):024x}"

    def head(self, headers: bytes, *, method: bytes = b"POST", name: bytes = b"sent") -> bytes:
        """Return a request's head with a Host, a mark and the given header lines."""
        line = b"%b %b/%b HTTP/1.1\r\nHost: a\r\n" % (method, self.path.encode(), name)
        return line + b"X-Mark: %b-%b\r\n%b\r\n" % (self.mark.encode(), name, headers)

    def hidden(self) -> bytes:
        """Request inside a body. Its length is 0, or covers bytes that other clients send later."""
        length = self.random.choice([0, 0, 150, 3000])
        return self.head(b"Content-Length: %d\r\n" % length, name=b"hidden")

    def chunks(self, body: bytes, *, last: bytes = b"0\r\n\r\n") -> bytes:
        """Chunked body with chunks of random sizes."""
        written = b""
        while body:
            size = self.random.randint(1, len(body))
            written += b"%x\r\n%b\r\n" % (size, body[:size])
            body = body[size:]
        return written + last

    def reading(self, body: bytes | None, name: str = "sent", method: str = "POST") -> Reading:
        """Return the expected parse of a request with this head."""
        return Reading(method, f"{self.path}/{name}", body)

    def pick(self, *choices: bytes) -> bytes:
        """Choose one of `choices` at random."""
        return self.random.choice(choices)


Form = Callable[[Writer], Stream]


def plain(w: Writer) -> Stream:
    """Valid body: a length, or chunks with extensions and leading zeros that RFC 9112 allows."""
    body = w.hidden()
    if w.random.random() < 0.5:
        sent = w.head(b"Content-Length: %d\r\n" % len(body)) + body
    else:
        start = w.pick(b"", b"000", b"0" * 7)
        after = w.pick(b"", b";a", b";a=b", b';a="b;c"', b";" + b"x" * 500)
        chunk = b"%b%x%b\r\n%b\r\n" % (start, len(body), after, body)
        sent = w.head(CHUNKED) + chunk + b"0\r\n\r\n"
    return Stream([sent], [w.reading(body)])


def upgrade(w: Writer) -> Stream:
    """Offer to upgrade to another protocol, with a body; the body comes at once or later."""
    body = w.hidden()
    offer = w.pick(*OFFERS)
    if w.random.random() < 0.5:
        sent = [w.head(offer + b"Content-Length: %d\r\n" % len(body)), body]
    else:
        sent = [w.head(CHUNKED + offer), w.chunks(body)]
    return Stream(sent, [w.reading(body)])


def trailers(w: Writer) -> Stream:
    """Trailer fields of a chunked body that would take effect as headers."""
    body = w.hidden()
    sent = w.chunks(body, last=b"0\r\nX-Trailer: 1\r\n%b\r\n\r\n" % w.pick(*TRAILERS))
    return Stream([w.head(CHUNKED), sent], [w.reading(body)])


def both_lengths(w: Writer) -> Stream:
    """Transfer-Encoding together with Content-Length: the former overrides (RFC 9112, 6.3)."""
    body = w.hidden()
    chunks = w.chunks(body)
    length = b"Content-Length: %d\r\n" % w.random.choice([0, 1, 4, len(chunks), len(chunks) + 200])
    lines = [length, CHUNKED]
    w.random.shuffle(lines)
    return Stream([w.head(b"".join(lines)), chunks], [w.reading(body)])


def lengths(w: Writer) -> Stream:
    """Content-Length sent twice, or with a value that parsers interpret differently."""
    body = w.hidden()
    said = filled(w.pick(*LENGTHS), n=len(body), x=b"%x" % len(body))
    return Stream([w.head(said + b"\r\n"), body], None)


def encodings(w: Writer) -> Stream:
    """Transfer-Encoding in a spelling that some parsers recognize and others ignore."""
    chunks = w.chunks(w.hidden())
    lines = [w.pick(*ENCODINGS) + b"\r\n"]
    lines.append(w.pick(b"", b"Content-Length: 4\r\n", b"Content-Length: %d\r\n" % len(chunks)))
    w.random.shuffle(lines)
    return Stream([w.head(b"".join(lines)), chunks], None)


def chunk_sizes(w: Writer) -> Stream:
    """Chunks with a malformed size or end."""
    body = w.hidden()
    size = filled(w.pick(*CHUNK_SIZES), x=b"%x" % len(body))
    chunk = size + w.pick(*CHUNK_ENDS) + body + w.pick(*CHUNK_ENDS)
    return Stream([w.head(CHUNKED), chunk + w.pick(*LAST_CHUNKS)], None)


def folds(w: Writer) -> Stream:
    """Header lines that continue on the next line (obs-fold), also lines that state the length."""
    body = w.hidden()
    return Stream([w.head(filled(w.pick(*FOLDS), n=len(body)) + b"\r\n"), body], None)


def line_ends(w: Writer) -> Stream:
    """Bare LF, bare CR, NUL and stray bytes in the head."""
    body = w.hidden()
    head = w.head(filled(w.pick(*LINE_ENDS), n=len(body)) + b"\r\n")
    if w.random.random() < 0.2:
        head = head.replace(b"\r\n", w.pick(b"\n", b"\r", b"\n\r"))
    return Stream([head, body], None)


def request_lines(w: Writer) -> Stream:
    """Unusual targets, versions, methods and Host headers."""
    body = w.hidden()
    line = filled(w.pick(*REQUEST_LINES), path=f"{w.path}/sent".encode()) + b"\r\n"
    mark = b"X-Mark: %b-sent\r\n" % w.mark.encode()
    head = line + w.pick(*HOSTS) + mark + b"Content-Length: %d\r\n\r\n" % len(body)
    return Stream([head + body], None)


def old_versions(w: Writer) -> Stream:
    """HTTP/1.0, which has no chunks, and closes the connection unless the client asks otherwise."""
    body = w.hidden()
    keep = w.pick(b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n")
    if w.random.random() < 0.5:
        sent = w.head(keep + b"Content-Length: %d\r\n" % len(body)) + body
    else:
        sent = w.head(keep + CHUNKED) + w.chunks(body)
    return Stream([sent.replace(b"HTTP/1.1", b"HTTP/1.0", 1)], [w.reading(body)])


def expectations(w: Writer) -> Stream:
    """Requests with `Expect`, from a client that waits for the interim answer or does not wait."""
    body = w.hidden()
    expect = w.pick(b"100-continue", b"100-Continue", b"100-continue, foo", b"foo", b"")
    head = w.head(b"Expect: %b\r\nContent-Length: %d\r\n" % (expect, len(body)))
    return Stream([head, body], [w.reading(body)])


def early_answers(w: Writer) -> Stream:
    """Requests that the app answers before their body was sent."""
    body = w.hidden()
    if w.random.random() < 0.5:
        sent = [w.head(b"X-Early: 1\r\nContent-Length: %d\r\n" % len(body)), body]
    else:
        sent = [w.head(b"X-Early: 1\r\n" + CHUNKED), w.chunks(body)]
    if w.random.random() < 0.3:
        sent = [b"".join(sent)]
    return Stream(sent, [w.reading(None)])


def pipelines(w: Writer) -> Stream:
    """Several unambiguous requests at once."""
    sent, readings = b"", []
    for number in range(w.random.randint(2, 4)):
        name = f"n{number}"
        body = w.hidden() if w.random.random() < 0.5 else b""
        sent += w.head(b"Content-Length: %d\r\n" % len(body), name=name.encode()) + body
        readings.append(w.reading(body, name))
    return Stream([sent], readings)


def methods_with_bodies(w: Writer) -> Stream:
    """Bodies with methods for which some parsers expect none."""
    body = w.hidden()
    method = w.pick(b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"PUT", b"PATCH")
    if w.random.random() < 0.5:
        sent = w.head(b"Content-Length: %d\r\n" % len(body), method=method) + body
    else:
        sent = w.head(CHUNKED, method=method) + w.chunks(body)
    return Stream([sent], [w.reading(body, method=method.decode())])


def http2(w: Writer) -> Stream:
    """Preface of HTTP/2, which neither server supports, followed by frames or a request."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    frames = w.pick(b"\0\0\0\4\0\0\0\0\0", w.hidden(), w.random.randbytes(60))
    return Stream([preface + frames], [])


def connection_lists(w: Writer) -> Stream:
    """Headers, such as Content-Length, that `Connection` declares hop-by-hop."""
    body = w.hidden()
    named = w.pick(b"Content-Length", b"close, Content-Length", b"X-Mark", b"Host", b"TE, Trailer")
    lines = b"Connection: %b\r\nContent-Length: %d\r\n" % (named, len(body))
    return Stream([w.head(lines) + body], [w.reading(body)])


FORMS: tuple[Form, ...] = (
    plain, upgrade, trailers, both_lengths, lengths, encodings, chunk_sizes, folds, line_ends,
    request_lines, old_versions, expectations, early_answers, pipelines, methods_with_bodies, http2,
    connection_lists,
)  # fmt: skip


def written(seed: int, number: int, forms: tuple[Form, ...] = FORMS) -> Stream:
    """Return the stream of a round; the same for the same seed and number."""
    writer = Writer(Random(f"{seed}/{number}"), f"/{number}")
    form = forms[number % len(forms)]
    stream = form(writer)
    stream.name, stream.mark = form.__name__, writer.mark
    random = writer.random
    if random.random() < 0.5:
        stream.segments.append(writer.head(b"", method=b"GET", name=b"follower"))
        if stream.readings is not None and form is not http2:
            stream.readings.append(writer.reading(b"", "follower", "GET"))
    if random.random() < 0.25:
        stream.name += ", mutated"
        stream.readings = None
        stream.segments = _mutated(random, stream.segments)
    if random.random() < 0.3:
        stream.segments = [b"".join(stream.segments)]
    elif random.random() < 0.3:
        whole = b"".join(stream.segments)
        cut = random.randrange(len(whole))
        stream.segments = [whole[:cut], whole[cut:]]
    stream.ending = random.choices(["open", "half", "reset"], [8, 1, 1])[0]
    return stream


def _mutated(random: Random, segments: list[bytes]) -> list[bytes]:
    """Return the segments with one change: at a byte, a colon or an end of line."""
    chosen = random.randrange(len(segments))
    old, put = segments[chosen], random.choice(MUTATIONS)
    at = random.randrange(len(old))
    kinds = [old[:at] + put + old[at:], old[:at] + put + old[at + 1 :]]
    kinds += [old.replace(b"\r\n", put, 1), old.replace(b": ", b":" + put, 1)]
    return [*segments[:chosen], random.choice(kinds), *segments[chosen + 1 :]]
