"""The preset of messages that name none: there before the first of them is read."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from processors.errors import InvalidPreset, UnknownPreset
from processors.preset import PresetName, find_builtin

_log = logging.getLogger(__name__)

_ASK_AGAIN_SECONDS = 1.0

Check = Callable[[PresetName], Awaitable[None]]
"""Asks the workers; raises UnknownPreset or InvalidPreset. Whatever else it raises is passing."""


async def until_known(name: PresetName, check: Check) -> None:
    """Return when images can be made by that preset.

    Raises UnknownPreset, InvalidPreset: each message would be a dead letter. Workers, or a store,
    that are not there yet are waited for.
    """
    while not await _is_known(name, check):  # noqa: ASYNC110  # nobody would set an event
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def _is_known(name: PresetName, check: Check) -> bool:
    if find_builtin(name) is not None:
        return True
    try:
        await check(name)
    except (UnknownPreset, InvalidPreset):
        raise
    except Exception as error:  # noqa: BLE001  # workers or their store are not there yet
        _log.warning("the default preset can't be looked up yet: %r", error)
        return False
    return True
