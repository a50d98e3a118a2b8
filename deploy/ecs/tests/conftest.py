"""Fixtures that synthesize each environment once for all tests, because jsii starts slowly."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import infra  # noqa: F401  # names the Node that jsii runs on, before aws_cdk is imported
from infra.build import build, new_app
from infra.settings import Settings
from tests.assembly import Assembly
from tests.matrix import MATRIX, changed

ENVIRONMENTS = ("small", "large")


class Synthesis:
    """Templates, and the findings of CDK and cdk-nag."""

    def __init__(self, folder: Path, settings: Settings, *, nag: bool) -> None:
        # Both imports take seconds, and most tests need neither.
        import aws_cdk as cdk  # noqa: PLC0415
        from cdk_nag import AwsSolutionsChecks  # noqa: PLC0415

        self.folder = folder
        app = new_app(str(folder))
        build(app, settings)
        if nag:
            cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        report = folder / "validation-report.json"
        try:
            app.synth()
        except RuntimeError as error:
            # CDK raises the error after it has written the templates and the report.
            if "ValidationFailed" not in str(error) or not report.exists():
                raise
        self.findings = _findings(json.loads(report.read_text())) if report.exists() else []
        self.assembly = Assembly.read(folder, settings.stage)


def _findings(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return pairs of a rule's name and a construct's path."""
    return [
        (violation["ruleName"], construct.get("constructPath", "?"))
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]


@pytest.fixture(scope="session")
def syntheses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Synthesis]:
    return {
        name: Synthesis(tmp_path_factory.mktemp(name), changed(name, {}), nag=True)
        for name in ENVIRONMENTS
    }


Switched = Callable[[str], Synthesis]


@pytest.fixture(scope="session")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Switched:
    """Synthesize a combination of the matrix by its name, once."""

    @functools.cache
    def synthesis(name: str) -> Synthesis:
        return Synthesis(tmp_path_factory.mktemp(name), changed(*MATRIX[name]), nag=False)

    return synthesis


@pytest.fixture(scope="session")
def assemblies(syntheses: dict[str, Synthesis]) -> dict[str, Assembly]:
    return {name: one.assembly for name, one in syntheses.items()}


@pytest.fixture(scope="session", params=ENVIRONMENTS)
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """Assembly of one profile, for reading only; tests that plant faults use a copy."""
    return assemblies[request.param]
