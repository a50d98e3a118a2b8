"""Set-up of a world: virtual time and seeded randomness for the tested modules, cached parsing."""

import asyncio
import random
import types
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any
from unittest import mock

from pyarrow import parquet

from lake.commit.journal_objects import Decoded, decode_journals
from lake.tables.rows import decode_chain_file
from lake.tables.tables import Table
from tests.lake.simulation.loop import SimulatedLoop
from tests.lake.simulation.world import World


def _uuid(names: random.Random) -> uuid.UUID:
    return uuid.UUID(int=names.getrandbits(128))


_decode = lru_cache(256)(decode_journals)


def _decode_journals(objects: Sequence[tuple[str, bytes]], of: Table) -> Decoded:
    return _decode(tuple(objects), of)


_decode_columns = lru_cache(256)(decode_chain_file)


_Writer = parquet.ParquetWriter


def _uncompressed(*arguments: Any, **options: Any) -> parquet.ParquetWriter:
    return _Writer(*arguments, **{**options, "compression": "none", "compression_level": None})


@contextmanager
def simulated(seed: int) -> Iterator[World]:
    """A world whose modules take time and randomness from the seed."""
    loop = SimulatedLoop()
    loop.set_exception_handler(lambda *_: None)  # tasks of dead processes are never finished
    asyncio.set_event_loop(loop)
    names = random.Random(seed + 2)
    clock = types.SimpleNamespace(monotonic=loop.time)
    token = lambda n: f"{names.getrandbits(8 * n):0{2 * n}x}"  # noqa: E731
    try:
        with (
            mock.patch("lake.commit.records.secrets", types.SimpleNamespace(token_hex=token)),
            mock.patch("uuid.uuid4", partial(_uuid, names)),
            # Pure functions, cached: stories read the same bytes many times.
            mock.patch("lake.commit.journal_reading.decode_journals", _decode_journals),
            mock.patch("lake.seal.parquet_columns.decode_chain_file", _decode_columns),
            # A compressor for each column of a file costs a quarter of a story's time.
            mock.patch("pyarrow.parquet.ParquetWriter", _uncompressed),
            mock.patch("lake.seal.sealer.random", random.Random(seed + 3)),
            mock.patch("ingest.consumer.time", clock),
            mock.patch("ingest.stream.time", clock),
            mock.patch("tenacity.wait.random", random.Random(seed + 4)),
        ):
            yield World(seed, loop)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()
