import pytest

from ingest.backpressure import HOLD_SECONDS, Backpressure


def test_first_hold_then_pause_then_go_on_at_one_half() -> None:
    intake = Backpressure(max_bytes=100, max_messages=10)
    assert intake.mode(0) == "read"
    for _ in range(4):
        intake.take(25)
    assert intake.mode(10) == "hold"
    assert intake.mode(10 + HOLD_SECONDS / 2) == "hold"
    assert intake.mode(10 + HOLD_SECONDS) == "pause"
    intake.release(25)
    assert intake.mode(12) == "pause"
    intake.release(25)
    assert intake.mode(12) == "read"


def test_room_in_time_means_no_pause() -> None:
    intake = Backpressure(max_bytes=100, max_messages=10)
    intake.take(150)
    assert (intake.mode(0), intake.room_bytes) == ("hold", 0)
    intake.release(150)
    assert intake.mode(0.5) == "read"
    intake.take(100)
    assert intake.mode(HOLD_SECONDS + 0.1) == "hold"


@pytest.mark.parametrize(("messages", "mode"), [(9, "read"), (10, "hold")])
def test_messages_count_too(messages: int, mode: str) -> None:
    intake = Backpressure(max_bytes=100, max_messages=10)
    for _ in range(messages):
        intake.take(1)
    assert intake.mode(0) == mode
