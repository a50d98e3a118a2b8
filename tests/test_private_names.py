"""Uses of private names that the architecture test must find."""

from pathlib import Path

import pytest

from tests.private_names import private_uses


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("store._backend", "_backend"),
        ("store._backend = None", "_backend"),
        ("from lake.store.decision import _BACKOFF", "_BACKOFF"),
        ("from ray._private import services", "_private"),
        ('patch.setattr("lake.lake._limit", 0)', "_limit"),
        ('mock.patch.object(Sealer, "_limit")', "_limit"),
        ("mock.patch.multiple(Sealer, _limit=0)", "_limit"),
        ("class Mine(Sealer):\n    def _limit(self): ...", "_limit"),
        ("class Mine(Sealer):\n    def at(self): return self._limit", "_limit"),
        ("class Mine:\n    def _limit(self): ...\n\nMine()._limit", None),
        ("_own = 1", None),
    ],
)
def test_uses_of_private_names_are_found(tmp_path: Path, line: str, found: str | None) -> None:
    file = tmp_path / "test_mine.py"
    file.write_text(line)
    assert private_uses(file, {"Sealer": {"_limit"}}) == ({found} if found else set())
