"""Options of `pixlake tenants limit` and `pixlake keys limit`, and their output."""

from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault

if TYPE_CHECKING:
    from serve_app.accounts import Limits

NONE = "none"
"""Value of an option that removes a limit."""


def _option(about: str) -> object:
    return typer.Option(metavar="NUMBER|none", help=f"{about}; none: no limit.")


RequestsPerSecond = Annotated[str | None, _option("Requests a second")]
ImagesPerSecond = Annotated[str | None, _option("Uploads a second")]
BytesPerSecond = Annotated[str | None, _option("Bytes a second of the bodies of uploads")]
ImagesPerDay = Annotated[str | None, _option("New images by HTTP in a day of UTC")]
BytesPerDay = Annotated[str | None, _option("Bytes of those images")]


def changed(limits: "Limits", options: dict[str, str | None]) -> "Limits":
    """Return the limits with the given options in place of their old values.

    Raises UsageFault for an option that is no number, InvalidAccount beyond its largest value.
    """
    from serve_app.accounts import Limits  # noqa: PLC0415  # slow

    given = {name: _number(name, text) for name, text in options.items() if text is not None}
    return Limits(**{**limits.document(), **given})


def tell(limits: "Limits", *, json: bool) -> None:
    """Print limits as a document or a table."""
    if json:
        output.emit(limits.document())
        return
    rows = [(name, NONE if each is None else str(each)) for name, each in limits.document().items()]
    output.table(("limit", "value"), rows, right=("value",))


def _number(name: str, text: str) -> int | None:
    if text == NONE:
        return None
    if not (text.isascii() and text.isdecimal()):
        option = "--" + name.replace("_", "-")
        raise UsageFault(f"{option} {text!r} is neither a whole number nor {NONE!r}")
    return int(text)
