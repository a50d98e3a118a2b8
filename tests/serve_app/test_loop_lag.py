import asyncio
import time

import pytest

from serve_app.health import LoopLag
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_blocks_the_loop_shows() -> None:
    lag = LoopLag()
    assert lag.p99_ms == 0
    watching = asyncio.create_task(lag.watch())
    try:
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251  this is what it is to find
        await until(lambda: lag.p99_ms > 200)
    finally:
        watching.cancel()
