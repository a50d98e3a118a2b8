"""How much is let in at once: uploads, and their bytes; more than that is told to come back."""

import time
from types import TracebackType
from typing import Self

from processors.errors import Overloaded
from serve_app.shares import Holder, Shares

# A body that takes longer keeps no place of the sandbox: slow clients must not shut others out.
_PATIENCE_SECONDS = 0.1


class Admission:
    """Counts what is under way in this process; memory stays bounded whatever clients do."""

    def __init__(self, max_uploads: int, max_bytes: int) -> None:
        self._uploads = Shares(max_uploads)
        self._bytes = Shares(max_bytes)
        # By the moment until when they are, the oldest first.
        self._expected: dict[Lease, float] = {}

    @property
    def uploads(self) -> int:
        """Uploads under way."""
        return self._uploads.held

    @property
    def bytes(self) -> int:
        """Bytes of all uploads under way that have arrived."""
        return self._bytes.held

    @property
    def expected(self) -> int:
        """Uploads that were let in just now and will want a place when their bodies are here."""
        now = time.monotonic()
        for lease in [each for each, until in self._expected.items() if until <= now]:
            del self._expected[lease]
        return len(self._expected)

    def enter(self, tenant: str, key: str) -> "Lease":
        """A place for one upload of that tenant by that key; raises Overloaded."""
        holder = (tenant, key)
        if full := self._uploads.room(holder, 1):
            raise Overloaded("too many uploads are under way", limit=full[0], value=full[1])
        self._uploads.add(holder, 1)
        return Lease(self, holder)

    def take(self, holder: Holder, count: int) -> None:
        """Room for so many bytes more; raises Overloaded."""
        if full := self._bytes.room(holder, count):
            raise Overloaded("too many bytes are under way", limit=full[0], value=full[1])
        self._bytes.add(holder, count)

    def leave(self, holder: Holder, count: int) -> None:
        """Give one place and so many bytes back."""
        self._uploads.add(holder, -1)
        self._bytes.add(holder, -count)

    def expect(self, lease: "Lease") -> None:
        """Count an upload as `expected`, for a moment."""
        self._expected[lease] = time.monotonic() + _PATIENCE_SECONDS

    def arrived(self, lease: "Lease") -> None:
        """Do not expect it any more; it need not be expected."""
        self._expected.pop(lease, None)


class Lease:
    """The place of one upload and its bytes; a context manager that gives both back."""

    def __init__(self, admission: Admission, holder: Holder) -> None:
        self._admission = admission
        self._holder = holder
        self._bytes = 0
        self._open = True
        self.spills = False
        """whether another node has said that it will take it"""

    def hold(self, total: int) -> None:
        """Make room for `total` bytes of this upload; raises Overloaded."""
        if total > self._bytes:
            self._admission.take(self._holder, total - self._bytes)
            self._bytes = total

    def expect(self) -> None:
        """Keep a place of the sandbox for it, if its body comes soon."""
        self._admission.expect(self)

    def arrived(self) -> None:
        """Its body is here: it takes its place now, or is refused."""
        self._admission.arrived(self)

    def release(self) -> None:
        """Give everything back; once is enough, twice does no harm."""
        if self._open:
            self._open = False
            self.arrived()
            self._admission.leave(self._holder, self._bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
