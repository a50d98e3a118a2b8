"""Fields by which a line leaves out Serve's context."""

import importlib
import json
import logging
import warnings

import pytest

from serve_app.asgi.answer_line import LEAN

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own models use pydantic in a way that warns
    FORMATTERS = importlib.import_module("ray._common.formatters")
    LINES = importlib.import_module("ray.serve._private.logging_utils")
    KINDS = importlib.import_module("ray.serve._private.common").ServeComponentType
    DROPPED = importlib.import_module("ray.serve._private.constants").SERVE_LOG_UNWANTED_ATTRS


@pytest.mark.parametrize(("fields", "alone"), [(LEAN, True), ({}, False)])
def test_serve_adds_its_context_to_other_lines_only(
    fields: dict[str, object], *, alone: bool
) -> None:
    record = logging.makeLogRecord({"msg": "request answered", "status": 201, **fields})
    for one in (
        LINES.ServeComponentFilter("api_UploadApi", "r1", KINDS.REPLICA),
        LINES.ServeContextFilter(),
    ):
        assert one.filter(record)
    line = json.loads(FORMATTERS.JSONFormatter().format(record))
    assert line["status"] == 201
    assert ("replica" not in line) is alone


def test_serve_drops_the_fields_from_the_line() -> None:
    assert LEAN.keys() <= DROPPED
