"""Time and memory of an audit: `python -m benchmarks.audit --rows 1000000`.

Writes records, each with a small original and rendition, and their rows directly into a folder (a
million take 17 GB and some minutes). Then audits the folder like `pixlake audit`, in a separate
process. Prints JSON lines; the exit code is 1 if a figure misses its target.
"""

import argparse
import asyncio
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

from lake import layout
from lake.audit.audit import Audit, AuditReport
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.tables.rows import encode_chain_file, to_table
from lake.tables.schema import ImageRecord, StoredRendition

IMAGES = 1_000_000
MUST_SECONDS = 90.0
MUST_MEGABYTES = 512.0
# Least time limit, because starting the processes takes some seconds for any number of rows.
START_SECONDS = 10.0
_TENANT = "bench"
_HOMES = 1000
_PIXELS = b"pixels"


def make_home(root: Path, window_start: datetime, first: int, count: int) -> None:
    """Write records, objects and the chain file of one window."""
    records = [_record(window_start, n) for n in range(first, first + count)]
    for record in records:
        folder = root / layout.image_prefix(record.tenant, record.image_id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(record.model_dump_json())
        (root / record.original_key).write_bytes(_PIXELS)
        (root / record.renditions[0].key).write_bytes(_PIXELS)
    file = root / layout.chain_key(window_start, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode_chain_file(to_table(records)))


def _record(window_start: datetime, n: int) -> ImageRecord:
    image_id = hashlib.sha256(b"%d" % n).hexdigest()[:32]
    attempt = image_id[:16]
    digest = hashlib.sha256(_PIXELS).hexdigest()
    facts = {"format": "jpeg", "content_type": "image/jpeg", "bytes": 6, "sha256": digest}
    small = StoredRendition(
        name="320",
        key=layout.object_key(_TENANT, image_id, "320", attempt, "jpg"),
        width=320,
        height=240,
        **facts,
    )
    return ImageRecord(
        image_id=image_id,
        tenant=_TENANT,
        source="api",
        attempt=attempt,
        window_start=window_start,
        content_hash=hashlib.sha256(image_id.encode()).hexdigest(),
        received_at=window_start + timedelta(seconds=n % 60),
        filename=f"IMG_{n}.jpg",
        metadata={"camera": str(n % 7), "site": "north"},
        preset="web",
        preset_version=1,
        original_key=layout.object_key(_TENANT, image_id, "original", attempt, "jpg"),
        width=640,
        height=480,
        orientation=1,
        frames=1,
        has_alpha=False,
        sharpness=12.5,
        brightness=99.0,
        dominant_color="#102030",
        phash=n,
        renditions=(small,),
        process_ms=1.5,
        **facts,
    )


def make(root: Path, images: int) -> None:
    """Write a correct lake of `images` images, in windows of the last day."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=23)
    each = max(1, images // _HOMES)
    shares = [
        (root, start + timedelta(minutes=k), first, min(each, images - first))
        for k, first in enumerate(range(0, images, each))
    ]
    with get_context("spawn").Pool() as pool:
        pool.starmap(make_home, shares)


async def audit(settings: LakeSettings) -> AuditReport:
    """Audit like the command `pixlake audit`."""
    lake = await Lake.open(settings)
    return await Audit(lake.store, lake.clock, settings).run()


def measured(settings: LakeSettings, images: int) -> dict[str, float]:
    """Audit once; returns seconds, CPU seconds, peak MB of this process and its largest child."""
    began, cpu = time.monotonic(), _cpu()
    report = asyncio.run(audit(settings))
    seconds, cpu = time.monotonic() - began, _cpu() - cpu
    assert report.ok, report.counts
    assert report.seen.images == report.rows.rows == images
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "main_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "reader_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000,
    }


def tell(name: str, value: float, unit: str, must: float) -> bool:
    """Print one figure; returns True if it meets its target."""
    line = {"name": name, "value": round(value, 1), "unit": unit, "must": must, "aim": must}
    print(json.dumps(line | {"ok": value <= must}), flush=True)
    return value <= must


def main() -> int:
    """Write the lake, audit it, print the figures, remove the lake; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--rows", type=int, default=IMAGES, help="images and rows, %(default)s")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where, %(default)s")
    asked = parser.parse_args()
    images = asked.rows
    root = Path(tempfile.mkdtemp(prefix="pixlake-bench-", dir=asked.folder))
    try:
        make(root / "store", images)
        settings = LakeSettings(store_url=(root / "store").as_uri())
        # Spawn a process, so that its memory is that of the audit alone.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            good = told(pool.submit(measured, settings, images).result(), images)
    finally:
        # Remove the files after the figures are printed, because it may take longer than the audit.
        shutil.rmtree(root)
    return 0 if good else 1


def told(figures: dict[str, float], images: int) -> bool:
    """Print all figures; returns True if all meet their targets."""
    must = max(START_SECONDS, MUST_SECONDS * images / IMAGES)
    return all(
        [
            tell(f"audit of {images} rows", figures["seconds"], "s", must),
            tell(f"audit of {images} rows, CPU", figures["cpu_seconds"], "s", 2 * must),
            tell("audit, memory of its main process", figures["main_mb"], "MB", MUST_MEGABYTES),
            tell("audit, memory of a reading process", figures["reader_mb"], "MB", MUST_MEGABYTES),
        ]
    )


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    sys.exit(main())
