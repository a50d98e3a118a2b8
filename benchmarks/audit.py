"""How long an audit takes, and in how much memory: `python -m benchmarks.audit [IMAGES] [FOLDER]`.

Writes IMAGES records (a million, unless said otherwise), each with an original and a rendition of
few bytes, and their rows, straight into a folder; then audits it as `pixlake audit` does.
"""

import asyncio
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

from lake import layout
from lake.audit import Audit, AuditReport
from lake.lake import Lake
from lake.rows import encode_chain_file, to_table
from lake.schema import ImageRecord, StoredRendition
from lake.settings import LakeSettings

IMAGES = 1_000_000
MUST_SECONDS = 180.0
_TENANT = "bench"
_HOMES = 1000
_PIXELS = b"pixels"


def make_home(root: Path, home: datetime, first: int, count: int) -> None:
    """Records, objects and the sealed file of one home."""
    records = [_record(home, n) for n in range(first, first + count)]
    for record in records:
        folder = root / layout.image_prefix(record.tenant, record.image_id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(record.model_dump_json())
        (root / record.original_key).write_bytes(_PIXELS)
        (root / record.renditions[0].key).write_bytes(_PIXELS)
    file = root / layout.chain_key(home, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encode_chain_file(to_table(records)))


def _record(home: datetime, n: int) -> ImageRecord:
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
        door="api",
        attempt=attempt,
        home=home,
        content_hash=hashlib.sha256(image_id.encode()).hexdigest(),
        received_at=home + timedelta(seconds=n % 60),
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
    """A sound lake of so many images, in homes of the last day."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=23)
    each = max(1, images // _HOMES)
    shares = [
        (root, start + timedelta(minutes=k), first, min(each, images - first))
        for k, first in enumerate(range(0, images, each))
    ]
    with get_context("spawn").Pool() as pool:
        pool.starmap(make_home, shares)


async def audit(settings: LakeSettings) -> AuditReport:
    """As the command does."""
    lake = await Lake.open(settings)
    return await Audit(lake.store, lake.clock, settings).run()


def tell(name: str, value: float, unit: str, must: float) -> None:
    """One measured figure."""
    line = {"name": name, "value": round(value, 1), "unit": unit, "must": must, "aim": must}
    print(json.dumps(line | {"ok": value <= must}), flush=True)


def main() -> None:
    """Make, audit, tell, remove."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.gettempdir())
    root = Path(tempfile.mkdtemp(prefix="pixlake-bench-", dir=folder))
    try:
        make(root / "store", images)
        settings = LakeSettings(store_url=(root / "store").as_uri())
        began, cpu = time.monotonic(), _cpu()
        report = asyncio.run(audit(settings))
        seconds = time.monotonic() - began
        assert report.ok, report.counts
        assert report.seen.images == report.rows.rows == images
        scale = images / IMAGES
        tell(f"audit of {images} rows", seconds, "s", MUST_SECONDS * scale)
        tell(f"audit of {images} rows, CPU", _cpu() - cpu, "s", 2 * MUST_SECONDS * scale)
        kilobytes = max(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        tell("audit, memory of the largest process", kilobytes / 1000, "MB", 512)
    finally:
        shutil.rmtree(root)


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
