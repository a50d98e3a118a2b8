"""Fork server whose children process images, and report whether their memory holds the mark.

The report is in `icc_name`: "marked" if memory that the child can read or write holds the mark,
else "clean". The search runs between an image and its answer.
"""

import os
from dataclasses import replace

from processors.job import Processed
from processors.preset import Preset
from processors.sandbox import fork_server
from tests.processors.servers import probing


class Marked(probing.WithAWayToLook):
    """Child that searches its memory after each image."""

    def process(self, data: bytes, preset: Preset) -> Processed:
        """Process the image, and report the search in `icc_name`."""
        processed = super().process(data, preset)
        found = "marked" if probing.in_memory(probing.PLANTED) else "clean"
        details = replace(processed.facts.details, icc_name=found)
        return replace(processed, facts=replace(processed.facts, details=details))


if __name__ == "__main__":
    probing.SHARED_TOO.append(os.fsencode("memfd:decoder-image"))
    fork_server.main(Marked)
