"""Times of the protocol, with the relations between them that the proofs need.

A value may be changed here if all relations hold: `ProtocolTimes` refuses other values. Components
read the times from their clock (`StoreClock.times`). docs/lake.md has the same table.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_MINUTE, _SECOND = timedelta(minutes=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolTimes:
    """Times that several processes rely on; raises ValueError if they break a relation."""

    # Requests and clocks.
    signature: timedelta = 15 * _MINUTE
    """Longest time from the signature of a request to its effect. Amazon S3 refuses older ones."""
    request: timedelta = 30 * _SECOND
    """Time-out of one request to the store. It is not retried afterwards."""
    delete_signature: timedelta = 3 * _MINUTE
    """Longest time from the signature of the DELETE of a sweeper's marker to its effect. The store
    refuses an older one. A machine whose clock is behind by more can't sweep."""
    request_retries: timedelta = 15 * _SECOND
    """Time in which the store's client retries errors and resets of a request."""
    clock_difference: timedelta = 2 * _MINUTE
    """Largest difference between the clocks of two processes. S3 answers in whole seconds, and a
    reading that took longer than one request is not used; the simulation has 110 s."""
    clock_fresh: timedelta = 5 * _MINUTE
    """Age from which clock and settings are read again. Servers drift by some 50 ppm: 15 ms."""
    clock_usable: timedelta = _HOUR
    """Age up to which a reading is used while the store can't be read."""
    clocks_apart: timedelta = 5 * _SECOND
    """Time by which the wall clock and a clock that is never set run apart only if the machine was
    paused or the wall clock was set: then the store's clock is read before anything else."""
    machine_ahead: timedelta = 3 * _MINUTE
    """Largest time by which the clock of a machine may be ahead of the store's. Its signatures hold
    longer by that time; Amazon S3 alone would accept 15 minutes."""

    # Attempts of writers.
    attempt: timedelta = 10 * _MINUTE
    """Time in which an attempt may send PUTs. It is enough for the largest image."""
    attempt_over: timedelta = 30 * _MINUTE
    """Age from which an object can't belong to an attempt that still commits."""
    orphan_age: timedelta = _DAY
    """Age from which the sweeper deletes an object that no record names. No user waits for it."""
    probe_age: timedelta = _HOUR
    """Age from which the sweeper deletes an object of a start-up probe."""

    # Erasure.
    tombstone_age: timedelta = _HOUR
    """Time for which a tombstone stays in the journal, and the erasure is repeated."""
    tombstone_pause: timedelta = 10 * _MINUTE
    """Pause until a sealer reads a tombstone or an unreadable journal object again."""

    # Expiry.
    expiry_margin: timedelta = 2 * _MINUTE
    """Time from the expiry of an image to the reuse of its name by a writer."""
    marker_age: timedelta = 30 * _SECOND
    """Time by which a sweeper's marker is expired when it is written."""
    marker_hold: timedelta = 9 * _MINUTE
    """Time for which a sweeper's marker holds its name: a writer answers `image_expiring`."""
    marker_use: timedelta = 10 * _SECOND
    """Age of a marker up to which the sweeper may send its DELETE."""
    shortest_sweep_margin: timedelta = 15 * _MINUTE
    """Least time from the expiry of an image to its deletion by the sweeper."""
    sweep_interval: timedelta = _HOUR
    """Pause between two sweeps. The audit calls a deletion late after two."""
    time_jump: timedelta = _DAY
    """Time since the last sweep from which a sweeper does not believe the store's clock."""
    message_margin: timedelta = _HOUR
    """Time before the end of its retention from which a Kafka message is expired. It leaves 30
    minutes for producers whose clocks are ahead."""
    lifecycle: timedelta = 2 * _DAY
    """Longest delay of S3's lifecycle rules: they round up to midnight UTC, then take a while."""

    # Sealing and compaction.
    seal_pass: timedelta = _MINUTE
    """Time after which a pass of a sealer starts no further window, so that new ones come first."""
    seal_window: timedelta = 2 * _MINUTE
    """Longest time for one window in a pass; batches that are sealed stay sealed."""
    seal_late: timedelta = 5 * _MINUTE
    """Time in which a busy sealer seals a closed window; the audit calls later rows late."""
    window_stuck: timedelta = 30 * _MINUTE
    """Time of failures after which neither compaction nor the watermark waits for a window."""
    seal_stuck: timedelta = 10 * _MINUTE
    """Time without a finished pass after which Ray replaces the sealer."""
    hour_settled: timedelta = 5 * _MINUTE
    """Time from the end of an hour to its compaction. It spares most late rows a second copy."""
    compaction_pass: timedelta = _MINUTE
    """Time after which a pass of a compactor starts no further hour."""
    compaction_retry: timedelta = _MINUTE
    """Pause until a failed hour is compacted again."""
    compaction_round: timedelta = _HOUR
    """Pause until all hours are compared again. The audit calls a copy late after two."""
    permit: timedelta = 10 * _MINUTE
    """Time in which a PUT of rows starts after its permit, or after its records were read."""
    claim_age: timedelta = 30 * _MINUTE
    """Age from which a claim on hours, or a hold of sealing, has stopped all older PUTs."""
    hold: timedelta = 3 * _HOUR
    """Time after which a hold of sealing ends, also if the process of the cutover has died."""
    hold_renewed: timedelta = _HOUR
    """Age up to which a cutover that is started again continues an existing hold."""
    row_settled: timedelta = _HOUR
    """Age from which the audit requires the row of an image. The audit itself takes less."""

    # Settings of the store.
    change_delay: timedelta = 3 * _HOUR
    """Time from the change of a retention to its effect."""
    withdraw_before: timedelta = 80 * _MINUTE
    """Time before the effect of a change in which the change can't be withdrawn."""

    def __post_init__(self) -> None:
        """Raise ValueError with the consequence of each broken relation."""
        if broken := [str(relation) for relation in RELATIONS if not relation.holds(self)]:
            raise ValueError("\n".join(broken))


