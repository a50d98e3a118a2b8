"""Every finding of cdk-nag has a reason, and every reason has a finding."""

import re

from infra.acknowledged import ACKNOWLEDGED, Acknowledged
from tests.conftest import Synthesis

# Least length of a reason in characters; a shorter reason explains nothing.
_SHORTEST = 40


def _meets(entry: Acknowledged, finding: tuple[str, str]) -> bool:
    rule, path = finding
    return bool(re.fullmatch(entry.finding, rule) and re.fullmatch(entry.construct, path))


def test_every_finding_has_one_reason(syntheses: dict[str, Synthesis]) -> None:
    found = [finding for one in syntheses.values() for finding in one.findings]
    assert found
    unexplained = [
        finding for finding in found if sum(_meets(entry, finding) for entry in ACKNOWLEDGED) != 1
    ]
    assert unexplained == []


def test_every_reason_has_a_finding(syntheses: dict[str, Synthesis]) -> None:
    found = [finding for one in syntheses.values() for finding in one.findings]
    stale = [
        entry for entry in ACKNOWLEDGED if not any(_meets(entry, finding) for finding in found)
    ]
    assert stale == []


def test_reasons_say_something() -> None:
    assert [entry for entry in ACKNOWLEDGED if len(entry.reason) < _SHORTEST] == []
