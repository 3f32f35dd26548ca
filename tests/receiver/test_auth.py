"""API keys and roles: the keyring, and both ports in front of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import grpc
import httpx
import pytest
from anyio.from_thread import BlockingPortal

from collector.errors import ForbiddenError, UnauthenticatedError
from collector.receiver.auth import KeyEntry, Keyring, Principal, Role, is_loopback, key_digest
from tests.receiver.edge import Edge, serving
from tests.receiver.requests import JSON, a_trace_request, call

KEYS = (
    KeyEntry(
        name="shop",
        sha256=key_digest("shop-key"),
        roles=frozenset({Role.INGEST}),
        workspace="w1",
        department="d1",
        virtual_key="vk1",
        environment="production",
    ),
    KeyEntry(name="viewer", sha256=key_digest("view-key"), roles=frozenset({Role.READ})),
    KeyEntry(name="root", sha256=key_digest("root-key"), roles=frozenset({Role.ADMIN})),
)


def admitted(authorization: str | None, keyring: Keyring | None = None) -> Principal:
    return (Keyring(KEYS) if keyring is None else keyring).authenticate(
        authorization, peer_is_loopback=True
    )


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("role", "implies"),
    [
        (Role.INGEST, {Role.INGEST}),
        (Role.READ, {Role.READ}),
        (Role.CONTROL, {Role.CONTROL, Role.READ}),
        (Role.ADMIN, set(Role)),
    ],
)
def test_roles_imply_others(role: Role, implies: set[Role]) -> None:
    entry = KeyEntry(name="k", sha256=key_digest("k"), roles=frozenset({role}))
    principal = admitted("Bearer k", Keyring([entry]))

    assert {each for each in Role if principal.allows(each)} == implies
    for denied in set(Role) - implies:
        with pytest.raises(ForbiddenError, match=f"`k` lacks the role `{denied}`"):
            principal.require(denied)


@pytest.mark.parametrize(
    "authorization",
    ["Bearer shop-key", "bearer  shop-key ", basic("pk-lf-1", "shop-key")],
)
def test_a_key_is_a_bearer_token_or_a_basic_password(authorization: str) -> None:
    """Langfuse's exporters know only Basic; the user name is theirs."""
    principal = admitted(authorization)

    assert principal.name == "shop"
    assert principal.stamps == {
        "agentrun.workspace": "w1",
        "agentrun.department": "d1",
        "agentrun.virtual_key": "vk1",
        "deployment.environment.name": "production",
    }


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer shop-keys",
        "shop-key",
        "Basic !!!",
        "Basic c2hvcC1rZXk=",
        "Digest shop-key",
        "Bearer sh\udcffop",
        f"Bearer {key_digest('shop-key')}",
    ],
)
def test_anything_else_is_unauthenticated(authorization: str | None) -> None:
    """Also the digest itself, which is what a leaked configuration shows."""
    with pytest.raises(UnauthenticatedError) as caught:
        admitted(authorization)

    assert "shop-key" not in str(caught.value)


def test_without_keys_only_this_host_or_a_client_certificate_is_let_in() -> None:
    """The configuration refuses other addresses without authentication; this is the second lock."""
    ring = Keyring()

    assert all(admitted(None, ring).allows(role) for role in Role)
    assert ring.authenticate(None, peer_is_loopback=False, peer_is_verified=True).stamps == {}
    with pytest.raises(UnauthenticatedError, match=r"auth\.keys"):
        ring.authenticate(None, peer_is_loopback=False)


def test_digests_are_masked() -> None:
    """A configuration that is printed or logged shows no digest (STYLE: secrets in `repr`)."""
    assert KEYS[0].sha256 not in repr(KEYS[0])


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1:4", True),
        ("ipv4:127.8.0.1:4", True),
        ("[::1]:4", True),
        ("ipv6:[::1]:4", True),
        ("ipv6:%5B::1%5D:4", True),
        ("[::ffff:127.0.0.1]:4", True),
        ("unix:/tmp/x", True),
        ("10.0.0.1:4", False),
        ("ipv6:[fe80::1%25eth0]:4", False),
        (":0", False),
        ("", False),
        ("localhost.evil.example:4", False),
    ],
)
def test_loopback_peers(peer: str, expected: bool) -> None:
    assert is_loopback(peer) is expected


@pytest.fixture(scope="module")
def keyed(portal: BlockingPortal) -> Iterator[Edge]:
    with serving(portal, keys=KEYS) as edge:
        yield edge


@pytest.mark.parametrize(
    ("authorization", "http_code", "code"),
    [
        (None, 401, grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer wrong", 401, grpc.StatusCode.UNAUTHENTICATED),
        ("Bearer view-key", 403, grpc.StatusCode.PERMISSION_DENIED),
    ],
)
def test_both_ports_refuse_without_the_ingest_role(
    keyed: Edge, authorization: str | None, http_code: int, code: grpc.StatusCode
) -> None:
    """With keys configured, loopback peers need one too."""
    before = len(keyed.intake.calls)
    headers = {} if authorization is None else {"authorization": authorization}
    answer = httpx.post(
        keyed.http_url + "/v1/traces", content=b"{}", headers={"content-type": JSON, **headers}
    )
    assert answer.status_code == http_code
    assert answer.json()["code"] == code.value[0]
    assert ("www-authenticate" in answer.headers) == (http_code == 401)

    with pytest.raises(grpc.RpcError) as caught:
        call(keyed, a_trace_request(), metadata=list(headers.items()))
    assert caught.value.code() is code
    assert len(keyed.intake.calls) == before


@pytest.mark.parametrize("key", ["shop-key", "root-key"])
def test_both_ports_take_a_key_with_the_role_and_stamp_what_it_says(keyed: Edge, key: str) -> None:
    """The key's own values win over what the client sends (DESIGN section 4)."""
    headers = {
        "authorization": f"Bearer {key}",
        "x-request-id": "r1",
    }
    call(keyed, a_trace_request(), metadata=list(headers.items()))
    # A key keeps web pages out, so any Host will do.
    httpx.post(
        keyed.http_url + "/v1/traces",
        content=b"{}",
        headers={"content-type": JSON, "host": "collector.internal", **headers},
    ).raise_for_status()

    stamps = admitted(f"Bearer {key}").stamps
    for seen in keyed.intake.calls[-2:]:
        assert seen.ingest == {"agentrun.request.id": "r1", **stamps}
