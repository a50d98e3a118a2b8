"""Test that folders, modules and imports follow the layout (docs/design.md, "Code")."""

import ast
import importlib
import inspect
import logging
import pickle
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.log_lines import log_lines, logging_files
from tests.private_names import private_methods, private_uses

ROOT = Path(__file__).parent.parent
PACKAGES = ("serve_app", "ingest", "processors", "lake", "pixlake_server", "pixlake")
FOLDERS = {
    *PACKAGES,
    *("benchmarks", "changelog.d", "client", "deploy"),
    *("docs", "examples", "requirements", "tests"),
}
FOLDERS.remove("pixlake")  # its source is in client/
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
# Former module names; they did not say what the module contains.
RETIRED_NAMES = re.compile(
    "aside|beside|chain|closing|evidence|many|pending|stored|suspects|switch|truth|upkeep"
    "|claims|endings|foreign_text|kept_memory|lines|nursery|trial|turns"
    "|door|edge|envelope|linger|listening|others|places|delivery|flight|intake"
)
VENDORS = {
    # vendor module: files that may import it
    "obstore": {"lake/store/object_store.py", "lake/store/backends.py"},
    "boto3": {"lake/store/bucket.py", "lake/commit/invalidations.py"},
    "confluent_kafka": {
        "ingest/kafka.py",
        "ingest/kafka_errors.py",
        "ingest/producer.py",
        "ingest/cluster.py",
        "ingest/topic_admin.py",
        "client/pixlake/cli/produce.py",  # the producer that users hold
        "pixlake_server/embedded/kraft.py",  # asks its own broker whether it is ready
    },
    "structlog": {"lake/logs.py"},
    "sqlalchemy": {
        "serve_app/accounts/account_log.py",
        "serve_app/accounts/accounts.py",
        "serve_app/accounts/database.py",
        "serve_app/accounts/limits.py",
        "serve_app/accounts/migration.py",
        "serve_app/accounts/migrations/versions/v0001_api_keys.py",
        "serve_app/accounts/migrations/versions/v0002_tenants.py",
        "serve_app/accounts/migrations/versions/v0003_limits.py",
        "serve_app/accounts/migrations/versions/v0004_usage.py",
        "serve_app/accounts/tables.py",
        "serve_app/accounts/tenants.py",
        "serve_app/accounts/usage.py",
    },
    "alembic": {
        "serve_app/accounts/migration.py",
        "serve_app/accounts/migrations/env.py",
        "serve_app/accounts/migrations/versions/v0001_api_keys.py",
        "serve_app/accounts/migrations/versions/v0002_tenants.py",
        "serve_app/accounts/migrations/versions/v0003_limits.py",
        "serve_app/accounts/migrations/versions/v0004_usage.py",
    },
}
MAX_LINES = 350
# A docstring that begins with one of these words does not name its subject.
VAGUE_BEGINNINGS = {
    *("Of", "So", "And", "But", "Said", "One", "Whoever", "Nobody", "Everything"),
    *("It", "Its", "They", "Their", "This", "These", "That", "Those"),
    *("What", "Where", "Who", "Which", "How", "Why", "Whether"),
}


