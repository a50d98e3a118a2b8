"""Consent to what can't be undone: asked on a terminal, said by --yes elsewhere."""

import sys

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault


def ask(question: str, *, yes: bool) -> None:
    """Return if it may be done; raises Exit after a no, UsageFault where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageFault(f"{question}: nobody can be asked here; add --yes, or look with --dry-run")
    if not typer.confirm(output.clean(f"{question}?"), err=True):
        raise typer.Exit(REFUSED)
