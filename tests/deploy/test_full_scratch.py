from pathlib import Path

from tests.servers.small_disk import run_on_small_disk


def test_a_full_scratch_folder(tmp_path: Path) -> None:
    run_on_small_disk(Path(__file__).with_name("on_small_disk.py"), tmp_path)
