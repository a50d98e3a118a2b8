"""No offset is committed while an earlier message is open, in any order of events."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.offsets import Offsets, Partition, TrackedOffset
from ingest.positions import Place

A, B = Partition("images", 0), Partition("images", 1)
PARTITIONS = st.sampled_from([A, B])


def opened(*offsets: int) -> tuple[Offsets, list[TrackedOffset]]:
    tracked = Offsets()
    tracked.assigned({A: None})
    return tracked, [tracked.taken(A, offset) for offset in offsets]


def test_only_the_durable_prefix_is_committed() -> None:
    tracked, (first, second, third) = opened(5, 6, 7)
    tracked.done(second)
    assert tracked.to_commit() == {}
    tracked.done(first)
    assert tracked.to_commit() == {A: 7}
    assert tracked.to_commit() == {}
    tracked.done(third)
    assert tracked.to_commit() == {A: 8}


def test_gaps_are_stepped_over() -> None:
    tracked, (first, second) = opened(5, 90)
    tracked.done(first)
    assert tracked.to_commit() == {A: 90}
    tracked.done(second)
    assert tracked.to_commit() == {A: 91}


def test_the_end_of_a_log_is_committed_once_all_before_it_is_durable() -> None:
    tracked, (first,) = opened(5)
    tracked.ended(A, 9)
    assert tracked.to_commit() == {}
    tracked.done(first)
    assert tracked.to_commit() == {A: 9}
    tracked.ended(A, 9)
    tracked.ended(A, 7)
    assert tracked.to_commit() == {}


def test_a_refused_commit_is_given_out_again() -> None:
    tracked, (first,) = opened(5)
    tracked.done(first)
    offsets = tracked.to_commit()
    tracked.refused(offsets)
    assert tracked.to_commit() == offsets == {A: 6}


def test_what_was_revoked_counts_no_more() -> None:
    tracked, (first,) = opened(5)
    tracked.revoked([A])
    assert first.dropped
    tracked.assigned({A: None})
    again = tracked.taken(A, 5)
    tracked.done(first)
    assert tracked.to_commit() == {}
    tracked.done(again)
    assert tracked.to_commit() == {A: 6}


def test_going_back_keeps_what_is_open_before_it() -> None:
    tracked, (first, second, third) = opened(5, 6, 7)
    tracked.done(second)
    tracked.done(third)
    again = tracked.taken(A, 6)
    assert (second.dropped, third.dropped) == (True, True)
    tracked.done(again)
    assert tracked.to_commit() == {}
    tracked.done(first)
    assert tracked.to_commit() == {A: 7}


def test_refusals_are_counted_in_the_order_of_offsets() -> None:
    tracked, messages = opened(5, 6, 7, 8)
    for message in messages:
        message.refused = message.offset != 6
    for message in reversed(messages[1:]):
        tracked.done(message)
    assert tracked.refused_in_a_row(A) == 0
    tracked.done(messages[0])
    assert (tracked.to_commit(), tracked.refused_in_a_row(A)) == ({A: 9}, 2)
    tracked.assigned({A: Place(9, refused=2)})
    again = tracked.taken(A, 9)
    assert again.refusals.in_a_row == 2
    again.refused = True
    tracked.done(again)
    assert tracked.refused_in_a_row(A) == 3
    tracked.rewound(A, 8)  # the log was truncated, so the messages before are others
    assert tracked.refused_in_a_row(A) == 0


class Machine(RuleBasedStateMachine):
    """Compares `Offsets` with a model that knows which messages are done since they were read."""

    def __init__(self) -> None:
        super().__init__()
        self.tracked = Offsets()
        # Messages that the present assignment read, by offset, and the offsets that are done.
        self.read: dict[Partition, dict[int, TrackedOffset]] = {}
        self.finished: dict[Partition, set[int]] = {}
        self.stale: list[TrackedOffset] = []
        self.next: dict[Partition, int] = {A: 0, B: 0}

    @rule(partition=PARTITIONS)
    def assign(self, partition: Partition) -> None:
        self.forget(partition)
        self.tracked.assigned({partition: None})
        self.read[partition], self.finished[partition] = {}, set()

    @rule(partition=PARTITIONS)
    def revoke(self, partition: Partition) -> None:
        self.forget(partition)
        self.tracked.revoked([partition])

    @rule(partition=PARTITIONS, gap=st.integers(0, 3))
    def take(self, partition: Partition, gap: int) -> None:
        if partition in self.read:
            offset = self.next[partition] + gap
            self.read[partition][offset] = self.tracked.taken(partition, offset)
            self.next[partition] = offset + 1

    @rule(partition=PARTITIONS, gap=st.integers(0, 3))
    def end(self, partition: Partition, gap: int) -> None:
        """The log ends after offsets without messages; an end that was passed counts no more."""
        self.tracked.ended(partition, self.next[partition] + gap)
        self.tracked.ended(partition, self.next[partition] - 1)
        if partition in self.read:
            self.next[partition] += gap

    @rule(partition=PARTITIONS, back=st.integers(1, 5))
    def go_back(self, partition: Partition, back: int) -> None:
        if self.read.get(partition):
            offset = max(0, self.next[partition] - back)
            for known in [o for o in self.read[partition] if o >= offset]:
                self.stale.append(self.read[partition].pop(known))
                self.finished[partition].discard(known)
            self.read[partition][offset] = self.tracked.taken(partition, offset)
            self.next[partition] = offset + 1

    @precondition(lambda self: any(self.read.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        pairs = [(p, o) for p, tracked_offsets in self.read.items() for o in tracked_offsets]
        partition, offset = data.draw(st.sampled_from(pairs))
        self.tracked.done(self.read[partition][offset])
        self.finished[partition].add(offset)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def finish_stale(self, data: st.DataObject) -> None:
        self.tracked.done(data.draw(st.sampled_from(self.stale)))

    @rule(refuse=st.booleans())
    def commit(self, refuse: bool) -> None:
        offsets = self.tracked.to_commit()
        for partition, offset in offsets.items():
            assert offset == self.expected(partition)
        assert self.tracked.to_commit() == {}
        if refuse:
            self.tracked.refused(offsets)
            assert self.tracked.to_commit() == offsets

    @invariant()
    def nothing_open_is_passed(self) -> None:
        for partition, tracked_offsets in self.read.items():
            unfinished = set(tracked_offsets) - self.finished[partition]
            assert self.tracked.open([partition]) == len(unfinished)
            assert not any(tracked.dropped for tracked in tracked_offsets.values())
        assert not any(tracked.state == "open" for tracked in self.stale)

    def expected(self, partition: Partition) -> int:
        unfinished = set(self.read[partition]) - self.finished[partition]
        return min(unfinished, default=self.next[partition])

    def forget(self, partition: Partition) -> None:
        self.stale += [
            t for t in self.read.pop(partition, {}).values() if t.offset not in self.done(partition)
        ]
        self.finished.pop(partition, None)

    def done(self, partition: Partition) -> set[int]:
        return self.finished.get(partition, set())


Machine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMachine = Machine.TestCase
