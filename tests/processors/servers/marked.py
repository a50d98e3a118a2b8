"""Fork server whose children process images, and report whether their memory holds the mark.

The report is in `icc_name`: "marked" if memory that the child can read or write holds the mark,
else "clean". The search replaces `judged`, which runs between an image and its answer.
"""

import os
from dataclasses import replace

from processors.job import Processed
from processors.sandbox import decoder_main, fork_server
from processors.sandbox.damage import judged
from processors.settings import Limits
from tests.processors.servers import probing


def with_marks(processed: Processed, warnings: bytes, limits: Limits, data: bytes) -> Processed:
    """Replacement of `judged` that searches memory first."""
    found = "marked" if probing._in_memory(probing.PLANTED) else "clean"
    processed = judged(processed, warnings, limits, data)
    details = replace(processed.facts.details, icc_name=found)
    return replace(processed, facts=replace(processed.facts, details=details))


if __name__ == "__main__":
    decoder_main.judged = with_marks  # type: ignore[attr-defined]
    decoder_main.lock_down = probing.lock_down_with_a_way_to_look
    probing.SHARED_TOO.append(os.fsencode("memfd:decoder-image"))
    fork_server.main()
