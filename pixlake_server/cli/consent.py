"""Confirmation of irreversible actions: by a question on a terminal, or by --yes."""

import sys

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault


def ask(question: str, *, yes: bool) -> None:
    """Ask for confirmation; raises Exit after a no, UsageFault without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageFault(f"{question}: there is no terminal to ask on; add --yes or --dry-run")
    if not typer.confirm(output.clean(f"{question}?"), err=True):
        raise typer.Exit(REFUSED)
