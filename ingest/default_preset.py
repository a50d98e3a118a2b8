"""Check of the default preset, before the first message is read."""

from collections.abc import Awaitable, Callable
from operator import not_

from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from lake.logs import logger
from processors.errors import InvalidPreset, UnknownPreset
from processors.preset import PresetName, find_builtin

log = logger(__name__)

Check = Callable[[PresetName], Awaitable[None]]
"""Asks the workers; raises UnknownPreset or InvalidPreset. Other errors are temporary."""


async def until_known(name: PresetName, check: Check, *, again_seconds: float = 1.0) -> None:
    """Wait until the workers confirm that the preset exists.

    Raises UnknownPreset, InvalidPreset, because every message would become a dead letter. Waits for
    workers and store if they are not available yet.
    """
    again = AsyncRetrying(retry=retry_if_result(not_), wait=wait_fixed(again_seconds))
    await again(_is_known, name, check)


async def _is_known(name: PresetName, check: Check) -> bool:
    if find_builtin(name) is not None:
        return True
    try:
        await check(name)
    except (UnknownPreset, InvalidPreset):
        raise
    except Exception as error:  # noqa: BLE001  # workers or store are not available yet
        log.warning("the default preset can't be looked up yet", error=error)
        return False
    return True
