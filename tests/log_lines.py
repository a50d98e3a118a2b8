"""Log messages, parsed from the source, and the section about logs of docs/metrics.md."""

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from lake.logs import PACKAGES

ROOT = Path(__file__).parent.parent
_LEVELS = {"info": "INFO", "warning": "WARNING", "error": "ERROR", "exception": "ERROR"}
_ABOUT = """
Serve's replicas log to `serve/replica_<application>_<deployment>_*.log` in Ray's log folder, one
JSON object a line, with `request answered` for each request but successful health checks. The
processes of a node on AWS log the same fields to CloudWatch. Programs at a terminal print readable
lines. Messages and fields keep their names, so that queries and alarms find them. Fields of every
line:

| field | what it is |
|---|---|
| `asctime`, `levelname`, `message` | time, level, one of the messages below without values |
| `logger` | module that logged |
| `exc_text` | traceback of an error, without local variables |
| `deployment`, `replica`, `application`, `route` | in a replica; not of `request answered` |
| `cell`, `node_kind`, `log_file` | on AWS: cell and kind of the node, file of the process |
| `request_id` | `X-Request-Id` of an HTTP request; of other work, Serve's id of the call |
| `image_id`, `tenant` | image and tenant of the request or message, once they are known |
| `topic`, `partition`, `offset` | position of the Kafka message; of a batch, of its first message |

A request has no tenant before its key is known, and `code` is empty where it succeeded. `path` has
`{image_id}` in place of an id, and is empty where no route has it. HAProxy's own answers (without
a replica; to a header or body that is too slow; to a request that is no HTTP) have no line: HAProxy
logs nothing, and would know neither tenant nor code. The balancer's metrics count them.

No line has an API key, the bytes of an image, or a file name of a client.
"""


class Line(NamedTuple):
    """Call of a logger; a field `…` stands for fields of a mapping."""

    package: str
    message: str
    levels: str
    fields: tuple[str, ...]


def logging_files() -> Iterator[tuple[str, Path]]:
    """List the source files of the packages that log, each with its package."""
    for package in PACKAGES:
        folder = ROOT / "deploy/ecs/image/node" if package == "node" else ROOT / package
        for path in sorted(folder.rglob("*.py")):
            yield package, path


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, list[str]]]:
    """Find calls of `log`, each with the methods that it may call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            methods = [
                each.attr
                for each in ast.walk(node.func)
                if isinstance(each, ast.Attribute)
                and isinstance(each.value, ast.Name)
                and each.value.id == "log"
                and each.attr in _LEVELS
            ]
            if methods:
                yield node, methods


def log_lines() -> list[Line]:
    """List all messages of all packages, in order."""
    return sorted(
        Line(
            package,
            ast.literal_eval(call.args[0]),
            " or ".join(_LEVELS[method] for method in methods),
            tuple(word.arg or "…" for word in call.keywords if word.arg != "exc_info"),
        )
        for package, path in logging_files()
        for call, methods in calls(ast.parse(path.read_text()))
    )


def logs_section() -> Iterator[str]:
    """Section of docs/metrics.md about logs."""
    yield from ("", "## Logs", *_ABOUT.rstrip().split("\n"))
    for package, lines in groupby(log_lines(), key=lambda line: line.package):
        yield from (
            "",
            f"### Messages of {package}",
            "",
            "| message | level | fields |",
            "|---|---|---|",
        )
        for line in lines:
            fields = ", ".join(each if each == "…" else f"`{each}`" for each in line.fields)
            yield f"| `{line.message}` | {line.levels} | {fields} |"
