"""`pixlake canary`: uploads an image, reads it, waits for its row, and erases it."""

import os
import struct
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, CliError, code_of
from pixlake.cli.options import Json
from pixlake.cli.target import ApiOptions, connect, with_api_options

if TYPE_CHECKING:
    from pixlake.client import Client

_SIDE = 32
_PRESET = "thumbnail"
_ERASED = "image_erased"
_PAUSE_SECONDS = 2.0


class CanaryFault(CliError):
    """A step got an answer that is wrong."""

    code = "canary_failed"


class _Steps:
    """Steps of one run: name, seconds and fault of each."""

    def __init__(self) -> None:
        self.done: list[dict[str, object]] = []

    def run(self, name: str, step: Callable[[], None]) -> bool:
        """Run a step and note its time and its fault; returns True if it succeeded."""
        began = time.monotonic()
        fault: Exception | None = None
        try:
            step()
        except Exception as error:  # noqa: BLE001  # any fault of a step is the result
            fault = error
        seconds = round(time.monotonic() - began, 3)
        noted: dict[str, object] = {"step": name, "ok": fault is None, "seconds": seconds}
        if fault is not None:
            noted |= {"code": code_of(fault) or "internal", "detail": str(fault)}
        self.done.append(noted)
        return fault is None

    @property
    def ok(self) -> bool:
        """True if no step has failed."""
        return all(each["ok"] for each in self.done)


@with_api_options
def canary(
    *,
    row_seconds: Annotated[
        float,
        typer.Option("--row-seconds", min=0, help="Longest wait for the row; 0: no such step."),
    ] = 300.0,
    deadline: Annotated[
        float, typer.Option("--deadline", min=1, help="Longest time of each request, in seconds.")
    ] = 60.0,
    json: Json = False,
    api: ApiOptions,
) -> None:
    """Upload an image, read it, wait until SQL has its row, and erase it.

    A check of the whole service from outside, for a schedule. The row is looked up in the store
    itself, as by `pixlake query`. The key needs the scopes images:write, images:read and
    images:erase. Exits 1 if a step failed; the image is erased in any case.
    """
    steps = _Steps()
    with connect(api, deadline=deadline, tell=False) as client:
        _run(client, steps, api, row_seconds)
    if json:
        output.emit({"ok": steps.ok, "steps": steps.done})
    else:
        rows = [
            (str(each["step"]), "ok" if each["ok"] else "failed", f"{each['seconds']}", _why(each))
            for each in steps.done
        ]
        output.table(("step", "result", "seconds", "detail"), rows, right=("seconds",))
    if not steps.ok:
        raise typer.Exit(REFUSED)


def _why(step: dict[str, object]) -> str:
    return f"{step['code']}: {step['detail']}" if "code" in step else ""


def _run(client: "Client", steps: _Steps, api: ApiOptions, row_seconds: float) -> None:
    picture, found = _picture(), ""

    def upload() -> None:
        nonlocal found
        done = client.upload(picture, preset=_PRESET, metadata={"source": "canary"})
        found = done.image.image_id
        if done.outcome != "created":
            raise CanaryFault(f"the image {found} was there already")

    def read() -> None:
        if client.download(found) != picture:
            raise CanaryFault(f"the bytes of {found} are not those that were sent")
        for rendition in client.get(found).renditions:
            client.download(found, rendition.name)

    def erase() -> None:
        client.erase(found)
        _check_gone(client, found)

    uploaded = steps.run("upload", upload)
    if uploaded:
        steps.run("read", read)
        if row_seconds:
            steps.run("row", lambda: _wait_for_row(found, api, row_seconds))
    if found:
        steps.run("erase", erase)


def _wait_for_row(image_id: str, api: ApiOptions, seconds: float) -> None:
    """Wait until SQL has exactly one row of the image; raises CanaryFault."""
    from lake.read.views import Views  # noqa: PLC0415
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, api.home, "store_url")
    ends = time.monotonic() + seconds
    # The client has checked the id's form: it is part of the record that it parsed.
    count = f"SELECT count(*) AS n FROM images WHERE image_id = '{image_id}'"  # noqa: S608
    while True:
        rows = Views.open(settings).query(count).to_pylist()[0]["n"]
        if rows == 1:
            return
        if rows > 1:
            raise CanaryFault(f"SQL has {rows} rows of {image_id}")
        if time.monotonic() > ends:
            raise CanaryFault(f"SQL has no row of {image_id} after {seconds:g} s")
        time.sleep(_PAUSE_SECONDS)


def _check_gone(client: "Client", image_id: str) -> None:
    from pixlake.client import Refused  # noqa: PLC0415  # slow

    try:
        client.get(image_id)
    except Refused as refused:
        if refused.code != _ERASED:
            raise
        return
    raise CanaryFault(f"{image_id} can be read after its erasure")


def _picture() -> bytes:
    """Draw a PNG of random grey pixels; each run sends other bytes, so none is a replay."""
    rows = b"".join(b"\0" + os.urandom(_SIDE) for _ in range(_SIDE))
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
