"""Fork server whose children fill memory with the byte BYTE before each image.

The children's decoder leaves memory unwritten, see `tests.processors.canary.leak`. Without BYTE
memory is not filled.
"""

import os

from processors.job import Processed
from processors.preset import Preset
from processors.sandbox import fork_server
from processors.sandbox.decoder_main import DecoderMain
from tests.processors.canary import leak
from tests.processors.canary.pattern import fill

BYTE = "PIXLAKE_TEST_CANARY"


class Filled(DecoderMain):
    """Child that fills memory before each image."""

    def process(self, data: bytes, preset: Preset) -> Processed:
        """Fill memory, then process the image."""
        if byte := os.environ.get(BYTE):
            fill(int(byte))
        return super().process(data, preset)


if __name__ == "__main__":
    leak.install()
    fork_server.main(Filled)