class Relation(NamedTuple):
    """Lower bound of a time: the sum of other times; `otherwise` says what breaks below it."""

    time: str
    bound: tuple[str, ...]
    otherwise: str

    def __str__(self) -> str:
        """Relation and consequence as one line."""
        return f"{self.time} >= {' + '.join(self.bound)}, otherwise {self.otherwise}"

    def holds(self, times: ProtocolTimes) -> bool:
        """True if the times keep this relation."""
        return bool(getattr(times, self.time) >= self.least(times))

    def least(self, times: ProtocolTimes) -> timedelta:
        """Shortest time that keeps this relation."""
        return sum((getattr(times, name) for name in self.bound), timedelta())


_LAST_PUT = ("attempt", "signature", "machine_ahead", "clock_difference")
_REQUEST = ("request", "request_retries")

RELATIONS = (
    Relation("attempt", _REQUEST, "one slow request ends the attempt, and no image is stored"),
    Relation("clock_usable", ("clock_fresh",), "writers stop between two readings of the clock"),
    Relation(
        "clock_difference",
        ("request", "clocks_apart"),
        "a slow reading of the clock, or an unnoticed pause, exceeds the bound",
    ),
    Relation(
        "attempt_over",
        _LAST_PUT,
        "an erasure deletes objects whose record arrives later, and an image has lost its bytes",
    ),
    Relation(
        "orphan_age",
        _LAST_PUT,
        "a sweeper deletes objects whose record arrives later, and an image has lost its bytes",
    ),
    Relation("probe_age", _REQUEST, "a sweeper deletes a probe in use, and a process can't start"),
    Relation(
        "tombstone_age",
        (*_LAST_PUT, "attempt_over"),
        "a late object is too young when the erasure is repeated for the last time, and stays",
    ),
    Relation(
        "tombstone_age",
        ("permit", "signature", "machine_ahead", "clock_difference"),
        "a builder writes the row of an erased image to a shadow lake after the erasure was "
        "repeated for the last time, and the row stays",
    ),
    Relation(
        "expiry_margin",
        ("clock_difference",),
        "a writer whose clock is ahead replaces an image that other processes still show",
    ),
    Relation(
        "marker_hold",
        ("marker_use", "delete_signature", "machine_ahead", "clock_difference"),
        "a sweeper's DELETE arrives after a writer has reused the name, and deletes its record",
    ),
    Relation(
        "shortest_sweep_margin",
        ("marker_age", "marker_hold", "clock_difference"),
        "a sweeper frees a name while the DELETE of an earlier sweeper is under way",
    ),
    Relation(
        "shortest_sweep_margin",
        ("clock_difference",),
        "a sweeper whose clock is ahead deletes an image that other processes still show",
    ),
    Relation(
        "message_margin",
        _LAST_PUT,
        "the record of a message that is read again arrives after the tombstone of its image has "
        "expired, and an erased image comes back",
    ),
    Relation(
        "claim_age",
        ("permit", "signature", "machine_ahead", "clock_difference"),
        "the watermark passes an hour while a segment with a late row is on its way, and readers "
        "lose the row",
    ),
    Relation(
        "hour_settled",
        ("clock_difference",),
        "a compactor copies an hour that has not ended by the clock of a sealer, which does not "
        "update the copy",
    ),
    Relation(
        "hold",
        ("hold_renewed", "claim_age", "claim_age"),
        "a renewed hold ends before the cutover may write",
    ),
    Relation(
        "withdraw_before",
        ("clock_usable", "attempt", "clock_difference"),
        "a change is withdrawn while a process applies it, and two processes disagree on which "
        "images have expired",
    ),
    Relation(
        "change_delay",
        ("withdraw_before",),
        "a change takes effect while a process uses older settings, and two processes disagree on "
        "which images have expired",
    ),
    Relation(
        "row_settled",
        _LAST_PUT,
        "the audit reports images whose record arrived late, and whose row is still to be written",
    ),
    Relation(
        "seal_late",
        ("seal_pass", "seal_window"),
        "the audit reports rows that a busy sealer is about to seal",
    ),
    Relation(
        "seal_stuck",
        ("seal_pass", "seal_window", "compaction_pass") * 2,
        "a sealer with much work in both tables is replaced before it has finished a pass",
    ),
)
"""Relations that the proofs need. Each bound is a sum; a time may be longer."""

TIMES = ProtocolTimes()
"""Times of the service."""
