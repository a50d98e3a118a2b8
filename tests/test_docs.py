"""Test that the docs agree with the code."""

import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import ingest.metrics
import lake.metrics
import processors.metrics
import serve_app.metrics
from ingest.messages import HEADERS
from lake.metrics import Metric
from pixlake_server.embedded.haproxy_answers import ANSWERS
from serve_app.errors import PROBLEMS
from tests.errors_page import COMMAND, SERVICE, codes_of
from tests.reference import DOCS, FILES, PAGES

ROOT = DOCS.parent
TEST_FOLDERS = (ROOT / "tests", ROOT / "deploy" / "ecs" / "tests")
TOWNCRIER = ROOT / "towncrier.toml"
TESTS = {path.name for each in TEST_FOLDERS for path in each.rglob("test_*.py")}
QUOTED = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`|\"[^\"\n]*\"", re.MULTILINE | re.DOTALL)
US = re.compile(r"(?<!-)\b(?:we|our|ours|us|any more)\b(?!-)", re.IGNORECASE)
PROSE = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "benchmarks" / "NOTES.md"]


@pytest.mark.parametrize("name", PAGES)
def test_reference_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: python -m tests.reference"


def test_every_code_is_on_the_page_of_errors() -> None:
    page = re.findall(r"^\| `(\w+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert len(page) == len(set(page))
    calls = re.compile(r"\bFault\(\s*\"(\w+)\"")
    sources = (path.read_text() for each in SERVICE for path in (ROOT / each).rglob("*.py"))
    plain = {code for source in sources for code in calls.findall(source)}
    used = {*codes_of(*SERVICE, *COMMAND), *PROBLEMS, *ANSWERS, *plain}
    assert {"invalid_header", "invalid_event", "internal", "port_taken", "corrupted"} <= used
    assert sorted(used - set(page)) == []


def test_the_page_of_the_consumer_has_every_header_of_pixlake() -> None:
    page = re.findall(r"^\| `(pixlake-[^`]+)` \|", (DOCS / "kafka.md").read_text(), re.MULTILINE)
    assert page == list(HEADERS), "describe the header in the table of docs/kafka.md"


@pytest.mark.parametrize(
    "module",
    [ingest.metrics, lake.metrics, processors.metrics, serve_app.metrics],
    ids=lambda module: module.__name__,
)
def test_every_metric_of_a_package_is_in_its_list(module: ModuleType) -> None:
    """A metric that is missing in `METRICS` would be missing in docs/metrics.md, too."""
    named = {name for name, value in vars(module).items() if isinstance(value, Metric)}
    listed = {name for name in named if vars(module)[name] in module.METRICS}
    assert named == listed, "add the metric to METRICS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_of_the_client_are_current(path: Path) -> None:
    assert path.read_text() == FILES[path](), "run: python -m tests.reference"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"`(test_\w+\.py)`", text)) <= TESTS
    for name in re.findall(r"`(\w[\w./-]*/[\w.-]+\.(?:py|toml|cfg|json|lock|txt|md))`", text):
        folders = (ROOT, ROOT / "deploy" / "ecs", ROOT / "deploy" / "ecs" / "image", page.parent)
        assert any((folder / name).exists() for folder in folders), name


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_a_page_speaks_of_pixlake_and_not_of_us(page: Path) -> None:
    """Rule of language in CONTRIBUTING; generated pages are exempt, as they quote the code."""
    prose = QUOTED.sub("", page.read_text())
    assert page.name in PAGES or not US.findall(prose)


@pytest.mark.parametrize(
    "folder", [DOCS, DOCS / "decisions", DOCS / "runbook"], ids=lambda folder: folder.name
)
def test_an_index_links_every_page(folder: Path) -> None:
    linked = re.findall(r"\]\(([^)#/]+\.md)\)", (folder / "README.md").read_text())
    assert {*linked, "README.md"} >= {page.name for page in folder.glob("*.md")}


@pytest.mark.parametrize(
    "page", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda page: page.stem
)
def test_a_decision_has_every_section_of_the_template(page: Path) -> None:
    text = page.read_text()
    assert re.match(rf"# {int(page.name[:4])}\. .+\n\n\*\*Status:\*\* \w+.*\d{{4}}-\d\d-\d\d", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Alternatives",
        "Decision",
        "Consequences",
    ]


def test_a_fragment_of_the_changelog_has_a_known_type() -> None:
    kinds = {
        each["directory"]
        for each in tomllib.loads(TOWNCRIER.read_text())["tool"]["towncrier"]["type"]
    }
    for fragment in (ROOT / "changelog.d").glob("*"):
        kind = fragment.name.removesuffix(".md").rpartition(".")[2]
        assert fragment.name == "README.md" or kind in kinds, fragment.name


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {word for page in PROSE for word in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert used <= targets


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Verify the unit of docs/service.md with this environment's command and user."""
    page = (DOCS / "service.md").read_text()
    (unit,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    command = Path(sys.executable).with_name("pixlake")
    unit = textwrap.dedent(unit).replace("/opt/pixlake/.venv/bin/pixlake", str(command))
    path = tmp_path / "pixlake.service"
    path.write_text(unit.replace("User=pixlake", "User=daemon"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
