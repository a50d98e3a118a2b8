"""Fork server whose children fill memory with the byte BYTE before each image.

The children's decoder leaves memory unwritten, see `tests.processors.canary.leak`. Without BYTE
memory is not filled.
"""

import os

from processors import pipeline
from processors.job import Processed
from processors.preset import Preset
from processors.sandbox import decoder_main, fork_server
from processors.settings import Limits
from tests.processors.canary import leak
from tests.processors.canary.pattern import fill

BYTE = "PIXLAKE_TEST_CANARY"


def after_a_fill(data: bytes, preset: Preset, limits: Limits) -> Processed:
    """Replacement of `process` that fills memory first."""
    if byte := os.environ.get(BYTE):
        fill(int(byte))
    return pipeline.process(data, preset, limits)


if __name__ == "__main__":
    decoder_main.process = after_a_fill  # type: ignore[attr-defined]
    leak.install()
    fork_server.main()
