"""`pixlake status`: whether both doors take images, part by part."""

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault
from pixlake.cli.options import Json, Url
from pixlake.cli.target import find_url


def status(*, url: Url = None, json: Json = False) -> None:
    """Tell whether both doors take images. Needs no key; exits 1 when they do not."""
    from pixlake.client import Client  # noqa: PLC0415  # slow; not for --help

    where = find_url(url)
    try:
        client = Client(where)
    except ValueError as error:
        raise UsageFault(str(error)) from None
    with client:
        now = client.ready()
    if json:
        output.emit({"url": where, **now.model_dump(mode="json", exclude_none=True)})
    else:
        rows = [(name, "yes" if p.ready else "no", p.detail or "") for name, p in now.parts.items()]
        output.table(
            ("part", "ready", "detail"), [*rows, ("both doors", "yes" if now.ready else "no", "")]
        )
    if not now.ready:
        raise typer.Exit(REFUSED)
