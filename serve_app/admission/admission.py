"""Admission control of this node: limits of uploads, of their bytes, and of the sandbox.

An upload that finds no place in the sandbox is refused before its body is read: to read the body
first costs a millisecond, and delays the refusals of the requests behind it.
"""

import time
from collections.abc import Callable
from typing import Self

from processors.errors import Overloaded
from processors.sandbox.sandbox import Sandbox
from processors.shares import Holder, Shares


class Admission:
    """Counter of uploads and bytes in this process; bounds the memory of the process."""

    def __init__(
        self, max_uploads: int, max_bytes: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._uploads = Shares(max_uploads, now)
        self._bytes = Shares(max_bytes, now)
        self.patience_seconds = 0.1
        """Reservation time of a place in the sandbox; short, so that slow clients do not block
        others."""
        # Lease to expiry time, oldest first.
        self._expected: dict[Lease, float] = {}

    @property
    def uploads(self) -> int:
        """Number of admitted uploads."""
        return self._uploads.held

    @property
    def bytes(self) -> int:
        """Received bytes of all admitted uploads."""
        return self._bytes.held

    @property
    def expected(self) -> int:
        """Number of recently admitted uploads that will need a place in the sandbox soon."""
        now = time.monotonic()
        for lease in [each for each, until in self._expected.items() if until <= now]:
            del self._expected[lease]
        return len(self._expected)

    def enter(self, tenant: str, key: str) -> "Lease":
        """Admit an upload of a tenant and an API key; raises Overloaded."""
        holder = (tenant, key)
        if full := self._uploads.room(holder, 1):
            raise Overloaded("too many uploads at once", limit=full[0], value=full[1])
        self._uploads.add(holder, 1)
        return Lease(self, holder)

    def take(self, holder: Holder, count: int) -> None:
        """Count `count` more received bytes; raises Overloaded."""
        if full := self._bytes.room(holder, count):
            raise Overloaded("too many bytes of uploads at once", limit=full[0], value=full[1])
        self._bytes.add(holder, count)

    def leave(self, holder: Holder, count: int) -> None:
        """Release one upload and its `count` bytes."""
        self._uploads.add(holder, -1)
        self._bytes.add(holder, -count)

    def expect(self, lease: "Lease", sandbox: Sandbox) -> None:
        """Count an upload as `expected` for a short time; raises Overloaded.

        This is a forecast. `Sandbox.submit` decides once the body is complete.
        """
        limit, used = sandbox.capacity, sandbox.load + self.expected
        full = (limit, used) if used >= limit else sandbox.beyond_share(lease.holder)
        # A sandbox without a child process raises a more exact error later.
        if full and sandbox.ready:
            limit, used = full
            raise Overloaded(
                f"{used} images are expected, waiting or being processed, the limit is {limit}",
                limit=limit,
                value=used,
            )
        self._expected[lease] = time.monotonic() + self.patience_seconds

    def arrived(self, lease: "Lease") -> None:
        """Stop counting an upload as `expected`; no effect if it is not counted."""
        self._expected.pop(lease, None)


class Lease:
    """Admission of one upload and its bytes; as a context manager it releases both."""

    def __init__(self, admission: Admission, holder: Holder) -> None:
        self._admission = admission
        self.holder = holder
        """tenant and API key of the upload"""
        self._bytes = 0
        self._open = True

    def hold(self, total: int) -> None:
        """Count `total` received bytes for this upload; raises Overloaded."""
        if total > self._bytes:
            self._admission.take(self.holder, total - self._bytes)
            self._bytes = total

    def expect(self, sandbox: Sandbox) -> None:
        """Reserve a place in the sandbox for a short time; raises Overloaded."""
        self._admission.expect(self, sandbox)

    def arrived(self) -> None:
        """End the reservation: the body is complete and goes to the sandbox now."""
        self._admission.arrived(self)

    def release(self) -> None:
        """Release upload and bytes; further calls have no effect."""
        if self._open:
            self._open = False
            self.arrived()
            self._admission.leave(self.holder, self._bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
