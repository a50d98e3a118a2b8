"""Write the store of the current schema version: `python -m tests.lake.versions`.

Run it once for a new version; the folders of earlier versions stay as they are.
"""

import asyncio
import shutil
import sys

from lake.lake import Lake
from lake.settings import LakeSettings
from tests.lake.samples import TENANT, commit, image_id
from tests.lake.test_rejections import REFUSAL
from tests.lake.versions import CURRENT, HERE, fingerprint


async def write() -> None:
    """Write two sealed images, one of them being erased, one in the journal, and one rejection."""
    folder = HERE / CURRENT
    if folder.exists():
        sys.exit(f"version {CURRENT} is there already; raise SCHEMA_VERSION for another schema")
    lake = await Lake.open(LakeSettings(store_url=(folder / "store").as_uri()))
    await commit(lake, "sealed")
    await commit(lake, "to be erased")
    await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    await lake.eraser.erase(TENANT, image_id("to be erased"))
    await commit(lake, "waiting")
    (folder / "fingerprint").write_text(f"{fingerprint()}\n")
    shutil.rmtree(folder / "store.locks", ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(write())