def tracked() -> list[Path]:
    """List the files of the repository, including new ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def sources() -> Iterator[tuple[str, Path]]:
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and name.removeprefix("client/").split("/")[0] in PACKAGES:
            yield name, path


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_no_room_is_added_in_passing() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}
    assert {name for name in top if not name.startswith(".")} <= FOLDERS


def test_no_room_for_odds_and_ends() -> None:
    for name, _ in sources():
        parts = set(name.removesuffix(".py").split("/"))
        assert not parts & FORBIDDEN_NAMES, name
        assert not any(RETIRED_NAMES.fullmatch(part) for part in parts), name


def test_files_hold_one_idea() -> None:
    long = {
        name: lines
        for name, path in sources()
        if (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a file, including those after constants and attributes."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text


def test_docstrings_name_their_subject() -> None:
    vague = [
        (name, text.splitlines()[0])
        for name, path in sources()
        for text in docstrings(path)
        if VAGUE_BEGINNINGS.intersection(text.split(maxsplit=1)[:1])
    ]
    assert vague == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_file_a_vendor(vendor: str) -> None:
    users = {name for name, path in sources() if vendor in imports(path)}
    assert users <= VENDORS[vendor]


def test_ray_only_in_the_wiring() -> None:
    users = {name for name, path in sources() if "ray" in imports(path)}
    surface = {name for name in users if name.startswith("serve_app/ray_surface/")}
    assert {n for n in users - surface if not n.endswith("/app.py")} <= {
        "processors/deployment.py",
        "lake/metrics_export.py",  # Ray's exporter
    }


PRIVATE = re.compile(r"\bray\.(\w+\.)*_(private|common)\b|\buvicorn\.Server = ")


def test_private_parts_of_ray_only_in_their_room() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if path.suffix == ".py" and PRIVATE.search(path.read_text())
    }
    assert {
        name for name in users if not name.startswith(("serve_app/ray_surface/", "tests/"))
    } == set()


# Files of tests that use private names of other modules, with the reason.
PRIVATE_IN_TESTS = {
    # A mutant takes one rule out of the protocol; no caller may do that through an argument.
    "tests/lake/simulation/mutants_of_answers.py",
    "tests/lake/simulation/mutants_of_clocks.py",
    "tests/lake/simulation/mutants_of_erasures.py",
    "tests/lake/simulation/mutants_of_images.py",
    "tests/lake/simulation/mutants_of_listings.py",
    "tests/lake/simulation/mutants_of_positions.py",
    "tests/lake/simulation/mutants_of_spoils.py",
    "tests/lake/simulation/mutants_of_sweeps.py",
    "tests/lake/simulation/mutants_of_tables.py",
    # Ray: what `serve_app/ray_surface` relies on, and processes and options that Ray does not tell.
    "tests/deploy/test_deployments.py",
    "tests/end_to_end/cluster_driver.py",
    "tests/framing/ray_configuration.py",
    "tests/pixlake/test_ray_node.py",
    "tests/serve_app/test_serve_headers.py",
    # confluent_kafka: its documented codes of local errors begin with an underscore, and its types
    # of rights are re-exported in a way that mypy does not accept.
    "tests/ingest/test_consumer_faults.py",
    "tests/ingest/test_kafka.py",
    "tests/servers/secured_kafka.py",
    "tests/pixlake/test_embedded_jars.py",  # jgo has no setting for the address of its repository
    "tests/test_supply_chain.py",  # PyYAML tells the version of libyaml nowhere else
}


def test_tests_use_no_private_names() -> None:
    """Tests replace an argument, or use what is public; private names change without notice."""
    methods = private_methods(path for _, path in sources())
    users = {
        path.relative_to(ROOT).as_posix(): found
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {"tests", "benchmarks"}
        if (found := private_uses(path, methods))
    }
    assert {name: found for name, found in users.items() if name not in PRIVATE_IN_TESTS} == {}
    assert PRIVATE_IN_TESTS - users.keys() == set(), "these files need no exception"


def test_a_module_has_one_logger_with_one_name() -> None:
    for _, path in logging_files():
        tree = ast.parse(path.read_text())
        made = [
            each for each in ast.walk(tree) if is_call(each, "logger", "getLogger", "basicConfig")
        ]
        loggers = [ast.unparse(each) for each in tree.body if is_logger(each)]
        assert loggers in ([], ["log = logger(__name__)"]), path
        assert len(made) == len(loggers) or path == ROOT / "lake/logs.py", path


def is_call(node: ast.AST, *names: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func).rpartition(".")[2] in names


def is_logger(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and is_call(node.value, "logger", "getLogger")


def test_a_line_of_the_log_has_a_constant_message_and_plain_fields() -> None:
    lines = log_lines()  # raises ValueError for a message that is not a constant
    assert len(lines) > 50
    reserved = {*vars(logging.makeLogRecord({})), "message", "asctime", "logger"}
    assert [line for line in lines if reserved.intersection(line.fields)] == []
    counts = Counter(line[:2] for line in lines)
    assert [line for line, count in counts.items() if count > 1] == []


def test_nothing_reads_the_environment_at_import() -> None:
    for name, path in sources():
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.unparse(node)
                assert "os.environ" not in text, name
                assert "getenv" not in text, name


def test_import_contracts() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def error_classes() -> list[Any]:
    found = []
    for package in ("lake", "processors", "ingest", "serve_app"):
        module = importlib.import_module(f"{package}.errors")
        found += [
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, Exception) and cls.__module__ == module.__name__
        ]
    return found


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__qualname__)
def test_errors_cross_processes(kind: Any) -> None:
    error = kind("what went wrong")
    error.limit, error.value = 5.0, "seven"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(copy) is kind
    assert (copy.args, copy.code, copy.limit, copy.value) == (
        error.args,
        kind.code,
        5.0,
        "seven",
    )


def test_every_error_has_a_code_of_its_own() -> None:
    """Codes are unique within a package; HTTP and Kafka use the same code for the same fault."""
    leaves = [kind for kind in error_classes() if not kind.__subclasses__()]
    codes = [(kind.__module__, kind.code) for kind in leaves]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments")  # Ray's own settings
def test_every_module_imports_alone() -> None:
    """No module needs another one imported first."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith(".__main__"):  # importing those would run them
                importlib.import_module(found.name)
