"""The `pixlake` command with all subcommands, in the order in which a new user needs them."""

import io
import os
import sys
from importlib.metadata import version as installed
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.audit import audit
from pixlake.cli.demo import demo
from pixlake.cli.erase import erase
from pixlake.cli.failures import Group
from pixlake.cli.get import get
from pixlake.cli.keys import keys
from pixlake.cli.lifecycle import lifecycle
from pixlake.cli.ls import ls
from pixlake.cli.plan import plan
from pixlake.cli.preset import preset
from pixlake.cli.process import process
from pixlake.cli.produce import produce
from pixlake.cli.query import query
from pixlake.cli.rebuild import rebuild
from pixlake.cli.seal import seal
from pixlake.cli.status import status
from pixlake.cli.store import store
from pixlake.cli.sweep import sweep
from pixlake.cli.up import up
from pixlake.cli.upload import upload
from pixlake.cli.version import version

# Exit codes above it are those of signals.
_SIGNALLED = 128

app = typer.Typer(
    name="pixlake",
    cls=Group,
    no_args_is_help=True,
    # Plain text: readable in a pipe, and quick.
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
    """Images into a data lake, and out of it.

    Every verb takes --json. Exit codes: 0 done, 1 something was refused or failed, 2 usage,
    130 Ctrl-C; docs/cli.md lists them.
    """
    del debug, version  # `failures.Group` reads `debug`, a callback handles `version`


for verb in (
    *(up, demo, upload, produce, process, ls, get, query, seal),
    *(erase, audit, sweep, rebuild, status, plan, version),
):
    app.command()(verb)
app.add_typer(store, name="store")
app.add_typer(preset, name="preset")
app.add_typer(lifecycle, name="lifecycle")
app.add_typer(keys, name="keys")


def main() -> None:
    """Entry point of the `pixlake` script."""
    _escape_what_does_not_encode()
    try:
        app()
    except SystemExit as end:
        code = _written(end.code if isinstance(end.code, int) else int(end.code is not None))
        if code > _SIGNALLED or ("obstore" in sys.modules and "ray" not in sys.modules):
            # After a signal, running uploads must not delay the exit. Threads of obstore may call
            # into the interpreter while it shuts down: on a busy machine one exit of a hundred was
            # SIGABRT, after all work was done.
            os._exit(code)
        sys.exit(code)


def _written(code: int) -> int:
    """Flush the output and return the exit code; exits 1 if that fails, as on a full disk."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BrokenPipeError:
        os._exit(code or 1)  # the reader closed the pipe; Python would print a warning
    except OSError as error:
        output.note(f"pixlake: the result can't be written: {error.strerror}")
        os._exit(code or 1)
    return code


def _escape_what_does_not_encode() -> None:
    r"""Write `\xe9` where a terminal's encoding has no such letter, instead of failing midway."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
