"""Facts about AWS have a document and its date, or stand in the guide as unverified."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from infra.aws_limits import QUOTAS, Quota
from tests.assembly import Assembly
from tests.aws import conditions
from tests.aws.documents import DOCUMENTS, UNVERIFIED
from tests.aws.metrics import EMITTED
from tests.aws.quotas import SOURCED
from tests.aws.roles import LINKED
from tests.conftest import Switched

GUIDE: Final = (Path(__file__).parents[3] / "docs" / "aws.md").read_text()


def _facts() -> Iterator[tuple[str, str]]:
    """Yield each fact by the words with which the guide names it, and its document."""
    for row in EMITTED:
        yield f"{row.namespace} {row.name}", row.document
    for code, quota in SOURCED.items():
        yield code, quota.document
    for roles in LINKED.values():
        for role in roles:
            yield role.service, role.document
    yield "condition keys", conditions.DOCUMENT


def test_each_fact_has_a_document_that_was_read() -> None:
    for fact, document in _facts():
        assert document == UNVERIFIED or document in DOCUMENTS, fact
    for one in DOCUMENTS.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one.read)
        assert one.title
        assert one.edition


def test_the_guide_names_what_nobody_verified() -> None:
    section = GUIDE.split("\n### Unverified\n")[1].split("\n### ")[0]
    named = set(re.findall(r"`([^`]+)`", section))
    assert named == {fact for fact, document in _facts() if document == UNVERIFIED}


def _differing(quotas: dict[str, Quota]) -> list[str]:
    return [
        name
        for name, quota in quotas.items()
        if quota.code not in SOURCED or SOURCED[quota.code][:2] != (quota.service, quota.default)
    ]


def test_quotas_are_those_of_the_documents() -> None:
    assert _differing(QUOTAS) == []


@pytest.mark.parametrize("change", [{"default": 32}, {"code": "L-00000000"}, {"service": "ecs"}])
def test_a_wrong_quota_is_found(change: dict[str, str | int]) -> None:
    broken = {**QUOTAS, "fargate": QUOTAS["fargate"]._replace(**change)}  # type: ignore[arg-type]
    assert _differing(broken) == ["fargate"]


def _without_a_command(assembly: Assembly, guide: str) -> set[str]:
    return {
        role.service
        for kind, roles in LINKED.items()
        if any(assembly.resources(kind))
        for role in roles
        if role.made == "hand"
        and f"create-service-linked-role --aws-service-name {role.service}" not in guide
    }


def test_the_guide_makes_the_roles_that_no_service_makes(assembly: Assembly) -> None:
    assert _without_a_command(assembly, GUIDE) == set()
    assert _without_a_command(assembly, GUIDE.replace("ecs.amazonaws.com", "")) == {
        "ecs.amazonaws.com"
    }


def test_each_row_of_roles_is_of_a_type_that_some_environment_has(
    assemblies: dict[str, Assembly], switched: Switched
) -> None:
    every = [*assemblies.values(), switched("engineers").assembly]
    standing = {one.type for assembly in every for one in assembly.resources()}
    assert LINKED.keys() <= standing
