"""Steps of the runbook that read logs: queries, messages and fields are those of the lines."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node.log_forwarder import LogForwarder
from node.metrics_export import FIGURES

from lake.logs import formatter
from tests.log_lines import log_lines

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook"
_CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_INSIGHTS = re.compile(r"(?:fields|filter|stats|sort) ")
_PHRASE = re.compile(r"[A-Za-z][a-z']+(?: [a-z';]+){2,}")
_OF_THE_LANGUAGE = frozenset(
    [
        "and",
        "as",
        "asc",
        "by",
        "count",
        "desc",
        "fields",
        "filter",
        "in",
        "ispresent",
        "like",
        "limit",
        "not",
        "or",
        "pct",
        "sort",
        "stats",
    ]
)
# Phrases that are no messages of ours: title of a graph, and reasons that ECS gives.
_OF_OTHERS = frozenset(
    {
        "age of the oldest unsealed window",
        "failed container health checks",
        "unable to place a task",
    }
)
# Fields that a request or a message binds, for all lines that it causes (docs/metrics.md, Logs).
# CloudWatch adds `@logStream` to each line.
_BOUND = frozenset(
    {"@logStream", "request_id", "tenant", "image_id", "topic", "partition", "offset"}
)


def _codes() -> Iterator[tuple[str, str]]:
    """All inline code of the runbook, with its page."""
    for page in sorted(RUNBOOK.glob("*.md")):
        for code in _CODE.findall(page.read_text()):
            yield page.stem, re.sub(r"\s+", " ", code)


def _queries() -> list[tuple[str, str]]:
    return [(page, code) for page, code in _codes() if _INSIGHTS.match(code)]


def _fields_of(query: str) -> set[str]:
    """Names of fields in a query of CloudWatch Logs Insights."""
    names = re.findall(r"[A-Za-z_@]\w*", re.sub(r'"[^"]*"', "", query))
    return {*names} - _OF_THE_LANGUAGE


@pytest.fixture
def known(tmp_path: Path) -> frozenset[str]:
    """Fields of the lines that a node writes to its standard output."""
    written: list[str] = []
    log = tmp_path / "serve" / "replica_api.log"
    log.parent.mkdir()
    record = logging.makeLogRecord({"msg": "said", "levelname": "ERROR", "logger": "lake"})
    log.write_text(formatter(terminal=False).format(record) + "\n")
    forwarder = LogForwarder(tmp_path, "a", "worker", written.append)
    forwarder.step()
    forwarder.close()
    line: dict[str, Any] = json.loads(written[0])
    logged = {field for one in log_lines() for field in one.fields}
    return frozenset(line.keys() | logged | _BOUND | FIGURES.keys())


def test_queries_ask_for_fields_that_lines_have(known: frozenset[str]) -> None:
    queries = _queries()
    assert {"errors-fast", "errors-slow", "slow-uploads"} <= {page for page, _ in queries}
    for page, query in queries:
        assert _fields_of(query) <= known, f"{page}: {query}"


def test_a_query_for_a_field_that_no_line_has_is_found(known: frozenset[str]) -> None:
    assert _fields_of('filter message = "x" | stats count(*) by customer') - known == {"customer"}


def test_a_pattern_of_metrics_names_one_that_is_exported() -> None:
    named = [name for _, code in _codes() for name in re.findall(r"\{ \$\.(\w+)", code)]
    assert named
    assert {*named} <= FIGURES.keys()


def test_messages_are_those_of_the_code() -> None:
    messages = {line.message for line in log_lines()}
    phrases = [
        (page, code)
        for page, code in _codes()
        if _PHRASE.fullmatch(code) and code.split()[0] not in {"run", "rollout", "pixlake"}
    ]
    assert {code for _, code in phrases} & messages
    assert [(page, code) for page, code in phrases if code not in messages | _OF_OTHERS] == []
