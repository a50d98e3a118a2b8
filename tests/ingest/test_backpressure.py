import pytest

from ingest.backpressure import HOLD_SECONDS, Backpressure


def test_first_hold_then_pause_then_go_on_at_one_half() -> None:
    backpressure = Backpressure(max_bytes=100, max_messages=10)
    assert backpressure.mode(0) == "read"
    for _ in range(4):
        backpressure.take(25)
    assert backpressure.mode(10) == "hold"
    assert backpressure.mode(10 + HOLD_SECONDS / 2) == "hold"
    assert backpressure.mode(10 + HOLD_SECONDS) == "pause"
    backpressure.release(25)
    assert backpressure.mode(12) == "pause"
    backpressure.release(25)
    assert backpressure.mode(12) == "read"


def test_room_in_time_means_no_pause() -> None:
    backpressure = Backpressure(max_bytes=100, max_messages=10)
    backpressure.take(150)
    assert (backpressure.mode(0), backpressure.room_bytes) == ("hold", 0)
    backpressure.release(150)
    assert backpressure.mode(0.5) == "read"
    backpressure.take(100)
    assert backpressure.mode(HOLD_SECONDS + 0.1) == "hold"


@pytest.mark.parametrize(("messages", "mode"), [(9, "read"), (10, "hold")])
def test_messages_count_too(messages: int, mode: str) -> None:
    backpressure = Backpressure(max_bytes=100, max_messages=10)
    for _ in range(messages):
        backpressure.take(1)
    assert backpressure.mode(0) == mode
