"""What programs are told of themselves: errors, headers, and texts of any language."""

from __future__ import annotations

import pytest

from station.web.guard import MAX_BODY_BYTES, MAX_HEADER_BYTES
from station.web.visit import needs_of

HEADERS = {"x-purpose": "stolen vehicle", "x-case-number": "26-014"}
PROBLEM = {"code", "message"}


@pytest.fixture(scope="module")
def web(shared_web):
    return shared_web


@pytest.fixture(scope="module")
def token(web):
    return web.logged_in("analyst").make_token("a-analyst")


@pytest.fixture(scope="module")
def document(web, token):
    return web.browser().get("/api/1/openapi.json", headers=token).json()


def operations(document):
    return {
        (method.upper(), path): one
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    }


def answer_to(operation, status):
    return operation["responses"].get(str(status), operation["responses"]["default"])


def test_errors_are_described_as_they_are_answered(web, token, document):
    """A program that is made from the document must read them."""
    described = document["components"]["schemas"]["Problem"]
    known = operations(document)
    program = web.browser()
    failed = {
        ("GET", "/api/1/me"): program.get("/api/1/me"),
        ("GET", "/api/1/audit"): program.get("/api/1/audit", headers=token),
        ("GET", "/api/1/units/{unit}"): program.get("/api/1/units/nobody", headers=token),
        ("GET", "/api/1/hits"): program.get("/api/1/hits?limit=0", headers={**token, **HEADERS}),
        ("GET", "/api/1/hits/lists"): program.get("/api/1/hits/lists", headers=token),
        ("GET", "/api/1/evidence/{identity}"): program.get("/api/1/evidence/x", headers={**token, **HEADERS}),
        ("POST", "/api/1/reads/search"): program.send(
            "POST", "/api/1/reads/search", json={"limit": 0}, headers={**token, **HEADERS}
        ),
    }
    assert sorted(one.status_code for one in failed.values()) == [401, 403, 403, 404, 409, 422, 422]
    for key, answer in failed.items():
        schema = answer_to(known[key], answer.status_code)["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}
        assert set(answer.json()) == PROBLEM == set(described["required"])


def test_nothing_in_the_document_refers_to_what_is_not_there(document):
    told = str(document)
    assert "ValidationError" not in told
    assert told.count("#/components/schemas/Problem") == len(operations(document))


def test_the_headers_of_a_look_up_are_described(web, document):
    needs = {
        (method, route.path): needs_of(route)
        for route in web.app.routes
        if getattr(route, "include_in_schema", False) and route.path.startswith("/api/1/")
        for method in route.methods
    }
    for key, operation in operations(document).items():
        told = {
            one["name"] for one in operation.get("parameters", []) if one["in"] == "header" and one["required"]
        }
        assert told == ({"X-Purpose", "X-Case-Number"} if needs[key].why else set()), key


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"x" * (MAX_BODY_BYTES + 1)}, 413),
        ({"headers": {"x-long": "a" * MAX_HEADER_BYTES}}, 431),
        ({"headers": {"host": "evil.example"}}, 421),
        ({"headers": {"origin": "https://evil.example"}}, 403),
    ],
    ids=["body", "headers", "host", "origin"],
)
def test_what_no_route_sees_is_answered_to_a_program_in_json(web, options, status):
    answer = web.browser().send("POST", "/api/1/reads/search", **options)
    assert answer.status_code == status
    assert set(answer.json()) == PROBLEM


@pytest.mark.parametrize("purpose", ["vehículo robado, año 2026", "vol de véhicule", "盗難車", "plain"])
def test_a_purpose_is_recorded_as_the_program_sent_it(web, token, purpose):
    sent = {"x-purpose": purpose.encode(), "x-case-number": "n.º 26-014".encode()}
    headers = [(name.encode(), value) for name, value in sent.items()]
    headers.append((b"authorization", token["authorization"].encode()))
    told = web.browser().get("/api/1/me", headers=headers).json()
    assert (told["purpose"], told["case_number"]) == (purpose, "n.º 26-014")
    looked = web.browser().send("POST", "/api/1/reads/search", json={}, headers=headers)
    assert looked.status_code == 200
    assert web.store.audit_trail()[-1].purpose == purpose


def test_a_purpose_in_latin_1_is_read_as_before(web, token):
    headers = [(b"x-purpose", "año robado".encode("latin-1")), (b"authorization", token["authorization"].encode())]
    assert web.browser().get("/api/1/me", headers=headers).json()["purpose"] == "año robado"
