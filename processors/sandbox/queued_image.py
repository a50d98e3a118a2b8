"""Queued or running image of the sandbox."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from lake.logs import bindings
from processors.codecs.formats import Format
from processors.job import Processed
from processors.preset import Preset
from processors.shares import Holder


@dataclass(frozen=True, slots=True, eq=False)
class QueuedImage:
    """Image in the queue, with the future of its result."""

    sender: Holder
    data: memoryview
    preset: Preset
    found: Format
    answer: asyncio.Future[Processed]
    since: float
    """monotonic time at which the image came"""
    names: Mapping[str, object] = field(default_factory=bindings)
    """fields of the caller's log lines; the sandbox logs in tasks of its own"""

    @property
    def tenant(self) -> str:
        """Tenant of the sender."""
        return self.sender[0]

    def settle(self, result: Processed | Exception) -> None:
        """Give the caller the result, if the caller still waits."""
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)
