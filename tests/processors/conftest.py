import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from processors.job import Processed
from processors.preset import Preset
from processors.sandbox.fork_server_client import DEFAULT_OPTIONS, ForkServerOptions
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.processors.sandboxes import Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start function for sandboxes; all of them are closed at the end of the test."""
    opened: list[Sandbox] = []

    async def starting(
        options: ForkServerOptions = DEFAULT_OPTIONS, /, **settings: object
    ) -> Sandbox:
        chosen = ProcessorSettings.model_validate({"sandbox_children": 1, **settings})
        opened.append(await Sandbox.start(chosen, options))
        return opened[-1]

    yield starting
    for each in opened:
        await each.close()


@pytest.fixture(scope="module")
def sandboxed() -> Iterator[Callable[[bytes, Preset], Processed]]:
    """Function that processes an image in a sandbox with one child; the module shares it."""
    with asyncio.Runner() as runner:
        sandbox = runner.run(Sandbox.start(ProcessorSettings(sandbox_children=1)))
        yield lambda data, preset: runner.run(sandbox.process(data, preset))
        runner.run(sandbox.close())
