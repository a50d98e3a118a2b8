from collections.abc import AsyncIterator

import pytest

from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.processors.sandboxes import Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts sandboxes that are closed at the end of the test."""
    opened: list[Sandbox] = []

    async def starting(**settings: float) -> Sandbox:
        chosen: dict[str, object] = {"sandbox_children": 1, **settings}
        opened.append(await Sandbox.start(ProcessorSettings.model_validate(chosen)))
        return opened[-1]

    yield starting
    for each in opened:
        await each.close()
