"""Test that a start that would fail is refused early, with reason, setting and remedy."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from ingest.settings import IngestSettings
from lake.settings import LakeSettings
from pixlake.cli.failures import UsageFault
from pixlake_server.cli.settings import load
from pixlake_server.embedded import room
from pixlake_server.embedded.errors import (
    CannotStart,
    HomeUnusable,
    NoRoom,
    PortTaken,
    PortUnusable,
    WrongClock,
)
from pixlake_server.embedded.home import open_home
from pixlake_server.embedded.ports import check_ports, free_port, free_ports
from pixlake_server.embedded.preflight import Settings, check_machine, check_servers
from pixlake_server.embedded.run_folder import user_folder
from pixlake_server.embedded.settings import EmbeddedSettings
from processors.settings import ProcessorSettings
from serve_app.settings import ServeSettings

PIXLAKE = Path(sys.executable).with_name("pixlake")
LOOPBACK = "127.0.0.1"

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as other:
        yield int(other.getsockname()[1])


def up(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    ours = ("PIXLAKE_", "KAFKA_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    http, kafka = free_ports(2)
    ports = {"PIXLAKE_HTTP_PORT": str(http), "PIXLAKE_KAFKA_PORT": str(kafka)}
    return subprocess.run(
        [PIXLAKE, "up"],
        env={**kept, **ports, "PIXLAKE_HOME": str(home), **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"PIXLAKE_STORE_URL": "s3://nobody", "AWS_EC2_METADATA_DISABLED": "true"},
            "no credentials for bucket nobody",
        ),
        ({"KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:9"}, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"PIXLAKE_DEFAULT_PRESET": "wbe"}, "PIXLAKE_DEFAULT_PRESET: no preset is named 'wbe'"),
    ],
    ids=["store", "kafka", "preset"],
)
def test_a_start_that_cannot_succeed_ends_before_ray(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    done = up(tmp_path / "home", HOME=str(tmp_path), **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1, "one line"
    assert "Starting" not in done.stderr
    assert not (tmp_path / "home" / "logs" / "ray").exists()


def test_a_taken_port_is_told_with_the_program_that_has_it(taken: int) -> None:
    with pytest.raises(PortTaken) as refused:
        check_ports({"PIXLAKE_HTTP_PORT": (LOOPBACK, taken)})
    said = str(refused.value)
    assert f"port {taken} is taken by " in said
    assert f"(pid {os.getpid()})" in said
    assert "PIXLAKE_HTTP_PORT" in said


def test_equal_ports_are_told_by_both_settings() -> None:
    port = free_port()
    with pytest.raises(PortUnusable) as refused:
        check_ports({"A_PORT": ("0.0.0.0", port), "B_PORT": (LOOPBACK, port)})  # noqa: S104
    assert str(refused.value) == f"A_PORT and B_PORT are both {port}; choose different ports"


def test_ports_that_are_found_together_differ() -> None:
    assert len(set(free_ports(200))) == 200


def test_outgoing_connections_cannot_take_a_port_that_was_found() -> None:
    assert max(free_ports(200)) < 32_768  # Linux gives them ports from here on


def test_an_address_that_this_machine_does_not_have() -> None:
    with pytest.raises(PortUnusable, match=r"no address 192\.0\.2\.1; set PIXLAKE_HTTP_HOST"):
        check_ports({"PIXLAKE_HTTP_PORT": ("192.0.2.1", free_port())})


def test_the_name_of_this_machine_is_its_address(tmp_path: Path) -> None:
    assert ServeSettings(home=tmp_path, http_host="localhost").http_host == LOOPBACK
    with pytest.raises(ValueError, match=r"'example\.org' is not an IP address"):
        ServeSettings(home=tmp_path, http_host="example.org")


def test_a_port_of_root_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(PortUnusable, match=r"port 80 needs root, as all ports below \d+"):
        check_ports({"PIXLAKE_HTTP_PORT": (LOOPBACK, 80)})


def test_a_home_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for home in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/pixlake")):
        with pytest.raises(HomeUnusable, match="set PIXLAKE_HOME"):
            open_home(home)


def test_a_home_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    open_home(home)
    open_home(home)
    theirs = home / "accounts.sqlite"
    theirs.touch()
    # Root may write every file, so the test replaces the system's answer to an ordinary user.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != theirs)
    with pytest.raises(HomeUnusable, match=r"accounts\.sqlite belongs to .* set PIXLAKE_HOME"):
        open_home(home)


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ('{"layout": 99, "pixlake": "9.9.0"}', r"made by Pixlake 9\.9\.0, which is newer"),
        ("gibberish", "damaged"),
        ("[]", "damaged"),
    ],
)
def test_a_home_of_another_version(tmp_path: Path, mark: str, told: str) -> None:
    open_home(tmp_path)
    assert json.loads((tmp_path / "home.json").read_text())["layout"] == 1
    (tmp_path / "home.json").write_text(mark)
    with pytest.raises(HomeUnusable, match=told):
        open_home(tmp_path)


def test_a_home_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    open_home(home)
    secrets = [home / "api-key", home / "accounts.sqlite", home / "accounts.sqlite-wal"]
    for file in secrets:
        file.touch()
        file.chmod(0o644)
    home.chmod(0o755)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    elsewhere.chmod(0o644)
    (home / "accounts.sqlite.link").symlink_to(elsewhere)
    open_home(home)
    assert {file.stat().st_mode & 0o777 for file in secrets} == {0o600}
    assert home.stat().st_mode & 0o777 == 0o700
    assert elsewhere.stat().st_mode & 0o777 == 0o644


def test_a_folder_of_other_things_is_not_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(HomeUnusable, match=f"chmod 700 {tmp_path}"):
        open_home(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    tmp_path.chmod(0o700)
    open_home(tmp_path)


def test_room_on_the_disk_and_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room.check_disk({"move it": tmp_path})
    monkeypatch.setattr(room, "DISK_BYTES", 10**18)
    with pytest.raises(NoRoom, match=rf"disk of {tmp_path}.* or move it"):
        room.check_disk({"move it": tmp_path})
    room.check_memory_free(8_000_000_000)
    with pytest.raises(NoRoom, match=r"1\.0 GB of memory are free"):
        room.check_memory_free(1_000_000_000)


def test_a_clock_that_is_wrong(tmp_path: Path) -> None:
    last = tmp_path / "lock"
    room.check_clock(last)
    last.touch()
    room.check_clock(last)
    with pytest.raises(WrongClock, match="1970-01-01"):
        room.check_clock(last, now=0)
    with pytest.raises(WrongClock, match="the last start here was on"):
        room.check_clock(last, now=last.stat().st_mtime - 3 * 86_400)


def test_what_is_fine_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXLAKE_HTTP_PORT", str(free_port()))
    monkeypatch.setenv("PIXLAKE_KAFKA_PORT", str(free_port()))
    settings = Settings.read(tmp_path)
    check_machine(settings, tmp_path)
    check_servers(settings)
    assert user_folder().is_dir()


@pytest.mark.parametrize(
    ("name", "value"), [("PIXLAKE_KAFKA_TOPIC_PARTITIONS", "0"), ("PIXLAKE_KAFKA_TENANT", "../x")]
)
def test_a_wrong_setting_is_told_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageFault, match=f"^{name}: (?!Value error)"):
        load(IngestSettings, tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"store_url": "b/p"},
        {"store_url": "ftp://b"},
        {"store_url": "file://tmp/x"},
        {"store_url": "s3:///prefix"},
        {"s3_endpoint": "host:9000"},
        {"s3_access_key_id": "half a key"},
    ],
    ids=str,
)
def test_a_setting_of_the_store_that_cannot_be_right(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"write|together"):
        LakeSettings.model_validate(settings)


SETTINGS = (EmbeddedSettings, IngestSettings, LakeSettings, ProcessorSettings, ServeSettings)


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_an_empty_variable_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings]
) -> None:
    """Container tools pass unset variables as empty ones."""
    without = kind()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "")
    for name in kind.model_fields:
        monkeypatch.setenv(f"PIXLAKE_{name.upper()}", "")
    assert kind() == without


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_an_unknown_setting_is_refused_but_variables_of_other_packages_are_not(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings]
) -> None:
    monkeypatch.setenv("PIXLAKE_OF_ANOTHER_PACKAGE", "1")
    with pytest.raises(ValueError, match="misspelt"):
        kind.model_validate({"misspelt": 1})
    assert kind() == kind()


def test_every_reason_has_a_code_of_its_own() -> None:
    kinds = CannotStart.__subclasses__()
    assert len({kind.code for kind in kinds}) == len(kinds) >= 6
