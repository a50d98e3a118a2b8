"""Every rule holds for both profiles, and finds its planted fault."""

import pytest

from tests.assembly import Assembly, count
from tests.rules import (
    aws_agrees,
    bill,
    documents,
    lake_faults,
    operation,
    rights,
    sandboxes,
    storage,
    stores,
    tasks,
    ways,
)
from tests.rules.rule import Rule

RULES = (
    *storage.RULES,
    *rights.RULES,
    *tasks.RULES,
    *ways.RULES,
    *stores.RULES,
    *operation.RULES,
    *sandboxes.RULES,
    *aws_agrees.RULES,
    *bill.RULES,
    *lake_faults.RULES,
    *documents.RULES,
)
_EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@_EACH
def test_rule(rule: Rule, assembly: Assembly) -> None:
    assert list(rule.check(assembly)) == []


@_EACH
def test_rule_finds_its_fault(rule: Rule, assemblies: dict[str, Assembly]) -> None:
    able = [one for one in assemblies.values() if rule.needs is None or count(one, rule.needs)]
    assert able
    for assembly in able:
        broken = assembly.copy()
        rule.plant(broken)
        assert list(rule.check(broken)) != []
