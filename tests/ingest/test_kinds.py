"""Every kind of file has the same result by Kafka as by HTTP."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ingest.messages import FILENAME, PRESET
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.tables.schema import ImageRecord
from processors.job import ImageJob
from processors.preset import Preset, RenditionSpec
from processors.preset_check import try_out
from processors.preset_registry import as_json
from processors.replica_answers import Answer, answers
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import Accounts
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.health import Part, Readiness
from serve_app.settings import ServeSettings
from tests.ingest.conftest import Stage
from tests.ingest.doubles import running
from tests.ingest.wire import Sent
from tests.serve_app.site import client_of
from tests.suites.kinds import KINDS, Kind

EXACT = Preset(
    name="exact",
    version=1,
    renditions=(RenditionSpec(name="exact", format="png", alpha_format="png"),),
)
FACTS = ("format", "width", "height", "frames", "has_alpha", "color_space", "bit_depth", "damaged")


@dataclass
class Doors:
    """The Kafka ingest and the HTTP API, on one lake and one worker."""

    lake: Lake
    worker: Worker
    stage: Stage
    home: Path

    async def by_kafka(self) -> dict[str, ImageRecord | str]:
        """Send all kinds by Kafka; return each kind's record, or the code of its dead letter."""

        async def submit(jobs: list[ImageJob]) -> list[Answer]:
            return answers(await self.worker.handle_many(jobs))

        await self.stage.send(*(Sent(each.data, headers=_headers(each)) for each in KINDS))
        async with running(self.stage.settings(), submit, self.lake.rejections.settle):
            await self.stage.until_committed(len(KINDS))
        letters = await self.stage.dead_letters(sum(each.code is not None for each in KINDS))
        page = await self.lake.reader.page("default", 100, None)
        records = {each.filename or "": each for each in page.records}
        codes = {
            (each.headers[FILENAME] or b"").decode(): (
                each.headers["pixlake-dead-letter-code"] or b""
            ).decode()
            for each in letters
        }
        return {**records, **codes}

    async def by_http(self) -> dict[str, ImageRecord | str]:
        """Upload all kinds by HTTP; return each kind's record, or the code of its refusal."""
        accounts = Accounts.open(f"sqlite:///{self.home / 'accounts.sqlite'}")
        key = accounts.create_key("acme", ["images:read", "images:write"], "test").text
        settings = ServeSettings(home=self.home)
        app = make_app(
            self.lake, self.worker, KeyRing.of(accounts, settings), settings, _everything_is_ready
        )
        found: dict[str, ImageRecord | str] = {}
        async with client_of(app, {"Authorization": f"Bearer {key}"}) as client:
            for each in KINDS:
                url = "/v1/images?preset=exact@1"
                answer = (await client.post(url, content=each.data)).json()
                found[each.name] = answer.get("code") or await self.lake.reader.record(
                    "acme", answer["image_id"]
                )
        accounts.close()
        return found

    async def png(self, record: ImageRecord) -> bytes:
        data, _ = await self.lake.store.get(record.renditions[0].key)
        return bytes(data)


async def _everything_is_ready() -> Readiness:
    return Readiness(parts={"api": Part(ready=True)})


def _headers(kind: Kind) -> list[tuple[str, bytes | None]]:
    return [(PRESET, b"exact@1"), (FILENAME, kind.name.encode())]


@pytest.fixture
async def doors(stage: Stage, tmp_path: Path) -> AsyncIterator[Doors]:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=2))
    await worker.presets.put(
        "exact", as_json(EXACT).encode(), "test", partial(try_out, worker.sandbox)
    )
    yield Doors(lake, worker, stage, tmp_path)
    await worker.close()


async def test_every_kind_is_the_same_by_both_doors(doors: Doors) -> None:
    kafka, http = await doors.by_kafka(), await doors.by_http()
    names = {each.name for each in KINDS}
    assert (set(kafka), set(http)) == (names, names)
    wrong = []
    for kind in KINDS:
        for door, found in (("kafka", kafka[kind.name]), ("http", http[kind.name])):
            if isinstance(found, str):
                said = None if found == kind.code else f"refused: {found}"
            else:
                said = _wrong(kind, found, await doors.png(found))
            wrong += [f"{kind.name} by {door}: {said}"] if said else []
        if isinstance(one := kafka[kind.name], ImageRecord):
            other = http[kind.name]
            assert isinstance(other, ImageRecord)
            assert [getattr(one, each) for each in FACTS] == [
                getattr(other, each) for each in FACTS
            ]
            assert await doors.png(one) == await doors.png(other)
    assert wrong == []


def _wrong(kind: Kind, record: ImageRecord, data: bytes) -> str | None:
    """First difference of a record, or of its PNG, from the expected values; None if equal."""
    if kind.code:
        return f"taken, not {kind.code}"
    for name, right in kind.facts.items():
        if getattr(record, name) != right:
            return f"{name} is {getattr(record, name)}, not {right}"
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"), np.int16)
    for (x, y), pixel in kind.pixels.items():
        shown = image[y, x]
        # The colour of a transparent pixel does not matter.
        seen = slice(3, 4) if pixel[3] == 0 else slice(0, 4)
        if np.abs(shown[seen] - np.array(pixel)[seen]).max() > kind.tolerance:
            return f"({x}, {y}) is {shown.tolist()}, not {pixel}"
    return None
