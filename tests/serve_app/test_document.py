"""The OpenAPI document is complete: stable names, scopes, and examples that its schemas allow."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi import APIRouter
from starlette.routing import Route

from serve_app.accounts import SCOPES
from tests.serve_app.document import JSON, Document
from tests.serve_app.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = {"/", "/docs", "/openapi.json"}
KEYLESS = {"/healthz", "/readyz"}


def json_bodies(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every JSON schema of a request or of an answer that is no refusal."""
    for operation in document.operations:
        parts = {
            "request": operation.about.get("requestBody", {}),
            **operation.about["responses"],
        }
        for name, part in parts.items():
            content = part.get("content", {})
            if JSON in content:
                schema = content[JSON]["schema"]
                for each in schema.get("anyOf", [schema]):
                    yield f"{operation} {name}", each


async def test_every_json_body_has_examples_that_its_schema_allows(site: Site) -> None:
    document = Document(site.app)
    checked = 0
    for where, schema in json_bodies(document):
        examples = document.definition(schema).get("examples", [])
        assert examples, f"{where}: add an example to the model"
        for example in examples:
            assert document.faults(schema, example) == [], where
            checked += 1
    problem = {"$ref": "#/components/schemas/ProblemDetails"}
    for example in document.definition(problem)["examples"]:
        assert document.faults(problem, example) == []
    assert checked >= 25


async def test_a_parameter_has_a_description_and_examples_that_its_schema_allows(
    site: Site,
) -> None:
    document = Document(site.app)
    for operation in document.operations:
        for one in operation.about.get("parameters", ()):
            assert one.get("description"), f"{operation}: {one['name']} has no description"
            examples = one["schema"].get("examples", [])
            assert examples or one["in"] != "path", f"{operation}: {one['name']} has no example"
            for example in examples:
                assert document.faults(one["schema"], example) == [], (str(operation), one["name"])


async def test_every_reference_and_link_leads_somewhere(site: Site) -> None:
    document = Document(site.app)
    text = json.dumps(document.text)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names <= document.text["components"]["schemas"].keys()
    ids = [operation.about["operationId"] for operation in document.operations]
    assert len(ids) == len(set(ids))
    linked = set(re.findall(r'"operationId": "(\w+)", "parameters"', text))
    assert {"show_image", "erase_image"} <= linked <= set(ids)


def routes(router: APIRouter) -> Iterator[Route]:
    """Yield the routes of a router and of the routers in it; fails for another kind of route."""
    for route in router.routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from routes(included)
        else:
            assert isinstance(route, Route), route
            yield route


async def test_every_route_is_in_the_document_with_one_known_scope(site: Site) -> None:
    document = Document(site.app)
    described = {(each.method, each.path) for each in document.operations}
    for route in routes(site.app.router):
        if route.path in PAGES or route.path.startswith("/assets/"):
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            assert (method, route.path) in described
    for operation in document.operations:
        assert len(operation.scopes) == (operation.path not in KEYLESS), str(operation)
        assert set(operation.scopes) <= SCOPES, str(operation)


async def test_the_body_of_a_preset_is_described(site: Site) -> None:
    document = Document(site.app)
    put = document.operation("put_preset")
    schema = put.about["requestBody"]["content"][JSON]["schema"]
    assert document.faults(schema, {"renditions": [{"name": "a", "operations": []}]}) == []
    wrongs: tuple[dict[str, Any], ...] = (
        {"renditions": [{"name": "a", "operations": [{"op": "fit", "width": 0}]}]},
        {"renditions": [{"name": "a", "operations": [{"op": "nonesuch"}]}]},
        {"renditions": [{"name": "A"}]},
        {"renditons": []},
    )
    for wrong in wrongs:
        assert document.faults(schema, wrong), wrong


async def test_a_refusal_names_its_codes(site: Site) -> None:
    document = Document(site.app)
    refused = document.operation("upload_image").about["responses"]["429"]
    assert "`quota_exceeded`" in refused["description"]
    schema = refused["content"]["application/problem+json"]["schema"]
    example = document.definition({"$ref": "#/components/schemas/ProblemDetails"})["examples"][0]
    assert document.faults(schema, {**example, "code": "rate_limited"}) == []
    assert document.faults(schema, {**example, "code": "image_not_found"})
