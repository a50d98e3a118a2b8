"""Page of all error codes, rendered from the classes of errors and the tables of answers."""

import ast
from collections.abc import Iterator
from pathlib import Path

from ingest.errors import InvalidMessage
from lake.errors import CodedError
from pixlake_server.embedded.haproxy_answers import ANSWERS
from serve_app.errors import PROBLEMS

ROOT = Path(__file__).parent.parent
SERVICE = ("lake", "processors", "ingest", "serve_app")
COMMAND = ("pixlake_server", "client/pixlake")

_SERVICE_HEAD = """\
# Error codes

Every refusal has one of these codes: over HTTP in `application/problem+json` (RFC 9457),
in a dead letter of Kafka in the header `pixlake-dead-letter-code`. If a limit was
exceeded, `limit` is the limit and `value` the value that was sent. A code without status
refuses no image: logs and `/readyz` show it.

Rendered from the code by `python -m tests.reference`.

| code | HTTP | meaning |
|---|---|---|
"""
_COMMAND_HEAD = """
## The command `pixlake` and the client

Errors of the service keep their code. These errors are in `error.code` of a document that a command
prints with `--json`, and in `code` of an exception of the client:

| code | meaning |
|---|---|
"""


def errors_page() -> str:
    """Build the page: every code with its HTTP status and meaning."""
    meanings = codes_of(*SERVICE)
    statuses: dict[str, int | str] = dict.fromkeys(meanings, "none")
    statuses |= dict.fromkeys(_kafka_codes(), "Kafka only")
    for code, answer in ANSWERS.items():
        statuses[code] = answer.status
        meanings.setdefault(code, f"{answer.title}: {answer.detail}.")
    statuses |= {code: problem.status for code, problem in PROBLEMS.items()}
    service = (
        f"| `{code}` | {status} | {meanings.get(code) or PROBLEMS[code].title} |\n"
        for code, status in sorted(statuses.items())
    )
    command = (
        f"| `{code}` | {meaning} |\n"
        for code, meaning in sorted(codes_of(*COMMAND).items())
        if code not in statuses
    )
    return "".join((_SERVICE_HEAD, *service, _COMMAND_HEAD, *command))


def codes_of(*packages: str) -> dict[str, str]:
    """Return the code of each error class of some packages, with its docstring's first line.

    Modules are parsed and not imported, so no module can be forgotten.
    """
    modules = sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))
    return dict(code for path in modules for code in _codes(ast.parse(path.read_text())))


def _codes(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            meaning = (ast.get_docstring(node) or "").split("\n")[0]
            yield from ((code, meaning) for code in map(_code, node.body) if code)


def _code(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Assign([ast.Name("code")], ast.Constant(str(code))) | ast.AnnAssign(
            ast.Name("code"), value=ast.Constant(str(code))
        ):
            return code
    return None


def _kafka_codes() -> set[str]:
    """Return the codes of dead letters that HTTP does not have."""
    return {kind.code for kind in _kinds(InvalidMessage)}


def _kinds(root: type[CodedError]) -> Iterator[type[CodedError]]:
    """Yield an error and all errors below it."""
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)
