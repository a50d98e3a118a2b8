"""Errors of commands: one line on stderr, a JSON document with --json, an exit code.

* CliError           exit 1   the command was refused or failed
  x UsageFault       exit 2   the command line or the environment is wrong

Errors of the packages below keep their own `code`; an unexpected error is `internal`.
"""

import difflib
import errno
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

REFUSED = 1
USAGE = 2
# Codes of the lake for a store that is not the intended store.
_OTHER_STORE = frozenset(
    {"store_missing", "store_contradicted", "store_undecided", "store_too_new", "store_too_old"}
)
JSON = "pixlake.json"
"""Key in a context's `meta` that records `--json`, for later errors."""


def near(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint with the nearest known name, or an empty text if no name is near.

    The server's hints have the same form (`did_you_mean`); the command does not import the server.
    """
    lower = {each.lower(): each for each in sorted(known)}
    found = difflib.get_close_matches(name[:64].lower(), lower, 1, cutoff)
    return f"; did you mean {lower[found[0]]}?" if found else ""


class CliError(Exception):
    """A command was refused or failed; the message is for a person."""

    exit_code = REFUSED
    code = "failed"


class UsageFault(CliError):
    """Wrong usage: a wrong option, a missing file or a missing key."""

    exit_code = USAGE
    code = "usage"


class Group(TyperGroup):
    """Top-level command group, which reports the errors of all commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; stores --json first, so that usage errors are JSON, too."""
        ctx.meta[JSON] = "--json" in args
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; reports an error as a line and an exit code, not as a traceback."""
        from pixlake.cli.variables import check_variables  # noqa: PLC0415  # needs this module

        try:
            check_variables()
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except typer.TyperException as error:
            if ctx.meta.get(JSON):
                print(json.dumps({"error": {"code": "usage", "detail": error.format_message()}}))
            raise
        except Exception as error:
            closed_pipe = isinstance(error, OSError) and error.errno == errno.EPIPE
            if closed_pipe or ctx.params.get("debug"):
                raise
            if ctx.meta.get(JSON):
                with suppress(OSError):  # the error may be a full disk
                    print(json.dumps({"error": describe(error)}))
            if sys.stderr is not None:
                sys.stderr.write(f"pixlake: {_line(error)}\n")
            raise typer.Exit(_exit_code(error)) from error


def _exit_code(error: Exception) -> int:
    default = USAGE if code_of(error) in _OTHER_STORE else REFUSED
    return getattr(error, "exit_code", default)


def describe(error: Exception) -> dict[str, object]:
    """Convert an error to JSON values: `code`, `detail`, and `limit` and `value` if present."""
    document: dict[str, object] = {"code": code_of(error) or "internal", "detail": str(error)}
    for name in ("limit", "value"):
        value = getattr(error, name, None)
        if value is not None:
            document[name] = value
    return document


def code_of(error: Exception) -> str | None:
    """Stable code of an error; None for an unexpected error."""
    if isinstance(error, OSError):
        return "os_error"
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else None


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if code_of(error) is None:
        return f"internal error: {type(error).__name__}: {text} (`pixlake --debug …` shows where)"
    return text
