"""Nothing starts if the settings allow more memory than the machine or container has."""

from pathlib import Path
from typing import TypeVar

import pytest
from pydantic_settings import BaseSettings

from ingest.settings import IngestSettings
from pixlake_server.embedded.errors import TooLittleMemory
from pixlake_server.embedded.memory import check_memory, worst_case
from pixlake_server.embedded.settings import EmbeddedSettings
from processors import settings as processor_settings
from processors.machine import memory_limit
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

GIB = 1 << 30
# Memory of a machine "of 8 GB" without the part that the kernel keeps.
SMALL_MACHINE = int(7.6 * GIB)


S = TypeVar("S", bound=BaseSettings)


def check(limit: int, **settings: int) -> None:
    def made(kind: type[S]) -> S:
        return kind.model_validate({n: v for n, v in settings.items() if n in kind.model_fields})

    parts = worst_case(
        made(EmbeddedSettings), made(ServeSettings), made(ProcessorSettings), IngestSettings()
    )
    check_memory(parts, limit)


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 64])
def test_defaults_fit_a_machine_of_8_gb(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(processor_settings, "memory_limit", lambda: SMALL_MACHINE)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    check(SMALL_MACHINE)


@pytest.mark.parametrize(
    "setting",
    [
        {"upload_replicas": 8},
        {"sandbox_children": 64},
        {"max_pixels": 1_000_000_000, "sandbox_memory_bytes": 12_000_000_000},
        {"max_upload_bytes": 8_000_000_000},
        {"object_store_bytes": 8_000_000_000},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_what_would_not_fit_is_refused_with_settings_and_sizes(setting: dict[str, int]) -> None:
    with pytest.raises(TooLittleMemory) as refused:
        check(SMALL_MACHINE, **{"sandbox_children": 2, **setting})
    said = str(refused.value)
    assert f"PIXLAKE_{next(iter(setting)).upper()}" in said
    assert "PIXLAKE_MEMORY_BYTES" in said
    assert "8.2 GB" in said
    assert refused.value.needed > refused.value.limit == SMALL_MACHINE


def group(tmp_path: Path, line: str, files: dict[str, str]) -> int:
    """Write the files of control groups; return the memory limit that is read from them."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "self").write_text(line)
    return memory_limit(tmp_path, tmp_path / "self")


def test_the_containers_limit_counts_and_so_does_that_of_any_parent(tmp_path: Path) -> None:
    everything = memory_limit(tmp_path, tmp_path / "no control groups")
    assert everything > GIB // 8
    v2 = {"memory.max": "max\n", "a/memory.max": "300000000\n", "a/b/memory.max": "900000000\n"}
    assert group(tmp_path / "v2", "0::/a/b\n", v2) == 300_000_000
    v1 = {"memory/a/memory.limit_in_bytes": "200000000\n"}
    assert group(tmp_path / "v1", "5:cpu:/x\n4:memory:/a/b\n0::/\n", v1) == 200_000_000
    # The container sees its own group as the root, but its path as the host names it.
    assert group(tmp_path / "own", "0::/host/path\n", {"memory.max": "400000000\n"}) == 400_000_000
    unlimited = {"memory.max": "max\n"}
    assert group(tmp_path / "max", "0::/\n", unlimited) == everything
