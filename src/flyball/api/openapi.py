"""The OpenAPI 3.1 document of the API, made from the table of routes and the records themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from flyball.api import answers
from flyball.api.asking import PREFIX
from flyball.api.routes import ADMIN, OPEN, QUERY, READ, RECORD, SELF, SIGNED, Route
from flyball.api.shape import REF, schemas
from flyball.loop.authority import TABLE
from flyball.records.identity import Role
from flyball.records.vocabulary import KINDS

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What happened, why, and what to do (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "fix": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("where", "what", "why", "fix")},
                "required": ["where", "what", "why", "fix"],
            },
        },
        "retry": {"enum": ["never", "later", "ask"]},
        "retry_after": {"type": "number"},
        "event": {"type": "integer"},
    },
    "required": ["type", "code", "title", "status", "detail", "fix", "problems", "retry"],
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same request with the same key is carried out once, and answered alike for a day",
    "schema": {"type": "string", "maxLength": 200},
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    paths[PREFIX + SELF] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document.",
            "security": [],
            "responses": {"200": _json("the document", {"type": "object"}), "default": _problem()},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "flyball", "version": version("flyball"), "description": "The control plane: docs/api.md says more."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": PROBLEM, **_components(routes)},
        },
    }


def _components(routes: Sequence[Route]) -> dict[str, Any]:
    kinds = {route.answer: None for route in routes if route.answer is not None} | {route.body: None for route in routes if route.acts}
    found = schemas([*kinds, *KINDS.values()])
    # an event is whichever kind it is
    found[answers.EventAnswer.__name__]["properties"]["event"] = {
        "oneOf": [{"$ref": REF + kind.__name__} for kind in KINDS.values()],
        "discriminator": {"propertyName": "kind", "mapping": {tag: REF + kind.__name__ for tag, kind in KINDS.items()}},
    }
    return found


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    parameters += [{"name": name, "in": "query", "description": QUERY[name], "schema": {"type": "string"}} for name in route.query]
    told: dict[str, Any] = {
        "operationId": route.handler.__name__.strip("_"),
        "summary": (route.handler.__doc__ or "").splitlines()[0],
        "description": _who(route),
        "parameters": [*parameters, *([_KEY] if route.acts and route.needs != SIGNED else [])],
        "responses": {str(route.status): _success(route), "default": _problem()},
    }
    if route.acts:
        required = any(field.required for field in _fields(route.body))
        told["requestBody"] = {"required": required, "content": {"application/json": {"schema": {"$ref": REF + route.body.__name__}}}}
    if route.needs in (OPEN, SIGNED):
        told["security"] = []
    return told


def _fields(body: type) -> Sequence[Any]:
    import msgspec

    return msgspec.structs.fields(body)


def _who(route: Route) -> str:
    if route.needs == OPEN:
        return "For everybody."
    if route.needs == READ:
        return "For every role."
    if route.needs == RECORD:
        return "For every role, with a token for all models."
    if route.needs == SIGNED:
        return "For whoever signs as the route does: docs/alerts.md."
    if route.needs == ADMIN:
        return "For the role admin."
    return f"For the roles {', '.join(role for role in Role if role in TABLE[route.needs].roles)}."


def _success(route: Route) -> dict[str, Any]:
    if route.answer is None:
        return {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    one = {"$ref": REF + route.answer.__name__}
    if not route.paged:
        told = _json("done" if route.acts else "as it is now", one)
        if route.status in (201, 202):
            told["headers"] = {"Location": {"description": "where it is", "schema": {"type": "string"}}}
        return told
    page = {
        "type": "object",
        "properties": {"items": {"type": "array", "items": one}, "next": {"type": ["string", "null"]}},
        "required": ["items", "next"],
    }
    told = _json("a page", page)
    if route.streams:
        told["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return told


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem() -> dict[str, Any]:
    return {"description": "what went wrong", "content": {"application/problem+json": {"schema": {"$ref": REF + "Problem"}}}}
