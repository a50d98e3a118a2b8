r"""Spellings of a length, an encoding, a chunk or a request line, one a line.

Source: the corpora of HTTP Request Smuggler, smuggler.py, http-garden and llhttp's own fixtures.
Escapes such as `\r` stand for bytes, `{n}` for the body's length, `{x}` for the same in
hexadecimal, `{path}` for the request's path.
"""


def _rows(text: str) -> tuple[bytes, ...]:
    lines = text.strip("\n").split("\n")
    return tuple(line.encode().decode("unicode_escape").encode("latin-1") for line in lines)


def filled(spelling: bytes, **values: int | bytes) -> bytes:
    """Return a spelling with its placeholders replaced by values."""
    for name, value in values.items():
        written = value if isinstance(value, bytes) else b"%d" % value
        spelling = spelling.replace(b"{%b}" % name.encode(), written)
    return spelling


LENGTHS = _rows(r"""
Content-Length: {n}, {n}
Content-Length: {n}, 0
Content-Length: +{n}
Content-Length: -{n}
Content-Length: 0x{x}
Content-Length: {n}\x20
Content-Length:\t{n}
Content-Length: 0{n}
Content-Length: {n}\x0b
Content-Length: {n};
Content-Length:
Content-Length: {n}.0
Content-Length: {n} 1
Content-Length: 18446744073709551616{n}
Content-Length: 9223372036854775808
Content-Length: 18446744073709551615
Content-Length: "{n}"
Content-Length: {n}e0
Content-Length: 1_0
Content-Length: \xd9\xa5
Content-Length : {n}
Content-Length: {n}\r\nContent-Length: {n}
Content-Length: {n}\r\nContent-Length: 0
Content-Length: 0\r\nContent-Length: {n}
Content-Length: {n}\r\nContent_Length: 0
Content-Length: {n}\r\nContent-Length:
Content-Length: ,{n}
Content-Length\x00: {n}
""")

ENCODINGS = _rows(r"""
Transfer-Encoding : chunked
Transfer-Encoding: xchunked
Transfer-Encoding:chunked
Transfer-Encoding: chunked, chunked
Transfer-Encoding: chunked, identity
Transfer-Encoding: identity
Transfer-Encoding: identity, chunked
Transfer-Encoding:\tchunked
Transfer-Encoding: \x0bchunked
Transfer-Encoding: chunked\x0b
Transfer-Encoding: "chunked"
Transfer-Encoding: CHUNKED
Transfer-Encoding: chunked;q=1
Transfer-Encoding:\r\n chunked
Transfer_Encoding: chunked
Transfer-Encoding: gzip, chunked
Transfer-Encoding: gzip
Transfer-Encoding: ,chunked
Transfer-Encoding: chunked,
Transfer-Encoding: chunked\r\nTransfer-Encoding: identity
Transfer-Encoding: identity\r\nTransfer-Encoding: chunked
Transfer-Encoding: cow\r\nTransfer-Encoding: chunked
Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked
X: y\nTransfer-Encoding: chunked
X: y\rTransfer-Encoding: chunked
X: y\x00\r\nTransfer-Encoding: chunked
Transfer-Encoding\x00: chunked
 Transfer-Encoding: chunked
\tTransfer-Encoding: chunked
\x01Transfer-Encoding: chunked
Transfer-Encoding: chunked\r
Transfer-Encoding: chunk\xc3\xa9d
Transfer-Encoding:
TRANSFER-ENCODING: chunked
Transfer-Encoding: chunked\t
Transfer-Encoding=chunked
Transfer-Encoding: chunked\xa0
Transfer-Encoding: chunkedchunked
Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked
""")

CHUNK_SIZES = _rows(r"""
0x{x}
+{x}
-{x}
\x20{x}
{x}\x20
{x}\t
1000000000000000{x}
10000000000000000{x}
ffffffffffffffff
8000000000000000
{x};
{x};a\rb
{x};a\nb
{x};a=b;c="d\r\n"
{x}\x00

g
{x},1
00000000000000000000{x}
{x}_
{x}h
{x}\x0b
""")

CHUNK_ENDS = _rows(r"""
\r\n
\r\n
\r\n
\n
\r
\n\r
\r\r\n
\x20\r\n
\r\nX
X\r\n

""")

