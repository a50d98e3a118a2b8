import pytest

from ingest.default_preset import until_known
from processors.errors import InvalidPreset, UnknownPreset
from processors.preset import PresetName

SHOP = PresetName("shop", 2)


class Workers:
    """Workers that give one answer for each call: None accepts the preset, an error is raised."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[PresetName] = []

    async def check(self, name: PresetName) -> None:
        self.asked.append(name)
        if (answer := self.answers.pop(0)) is not None:
            raise answer


@pytest.mark.parametrize("fault", [UnknownPreset("none"), InvalidPreset("broken")])
async def test_a_default_that_is_none_is_a_fault(fault: Exception) -> None:
    with pytest.raises(type(fault)):
        await until_known(SHOP, Workers(fault).check)


async def test_workers_that_are_not_there_yet_are_asked_again() -> None:
    workers = Workers(RuntimeError("no replica"), TimeoutError(), None)
    await until_known(SHOP, workers.check, again_seconds=0)
    assert workers.asked == [SHOP] * 3


async def test_nobody_is_asked_about_a_built_in_preset() -> None:
    workers = Workers()
    await until_known(PresetName("web"), workers.check)
    assert workers.asked == []
