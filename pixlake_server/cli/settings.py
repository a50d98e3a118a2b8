"""Settings of the server's packages, for commands that work on its data directly."""

import logging
import os
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from lake import logs
from pixlake.cli.failures import UsageFault
from pixlake.cli.target import find_home

S = TypeVar("S", bound=BaseSettings)


def load(kind: type[S], home: Path | None) -> S:
    """Load settings from the environment for a home; raises UsageFault that names the variable.

    Warnings of the server's packages are printed from here on.
    """
    logs.begin(logging.WARNING)
    given = {"home": find_home(home)} if "home" in kind.model_fields else {}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise UsageFault(
            "; ".join(_fault(one["loc"], one["msg"]) for one in error.errors())
        ) from None


def load_existing(kind: type[S], home: Path | None, elsewhere: str) -> S:
    """Load settings for existing data, in the home or at another location.

    `elsewhere` is the settings field with the other location. Raises UsageFault.
    """
    settings = load(kind, home)
    folder = find_home(home)
    if getattr(settings, elsewhere) is not None:
        return settings
    if not folder.is_dir():
        raise UsageFault(f"there is no folder {folder}; name it with --home or PIXLAKE_HOME")
    if (owner := folder.stat().st_uid) != os.getuid():
        # The owner could not read or change files that this user would write.
        raise UsageFault(
            f"{folder} belongs to user {owner}, and this is user {os.getuid()}: run as its owner"
        )
    return settings


def _fault(place: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    if not place:
        return text  # a fault of several settings; the message names them
    name = str(place[0])
    # A name in capital letters is an alias, which is the variable's whole name.
    return f"{name if name.isupper() else f'PIXLAKE_{name.upper()}'}: {text}"