LAST_CHUNKS = _rows(r"""
0\r\n\r\n
0\r\n\r\n
0\r\n\r\n
0\n\n
00\r\n\r\n
0 \r\n\r\n
0\r\r
0\r\n\n
0;a\r\n\r\n
0\r\nX-Trailer\r\n\r\n
0\r\n X-Trailer: 1\r\n\r\n
\r\n0\r\n\r\n
""")

FOLDS = _rows(r"""
X: a\r\n b\r\nContent-Length: {n}
Content-Length:\r\n {n}
X:\r\n\tContent-Length: 0
Content-Length: {n}\r\n 0
X: a\r\n \r\nContent-Length: {n}
 X: a\r\nContent-Length: 0
X: a\n Content-Length: {n}
X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: {n}
""")

LINE_ENDS = _rows(r"""
X-Other: 1\r\nContent-Length: {n}\n
X-Other: 1\nContent-Length: {n}
X-Other: 1\rContent-Length: {n}
X-Other: 1\r\r\nContent-Length: {n}
X-Other: 1\n\rContent-Length: {n}
X-Other: \rContent-Length: 0\r\nContent-Length: {n}
X-Other: 1\nContent-Length: 0\r\nContent-Length: {n}
X-Other: 1\x00\r\nContent-Length: {n}
X-O\x00ther: 1\r\nContent-Length: {n}
X-Other\r\nContent-Length: {n}
: 1\r\nContent-Length: {n}
\xffX-Other: 1\r\nContent-Length: {n}
X Other: 1\r\nContent-Length: {n}
X-Other: 1\x85Content-Length: {n}
Content-Length: {n}\r\n\n
""")

REQUEST_LINES = _rows(r"""
POST http://a{path} HTTP/1.1
POST http://b{path} HTTP/1.1
POST https://u@a{path} HTTP/1.1
POST  {path} HTTP/1.1
POST\t{path} HTTP/1.1
POST {path}  HTTP/1.1
POST {path} HTTP/1.1\x20
 POST {path} HTTP/1.1
\r\n\r\nPOST {path} HTTP/1.1
\nPOST {path} HTTP/1.1
POST {path}
POST {path} HTTP/1.2
POST {path} HTTP/2.0
POST {path} HTTP/0.9
POST {path} HTTP/1.10
POST {path} HTTP/11
POST {path} HTTP/1,1
POST {path} http/1.1
POST {path} RTSP/1.1
post {path} HTTP/1.1
POST {path}#x HTTP/1.1
POST /{path} HTTP/1.1
POST {path}\xff HTTP/1.1
POST {path}\x00 HTTP/1.1
POST {path}?a b HTTP/1.1
POST a{path} HTTP/1.1
FOO {path} HTTP/1.1
QUERY {path} HTTP/1.1
CONNECT a:80 HTTP/1.1
OPTIONS * HTTP/1.1
PRI * HTTP/2.0
""")

HOSTS = _rows(r"""
Host: a\r\n
Host: a\r\n

Host: a\r\nHost: a\r\n
Host: a\r\nHost: b\r\n
Host: a, b\r\n
Host: a:80\r\n
Host:\r\n
Host: a b\r\n
 Host: a\r\n
""")

TRAILERS = _rows(r"""
Content-Length: 5
Transfer-Encoding: chunked
Host: b
Connection: close
Connection: keep-alive, close
Connection: Upgrade\r\nUpgrade: h2c
X-Trailer: 1
X-Pixlake-Meta-album: summer
X-Request-Id: mine
""")

OFFERS = _rows(r"""
Connection: Upgrade\r\nUpgrade: h2c\r\n
Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n
Connection: Upgrade\r\nUpgrade: h2c, foo\r\n
Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n
Connection: keep-alive, UPGRADE\r\nUpgrade: foo/1\r\n
Connection: close, Upgrade\r\nUpgrade: foo\r\n
Connection: foo\r\nConnection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n
Connection: Upgrade\r\nUpgrade:\r\n
Connection: Upgrade\r\nUpgrade: websocket\r\n
Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n
""")

MUTATIONS = _rows(r"""
\r
\n
\r\n
\x00
\x20
\t
:
,
0
\x85
\xa0

""")
