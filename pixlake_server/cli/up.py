"""`pixlake up`: runs all of Pixlake on this machine, until Ctrl-C."""

import typer

from pixlake.cli.extras import extra
from pixlake.cli.options import Home, Json
from pixlake.cli.target import find_home


def up(*, home: Home = None, json: Json = False) -> None:
    """Start all of Pixlake on this machine.

    Ctrl-C drains and stops all processes. All data and state are in PIXLAKE_HOME. The API listens
    on PIXLAKE_HTTP_PORT (8000), the embedded Kafka broker on PIXLAKE_KAFKA_PORT (9092), unless
    KAFKA_BOOTSTRAP_SERVERS names another broker. With --json the command prints one line with the
    addresses when Pixlake is ready.
    """
    with extra("pixlake-server[embedded]"):
        from ingest.settings import IngestSettings  # noqa: PLC0415  # slow
        from lake.settings import LakeSettings  # noqa: PLC0415
        from pixlake_server.cli.settings import load  # noqa: PLC0415
        from pixlake_server.embedded.settings import EmbeddedSettings  # noqa: PLC0415
        from pixlake_server.embedded.supervisor import run  # noqa: PLC0415
        from processors.settings import ProcessorSettings  # noqa: PLC0415
        from serve_app.settings import ServeSettings  # noqa: PLC0415

    every = (EmbeddedSettings, IngestSettings, LakeSettings, ProcessorSettings, ServeSettings)
    for kind in every:
        load(kind, home)  # reports a wrong variable here, before a replica would in its log
    raise typer.Exit(run(find_home(home), json=json))
