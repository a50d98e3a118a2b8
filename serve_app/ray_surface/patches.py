"""Table of all private parts of Ray, Serve and uvicorn that Pixlake replaces or uses.

docs/decisions/0022-private-surface-of-ray.md shows this table; a test compares them.
"""

from typing import Final, NamedTuple

TRIED: Final = ("2.60.0",)
"""versions of Ray that all entries were tried with"""


class Patch(NamedTuple):
    """Private part of Ray that Pixlake uses or replaces."""

    what: str
    code: str
    why: str
    upstream: str
    """issue or pull request of Ray; empty: none is known"""
    test: str
    """file of the test that fails when Ray changes, or the make target of a rehearsal"""


_ISSUE = "https://github.com/ray-project/ray/issues/"

PATCHES: Final = (
    Patch(
        "`RECOVERING_LONG_POLL_BROADCAST_TIMEOUT_S` of the controller",
        "serve_app/ray_surface/recovery.py",
        "a restarted controller tells HAProxy after 10 s that no replicas exist",
        f"{_ISSUE}34281",
        "tests/serve_app/test_recovery.py",
    ),
    Patch(
        "class `HAProxyManager` of the controller",
        "serve_app/ray_surface/controller.py",
        "the manager of each node has to use Pixlake's configuration",
        "",
        "tests/serve_app/test_recovery.py",
    ),
    Patch(
        "`HAPROXY_CONFIG_TEMPLATE` of HAProxy's manager",
        "serve_app/ray_surface/haproxy.py",
        "own configuration of HAProxy",
        "",
        "tests/serve_app/test_recovery.py",
    ),
    Patch(
        "class `uvicorn.Server` in a replica",
        "serve_app/ray_surface/accept_burst.py",
        "own HTTP protocol; 16 connections accepted a turn, and all of them before it stops",
        "",
        "tests/serve_app/test_accept_burst.py",
    ),
    Patch(
        "callback for middleware, called before a replica listens",
        "serve_app/ray_surface/replica.py",
        "it is the only code of Pixlake that runs before the server of a replica is made",
        "",
        "tests/serve_app/test_accept_burst.py",
    ),
    Patch(
        "headers of Serve on a request",
        "serve_app/asgi/serve_headers.py",
        "clients must not control Serve; uploads have their own time limits",
        "",
        "tests/serve_app/test_serve_headers.py",
    ),
    Patch(
        "`__serve_build_asgi_app__` of a deployment",
        "serve_app/app.py",
        "the app is made from objects that exist only in the replica",
        "",
        "tests/serve_app/test_patches.py",
    ),
    Patch(
        "`HTTP_PROXY_TIMEOUT` of Serve's start",
        "serve_app/ray_surface/proxies.py",
        "a start may take longer than 60 s on a busy machine",
        "",
        "tests/serve_app/test_patches.py",
    ),
    Patch(
        "start of a node: ports of agents, no dashboard server, no Ray Client server",
        "serve_app/ray_surface/ray_node.py",
        "a node ends if its agents take longer than 15 s to choose ports",
        f"{_ISSUE}65983",
        "tests/pixlake/test_ray_node.py",
    ),
    Patch(
        "`add_port_to_grpc_server` of a worker",
        "serve_app/ray_surface/loopback.py",
        "the gRPC server of a replica listens on every interface",
        "",
        "tests/serve_app/test_patches.py",
    ),
    Patch(
        "`skip_context_filter` of a log line",
        "serve_app/asgi/answer_line.py",
        "Serve's context is more than half of the bytes of a request's line",
        "",
        "tests/serve_app/test_lean_answer_lines.py",
    ),
    Patch(
        "draining nodes, requests of a replica",
        "serve_app/ray_surface/cluster.py",
        "no public way to ask for them",
        "",
        "tests/serve_app/test_patches.py",
    ),
)


def table() -> str:
    """Return the table of the decision record, in Markdown."""
    rows = [
        "| what | code | why | upstream | test that fails when Ray changes |",
        "|---|---|---|---|---|",
    ]
    for what, code, why, upstream, test in PATCHES:
        issue = f"[#{upstream.rsplit('/', 1)[1]}]({upstream})" if upstream else "none known"
        rows.append(f"| {what} | `{code}` | {why} | {issue} | `{test}` |")
    return "\n".join(rows) + "\n"
