"""`pixlake upload`: image files over HTTP, many at once."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, CliError, UsageFault
from pixlake.cli.files import Found, find
from pixlake.cli.options import Home, Json, KeyFile, Metadata, Paths, Preset, Url, metadata_of
from pixlake.cli.results import BAD, Result, Summary
from pixlake.cli.target import connect

if TYPE_CHECKING:
    from pixlake.cli.uploading import UploadRun
    from pixlake.client import Client

# A restart of the server on a small machine takes half a minute.
_DEADLINE_SECONDS = 120.0
# One image takes some 10 ms of processing and some 10 ms of waiting for the store.
_JOBS = 8
_MAX_JOBS = 64
_LOOK_SECONDS = 1.0


def upload(
    paths: Paths,
    *,
    preset: Preset = None,
    metadata: Metadata = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=_MAX_JOBS, help="Uploads at once.")
    ] = _JOBS,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds to keep trying, for each image.")
    ] = _DEADLINE_SECONDS,
    origin: Annotated[
        str | None,
        typer.Option(
            "--path-as",
            metavar="NAME",
            help="Say each file's path as metadata NAME, relative to the folder that is named.",
        ),
    ] = None,
    url: Url = None,
    key_file: KeyFile = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Upload image files, and folders of them.

    Equal bytes, preset and metadata are one image however often they come, so a run that was
    cut short is simply started again. Exits 1 if any file was refused or failed.
    """
    said = metadata_of(metadata)
    if origin is not None and metadata_of([f"{origin}=x"]).keys() & said.keys():
        raise UsageFault(f"--metadata and --path-as both say {origin!r}")
    found = find(paths)
    with connect(url, key_file, home, deadline=deadline) as client:
        run, results = _run(client, found, preset, said, jobs, deadline=deadline, origin=origin)
    summary = Summary(("created", "replayed"), found, results)
    if json:
        output.emit(summary.document())
    else:
        summary.show()
    if run.stopped_by:
        output.note(f"pixlake: gave up: {run.stopped_by.why}")
    if not summary.complete:
        raise typer.Exit(REFUSED)


def _await(client: "Client", deadline: float) -> None:
    """Return once something answers: a server that starts is waited for as an image's answer is."""
    from pixlake.client import Unavailable  # noqa: PLC0415  # slow; not for --help

    end = time.monotonic() + deadline
    told = False
    while True:
        try:
            client.ready()
        except Unavailable as error:
            if time.monotonic() >= end:
                raise CliError(f"{error}; is `pixlake up` running? (--url, PIXLAKE_URL)") from error
            if not told:
                output.note(f"waiting, {deadline:.0f} s at most: {error}")
            told = True
            time.sleep(min(_LOOK_SECONDS, max(0.0, end - time.monotonic())))
        else:
            return


def _run(
    client: "Client",
    found: Found,
    preset: str | None,
    metadata: dict[str, str],
    jobs: int,
    *,
    deadline: float,
    origin: str | None,
) -> tuple["UploadRun", list[Result]]:
    from pixlake.cli.progress import bar  # noqa: PLC0415  # slow; not for --help
    from pixlake.cli.uploading import UploadRun  # noqa: PLC0415

    _await(client, deadline)
    run = UploadRun(client, preset=preset, metadata=metadata, jobs=jobs, origin=origin)
    results, bad = [], 0
    with bar("uploading", len(found.files)) as advance:
        for result in run.results(found.files, found.roots):
            results.append(result)
            bad += result.outcome in BAD
            advance(bad)
    return run, results
