"""Fork server whose children misbehave after their first image, in the way that ORDER names.

`lie`: the child refuses each further image. `short`: each further image finds no memory. `crash`:
the second image ends the child. `burn`: the child goes on working after its answer. `keep`: the
child holds memory that it no longer needs.
"""

import ctypes
import os

from processors.errors import DecoderMemory, NotAnImage
from processors.job import Processed
from processors.preset import Preset
from processors.sandbox import fork_server
from processors.sandbox.decoder_main import DecoderMain

ORDER = "PIXLAKE_TEST_ADRIFT"
KEPT_BYTES = 400_000_000

_kept: list[bytes] = []
_served: list[int] = []


class Adrift(DecoderMain):
    """Child that follows ORDER."""

    def process(self, data: bytes, preset: Preset) -> Processed:
        """Process the image, or misbehave."""
        order = os.environ[ORDER]
        _served.append(len(data))
        if len(_served) > 1 and order == "lie":
            raise NotAnImage("so says a child that is not itself any more")
        if len(_served) > 1 and order == "short":
            raise DecoderMemory("what came before has taken it")
        if len(_served) > 1 and order == "crash":
            ctypes.string_at(0)
        if order == "keep":
            _kept.append(b"k" * KEPT_BYTES)
        return super().process(data, preset)

    def send(self, processed: Processed, nonce: str) -> None:
        """Send the result; never returns if ORDER is `burn`."""
        super().send(processed, nonce)
        while os.environ[ORDER] == "burn":
            pass


if __name__ == "__main__":
    fork_server.main(Adrift)
