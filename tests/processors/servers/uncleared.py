"""Fork server whose C library does not clear memory, as on a system without glibc."""

from processors.sandbox import fork_server
from processors.sandbox.decoder_main import DecoderMain
from processors.sandbox.protocol import Protections


class Uncleared(DecoderMain):
    """Child that reports memory which is not cleared."""

    def lock_down(self) -> Protections:
        """Lock down; the report says that memory is not cleared."""
        return {**super().lock_down(), "memory_cleared": False}


if __name__ == "__main__":
    fork_server.main(Uncleared)
