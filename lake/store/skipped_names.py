"""Names that listings and passes skip, because they can't be names of Pixlake's objects."""

from lake.logs import logger

log = logger(__name__)

# Largest number of remembered names: enough to find the cause, and bounded memory.
_MAX_NAMES = 1000


class SkippedNames:
    """Names in the store that are left alone since the last sweep began; logs each name once."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._logged: set[str] = set()

    def __len__(self) -> int:
        """Count the names, up to 1000."""
        return len(self._names)

    def add(self, key: str) -> None:
        """Note a name; any thread may call this."""
        if len(self._names) < _MAX_NAMES:
            self._names.add(key)
        if key not in self._logged and len(self._logged) < _MAX_NAMES:
            self._logged.add(key)
            # `ascii` shows control characters and bytes that are not UTF-8.
            log.warning("name in the store is skipped", key=ascii(key))

    def clear(self) -> None:
        """Forget all names; a sweep calls this, because its listings find those that remain."""
        self._names.clear()
