"""`pixlake status`: shows the readiness of each part."""

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import Json
from pixlake.cli.target import ConnectionOptions, find_url, make_client, with_api_options

_ONE_TRY = 1.0


@with_api_options
def status(*, json: Json = False, api: ConnectionOptions) -> None:
    """Show whether HTTP API and Kafka consumer are ready. Needs no key; exits 1 if not ready."""
    with make_client(api, None, deadline=_ONE_TRY) as client:
        now = client.ready()
    if json:
        output.emit(
            {"url": find_url(api.url, api.home), **now.model_dump(mode="json", exclude_none=True)}
        )
    else:
        rows = [(name, "yes" if p.ready else "no", p.detail or "") for name, p in now.parts.items()]
        output.table(
            ("part", "ready", "detail"), [*rows, ("service", "yes" if now.ready else "no", "")]
        )
    if not now.ready:
        raise typer.Exit(REFUSED)
