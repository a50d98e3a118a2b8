"""Store of the rate limits in Valkey or Redis, on the connections of this process."""

from typing import cast

from throttled.asyncio import RedisStore, RedisStoreBackend
from throttled.types import AsyncRedisClientP

from serve_app.cache.connection import CacheConnection


class _Backend(RedisStoreBackend):
    def __init__(self, cache: CacheConnection) -> None:
        super().__init__()
        self._cache = cache

    def get_client(self) -> AsyncRedisClientP:
        # The protocol of throttled-py has narrower types than the client of redis-py.
        return cast("AsyncRedisClientP", self._cache.client)


class SharedStore(RedisStore):
    """Store of throttled-py that uses the given connections instead of making its own."""

    def __init__(self, cache: CacheConnection) -> None:
        super().__init__()
        self._backend = _Backend(cache)
