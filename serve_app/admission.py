"""How much is let in at once: uploads, and their bytes; more than that is told to come back."""

from types import TracebackType
from typing import Self

from processors.errors import Overloaded


class Admission:
    """Counts what is under way in this process; memory stays bounded whatever clients do."""

    def __init__(self, max_uploads: int, max_bytes: int) -> None:
        self._max_uploads = max_uploads
        self._max_bytes = max_bytes
        self.uploads = 0
        self.bytes = 0

    def enter(self) -> "Lease":
        """A place for one upload; raises Overloaded."""
        if self.uploads >= self._max_uploads:
            raise Overloaded(
                "too many uploads are under way", limit=self._max_uploads, value=self.uploads + 1
            )
        self.uploads += 1
        return Lease(self)

    def take(self, count: int) -> None:
        """Room for so many bytes more; raises Overloaded."""
        if self.bytes + count > self._max_bytes:
            raise Overloaded(
                "too many bytes are under way", limit=self._max_bytes, value=self.bytes + count
            )
        self.bytes += count


class Lease:
    """The place of one upload and its bytes; a context manager that gives both back."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._bytes = 0
        self._open = True

    def hold(self, total: int) -> None:
        """Make room for `total` bytes of this upload; raises Overloaded."""
        if total > self._bytes:
            self._admission.take(total - self._bytes)
            self._bytes = total

    def release(self) -> None:
        """Give everything back; once is enough, twice does no harm."""
        if self._open:
            self._open = False
            self._admission.uploads -= 1
            self._admission.bytes -= self._bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
