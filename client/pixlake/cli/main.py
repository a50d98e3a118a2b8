"""The `pixlake` command with all subcommands, in the order in which a new user needs them."""

import io
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from importlib.metadata import version as installed
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.demo import demo
from pixlake.cli.extras import VERBS, missing
from pixlake.cli.failures import Group
from pixlake.cli.get import get
from pixlake.cli.ls import ls
from pixlake.cli.plan import plan
from pixlake.cli.produce import produce
from pixlake.cli.status import status
from pixlake.cli.upload import upload
from pixlake.cli.version import version

# Exit codes above this number are those of signals.
_SIGNALLED = 128
# Settings of a command that accepts any arguments.
_ANY = {"ignore_unknown_options": True, "allow_extra_args": True}
Verb = Callable[..., None] | typer.Typer
CLIENT_VERBS: dict[str, Verb] = {
    "demo": demo,
    "upload": upload,
    "produce": produce,
    "ls": ls,
    "get": get,
    "status": status,
    "plan": plan,
    "version": version,
}

app = typer.Typer(
    name="pixlake",
    cls=Group,
    no_args_is_help=True,
    # Help as plain text is readable in a pipe, and quick.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pixlake {installed('pixlake')}")
        raise typer.Exit


@app.callback()
def pixlake(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="PIXLAKE_DEBUG", help="Show tracebacks.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Store images in a data lake, and read them.

    Every command has --json. Exit codes: 0 done, 1 something was refused or failed, 2 wrong usage,
    130 Ctrl-C; docs/cli.md lists all.
    """
    del debug, version  # `failures.Group` reads `debug`, a callback handles `version`


def _register(verbs: Mapping[str, Verb]) -> None:
    """Add the verbs to the command, in the order of VERBS, with stand-ins for missing verbs."""
    for name in VERBS:
        match verbs.get(name):
            case None:
                app.command(name, hidden=True, add_help_option=False, context_settings=_ANY)(
                    missing(name)
                )
            case typer.Typer() as group:
                app.add_typer(group, name=name)
            case verb:
                app.command(name)(verb)


def _installed_verbs() -> dict[str, Verb]:
    """Load the verbs of other installed distributions, by the entry point group `pixlake.verbs`."""
    found: dict[str, Verb] = {}
    for point in entry_points(group="pixlake.verbs"):
        found |= point.load()
    return found


_register(CLIENT_VERBS | _installed_verbs())


def main() -> None:
    """Entry point of the `pixlake` script."""
    _escape_what_does_not_encode()
    try:
        app()
    except SystemExit as end:
        code = _written(end.code if isinstance(end.code, int) else int(end.code is not None))
        if code > _SIGNALLED or ("obstore" in sys.modules and "ray" not in sys.modules):
            # Exit at once, for two reasons. After a signal, running uploads must not delay the
            # exit. And threads of obstore may call into the interpreter while it shuts down: on a
            # busy machine one exit of a hundred was a SIGABRT, after all work was done.
            os._exit(code)
        sys.exit(code)


def _written(code: int) -> int:
    """Flush the output and return the exit code; returns 1 if that fails, as on a full disk."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BrokenPipeError:
        os._exit(code or 1)  # the reader closed the pipe; a normal exit would print a warning
    except OSError as error:
        output.note(f"pixlake: the result can't be written: {error.strerror}")
        os._exit(code or 1)
    return code


def _escape_what_does_not_encode() -> None:
    r"""Print a letter that the terminal's encoding lacks as `\xe9`, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
