"""Waits of the consumer between its tries."""

from dataclasses import dataclass

from tenacity import AsyncRetrying, retry_if_result, wait_exponential, wait_random_exponential


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds between tries; a wait for store or workers doubles up to the longest."""

    first: float = 0.2
    """wait before the first repetition"""
    longest: float = 10.0
    """longest wait; it protects a store or a cluster that has just restarted"""
    shortage: float = 1.0
    """wait before a message is parsed again after a shortage of memory"""

    def repeated(self) -> AsyncRetrying:
        """Repeat while the result is true; the waits have jitter of their upper half."""
        first, longest = self.first / 2, self.longest / 2
        fixed = wait_exponential(multiplier=first, max=longest)
        random = wait_random_exponential(multiplier=first, max=longest)
        return AsyncRetrying(retry=retry_if_result(bool), wait=fixed + random)


WAITS = Waits()
