"""Sizes that bound what one sealer reads and remembers, and the files of its compactor."""

from dataclasses import dataclass

from lake.commit.journal_reading import WAVE_BYTES


@dataclass(frozen=True, slots=True)
class SealerSizes:
    """Bounds of a sealer's memory and requests; tests inject small ones."""

    page: int = 10_000
    """names of journal objects in one listing: 10 requests, 4 MB"""
    large_bytes: int = 2**20
    """stored bytes from which the journal of a window counts as large"""
    wave_bytes: int = WAVE_BYTES
    """stored bytes of journal objects that are read at once"""
    batch_bytes: int = 40 * 2**20
    """bytes of rows in memory, for the one large window at a time: 47,000 rows of 900 bytes.
    Sealing them takes some 150 MB more. With 64 MB, a process on two allocators grew beyond 512 MB.
    """
    known_bytes: int = 64 * 2**20
    """memory for 4 million ids: those of the last hour at 1,100 images a second"""
    whole_bytes: int = 2**20
    """size of a segment up to which one GET of all costs less than two GETs of pieces"""
    tail_bytes: int = 2**17
    """last bytes of a larger segment; enough for the metadata of a few row groups"""
    compacted_bytes: int = 128 * 2**20
    """bytes of segments in one compacted file: large enough that a scan makes few requests, small
    enough for one PUT and one task of a query"""


SIZES = SealerSizes()
