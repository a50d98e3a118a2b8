"""`pixlake upload`: uploads image files over HTTP, many at once."""

import os
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, CliError, UsageFault
from pixlake.cli.files import Found, find
from pixlake.cli.listed import read_list
from pixlake.cli.options import (
    FollowLinks,
    Json,
    JsonLines,
    Metadata,
    OptionalPaths,
    Preset,
    form_of,
    metadata_of,
)
from pixlake.cli.results import Summary
from pixlake.cli.signals import Interrupted, interruptible
from pixlake.cli.target import ApiOptions, connect, find_url, with_api_options

if TYPE_CHECKING:
    from pixlake.cli.manifest import Manifest
    from pixlake.cli.uploading import MetadataOf, UploadRun
    from pixlake.client import Client

# Deadline of one image; a restart of the server on a small machine takes half a minute.
_DEADLINE_SECONDS = 120.0
# Time without any accepted image before the run ends. Long enough for short maintenance, or for an
# operator to free space in a full store.
_PATIENCE_SECONDS = 600.0
# Concurrent uploads; one image takes about 10 ms of processing and 10 ms of waiting for the store.
_JOBS = 8
_MAX_JOBS = 64
_LOOK_SECONDS = 1.0


@with_api_options
def upload(
    paths: OptionalPaths = None,
    *,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help='List of files, a line of JSON each: {"path": …, "metadata": {…}}; - is stdin.',
        ),
    ] = None,
    preset: Preset = None,
    metadata: Metadata = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=_MAX_JOBS, help="Uploads at once.")
    ] = _JOBS,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds to keep trying, for each image.")
    ] = _DEADLINE_SECONDS,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to keep trying while no image is accepted.")
    ] = _PATIENCE_SECONDS,
    origin: Annotated[
        str | None,
        typer.Option(
            "--path-as",
            metavar="NAME",
            help="Store each file's path, relative to the given folder, as metadata NAME.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Record stored files in FILE, and skip files recorded there."
        ),
    ] = None,
    follow_links: FollowLinks = False,
    jsonl: JsonLines = False,
    json: Json = False,
    api: ApiOptions,
) -> None:
    """Upload image files, and folders of image files.

    Equal bytes, preset and metadata are one image, so an interrupted run can simply be started
    again. Exits 1 if a file was refused or failed.
    """
    form = form_of(json=json, jsonl=jsonl)
    metadata_said = metadata_of(metadata)
    entries = {} if listed is None else read_list(listed)
    names = metadata_said.keys() | {name for each in entries.values() for name in each}
    if origin is not None and metadata_of([f"{origin}=x"]).keys() & names:
        raise UsageFault(f"--path-as and other metadata both set {origin!r}")
    found = find(paths or (), entries, follow_links=follow_links)
    said = _sayings(found, metadata_said, origin, entries)
    with (
        connect(api, deadline=deadline) as client,
        _opened(manifest, find_url(api.url, api.home), preset, said) as kept,
    ):
        todo = [path for path in found.files if kept is None or not kept.has(path)]
        summary = Summary(("created", "replayed"), found, form, known=len(found.files) - len(todo))
        run = _run(
            client, preset, said, jobs, patience, same_metadata=origin is None and not entries
        )
        ended = _collect(client, run, todo, summary, kept, deadline=deadline)
    summary.show()
    if ended is not None:
        raise typer.Exit(ended)
    if not summary.complete:
        raise typer.Exit(REFUSED)


def _sayings(
    found: Found,
    metadata: Mapping[str, str],
    origin: str | None,
    entries: Mapping[Path, Mapping[str, str]],
) -> "MetadataOf":
    """Build the function that returns a file's metadata; entries of a list override --metadata."""

    def said(path: Path) -> Mapping[str, str]:
        own = {**metadata, **entries.get(path, {})}
        if origin is None:
            return own
        root = found.roots.get(path)
        relative = path.relative_to(root) if root else path
        return {**own, origin.lower(): os.fsencode(relative).decode("utf-8", "replace")}

    return said


def _opened(
    path: Path | None, url: str, preset: str | None, said: "MetadataOf"
) -> "closing[Manifest] | nullcontext[None]":
    from pixlake.cli.manifest import Manifest  # noqa: PLC0415  # with results, not for --help

    return nullcontext() if path is None else closing(Manifest.open(path, url, preset, said))


def _await(client: "Client", deadline: float) -> None:
    """Wait until the server answers, for `deadline` seconds at most; raises CliError."""
    from pixlake.client import Unavailable  # noqa: PLC0415  # slow; not for --help

    end = time.monotonic() + deadline
    reported = False
    while True:
        try:
            client.ready()
        except Unavailable as error:
            if time.monotonic() >= end:
                raise CliError(f"{error}; is `pixlake up` running? (--url, PIXLAKE_URL)") from error
            if not reported:
                output.note(f"waiting, {deadline:.0f} s at most: {error}")
            reported = True
            time.sleep(min(_LOOK_SECONDS, max(0.0, end - time.monotonic())))
        else:
            return


def _run(
    client: "Client",
    preset: str | None,
    said: "MetadataOf",
    jobs: int,
    patience: float,
    *,
    same_metadata: bool,
) -> "UploadRun":
    from pixlake.cli.uploading import UploadRun  # noqa: PLC0415  # slow; not for --help

    return UploadRun(
        client, preset=preset, said=said, jobs=jobs, same_metadata=same_metadata, patience=patience
    )


def _collect(
    client: "Client",
    run: "UploadRun",
    files: list[Path],
    summary: Summary,
    manifest: "Manifest | None",
    *,
    deadline: float,
) -> int | None:
    """Run the uploads and fill the summary; returns an exit code if a signal ended the run."""
    from pixlake.cli.progress import bar  # noqa: PLC0415  # slow; not for --help

    try:
        with interruptible():
            _await(client, deadline)
            with bar("uploading", len(files)) as advance:
                for result in run.results(files):
                    summary.add(result)
                    if manifest is not None:
                        manifest.add(result)
                    advance(summary.bad)
    except Interrupted as signal:
        summary.stopped = signal.name
        output.note(f"pixlake: {signal.name} ended the run")
        return signal.exit_code
    if run.stopped_by is not None:
        summary.stopped = run.stopped_by.why
        output.note(f"pixlake: gave up: {run.stopped_by.why}")
    return None
