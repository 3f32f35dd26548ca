"""One value at a time: what is a secret, what is not, and what it becomes."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentrun import dialects
from otel_agentrun.detectors import DETECTORS
from otel_agentrun.dialects.dialect import Dialect
from otel_agentrun.dialects.tables import RAW
from otel_agentrun.redact import (
    DEFAULT_DETECTORS,
    MARKER,
    Redactor,
    RedactSettings,
    Treatment,
    detectors,
    problems,
)
from tests.redaction.seeds import KEY, LOOKALIKES, MEMBERS, PEM, PHRASES, TOKENS

DEFAULT = Redactor(RedactSettings(key=KEY))
EVERYTHING = Redactor(RedactSettings(key=KEY, detectors=frozenset(detectors())))

SECRETS = [(rule, secret) for rule, found in TOKENS.items() for secret in found]
FRAMES = (
    "{}",
    "use {} now",
    "key={},",
    '{{"a": "{}"}}',
    "line\\n{}\\n",
    "%3D{}%26",
    "({})",
    "x: {}",
)


def nested(value: object, depth: int) -> str:
    """JSON in JSON in ... ."""
    text = json.dumps(value)
    for _ in range(depth):
        text = json.dumps({"outer": text})
    return text


def unnested(text: str, depth: int) -> object:
    value: object = json.loads(text)
    for _ in range(depth):
        assert isinstance(value, dict)
        value = json.loads(value["outer"])
    return value


@pytest.mark.parametrize(("rule", "secret"), SECRETS)
@pytest.mark.parametrize("frame", FRAMES)
def test_vendor_secrets_go_wherever_they_stand(rule: str, secret: str, frame: str) -> None:
    """No part of a key survives, whatever surrounds it."""
    text = frame.format(secret if frame == "{}" else json.dumps(secret)[1:-1])

    redacted = DEFAULT.value(text)

    assert secret not in redacted
    assert secret.rpartition("_")[2][:40] not in redacted
    assert MARKER.search(redacted)
    if frame == "use {} now":
        assert f"[redacted:{rule}:" in redacted


@pytest.mark.parametrize(("text", "secret"), PHRASES)
def test_secrets_in_urls_headers_and_assignments_go(text: str, secret: str) -> None:
    """Credentials without a vendor's prefix are known by their place."""
    redacted = DEFAULT.value(text)

    assert secret not in redacted
    assert MARKER.search(redacted)


def test_a_connection_string_keeps_scheme_user_and_host() -> None:
    """Only the password is secret; the rest tells which database failed."""
    redacted = DEFAULT.value("postgres://bob:s3cr3t@db.internal:5432/app")

    assert re.fullmatch(
        r"postgres://bob:\[redacted:url_password:[0-9a-f]{8}\]@db\.internal:5432/app", redacted
    )


@pytest.mark.parametrize(("name", "value"), MEMBERS)
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_named_members_go_and_the_json_stays_valid(name: str, value: object, depth: int) -> None:
    """Emitters encode JSON twice and more; the document must still parse at every level."""
    redacted = DEFAULT.value(nested({"id": "keep-me", name: value, "n": 1}, depth))

    result = unnested(redacted, depth)
    assert isinstance(result, dict)
    assert (result["id"], result["n"]) == ("keep-me", 1)
    values = result[name] if isinstance(result[name], list) else [result[name]]
    assert all(MARKER.fullmatch(item) for item in values)


@pytest.mark.parametrize("text", LOOKALIKES)
def test_lookalikes_stay(text: str) -> None:
    """A redacted trace id, price or tool schema is data lost."""
    assert DEFAULT.value(text) == text


def test_equal_secrets_have_equal_markers_and_different_ones_differ() -> None:
    """Otherwise nobody could see that two runs used one key."""
    one, two = (secret for secret in TOKENS["github_token"][:2])

    assert DEFAULT.value(f"a {one}").split()[1] == DEFAULT.value(f"{one} b").split()[0]
    assert DEFAULT.value(one) != DEFAULT.value(two)
    other = Redactor(RedactSettings(key=b"x" * 32))
    assert other.value(one) != DEFAULT.value(one)


pieces = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"', "\\", "\\n", ' "password": ', "=", ":", "-", " ", "\x0b", "é", "["]),
    st.sampled_from([secret for _, secret in SECRETS]),
    st.sampled_from([text for text, _ in PHRASES]),
    st.sampled_from(LOOKALIKES),
    st.sampled_from(["[redacted:secret:01234567]", "[user:0123456789abcdef]", "4111111111111111"]),
    st.builds(
        nested,
        st.dictionaries(st.sampled_from([name for name, _ in MEMBERS]), st.text(max_size=5)),
        st.integers(0, 3),
    ),
)
texts = st.lists(pieces, max_size=8).map("".join)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_redacting_twice_changes_nothing(text: str) -> None:
    """The SDK redacts, the collector redacts again, a journal is replayed."""
    once = EVERYTHING.value(text)

    assert EVERYTHING.value(once) == once


@settings(max_examples=200, deadline=None)
@given(texts)
def test_redaction_of_json_is_json(text: str) -> None:
    """What a dialect could parse before, it can parse after."""
    document = json.dumps({"a": text, "b": [text, {"password": text}], "c": 4111111111111111})

    json.loads(EVERYTHING.value(document))


@pytest.mark.parametrize(
    "text",
    [
        "-sk" * 33_000,
        "sk-" * 33_000,
        "sk-a1 " * 16_000,
        "-eyJaaaaaaaa" * 8_000,
        "eyJ" + "a" * 100_000,
        "-----BEGIN PRIVATE KEY-----" * 3_700,
        "://" * 33_000,
        "://a:b" * 16_000,
        "://a:" + "b" * 100_000,
        'password":"' * 9_000,
        '\\"password\\":\\"' * 6_000,
        '"password"' * 10_000,
        '"token":"' + '\\"token\\":\\"' * 8_000,
        "password=" * 11_000,
        "key" * 33_000,
        "AKIA" * 25_000,
        "AKIAIOSFODNN7EXAMPLE " * 4_700,
        "1" * 100_000,
        "4 " * 50_000,
        "+1 2" * 25_000,
        "a@" * 50_000,
        "a." * 50_000 + "@b",
        "\\" * 100_000 + '"password":"x',
        '"' * 100_000,
        "[redacted:secret:01234567]" * 3_800,
        "DE89 3704 0044 0532 0130 00 " * 3_500,
        "Bearer " * 14_000,
    ],
    ids=lambda text: text[:16],
)
def test_hostile_text_takes_bounded_time(text: str) -> None:
    """Anyone who can send a span can send this: 100 KB must not hold the collector up."""
    started = time.process_time()

    EVERYTHING.value(text)

    assert time.process_time() - started < 2.0


def test_keys_name_values_that_are_secret_as_a_whole() -> None:
    """Attribute keys by glob, whatever their case and separators."""
    redactor = Redactor(RedactSettings(key=KEY, keys=("*.password", "x.exact", "acme-*-code")))

    for key in ("db.password", "password", "DB.Password", "x.exact", "acme.door_code"):
        assert MARKER.fullmatch(redactor.value("plain", key)), key
    for key in ("x.exactly", "passwords", "db.password.length"):
        assert redactor.value("plain", key) == "plain"
    assert MARKER.search(redactor.value('{"acme_door_code":"12"}'))


def test_default_keys_cover_headers() -> None:
    """Captured headers are attributes of HTTP spans (semconv `http.request.header.<key>`)."""
    for key in (
        "http.request.header.authorization",
        "http.request.header.cookie",
        "http.response.header.set-cookie",
        "http.request.header.x-api-key",
        "metadata.user_api_key",
    ):
        assert MARKER.fullmatch(DEFAULT.value("[redacted-looking]", key)), key


def test_identity_keys_become_pseudonyms() -> None:
    """S5.67: a `user.id` that is an e-mail address or phone number; other ids stay readable."""
    pseudonym = DEFAULT.value("Ada@Example.com", "user.id")

    assert re.fullmatch(r"\[user:[0-9a-f]{16}\]", pseudonym)
    assert DEFAULT.value("ada@example.com", "enduser.id") == pseudonym
    assert DEFAULT.value(pseudonym, "user.id") == pseudonym
    assert DEFAULT.value("+1 (415) 555-2671", "user.id").startswith("[user:")
    assert DEFAULT.value("user-7", "user.id") == "user-7"
    assert DEFAULT.value("1234567890", "user.id") == "1234567890"
    always = Redactor(RedactSettings(key=KEY, identity_mode="always"))
    assert always.value("user-7", "user.id").startswith("[user:")
    never = Redactor(RedactSettings(key=KEY, identity_mode="never"))
    assert never.value("ada@example.com", "user.id") == "ada@example.com"


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("pay with 4111 1111 1111 1111 please", None, True),
        ("pay with 4111 1111 1111 1112 please", None, False),
        ('{"card":4111111111111111}', None, True),
        ('{"id":"4111111111111111"}', None, False),
        ('{"tool_call_id":4111111111111111}', None, False),
        ('{"toolCallId":"4111111111111111"}', None, False),
        ("4111111111111111", "gen_ai.response.id", False),
        ("4111111111111111", "gen_ai.tool.call.id", False),
        ("call_4111111111111111", None, False),
        ("a4111111111111111b", None, False),
        ("ring +44 20 7946 0958 today", None, True),
        ("ring (415) 555-2671 today", None, True),
        ("at 2026-11-20 10:00:00", None, False),
        ("DE89 3704 0044 0532 0130 00", None, True),
        ("DE88 3704 0044 0532 0130 00", None, False),
        ("write to ada@example.com.", None, True),
        ("line\\nada@example.com", None, True),
        ("@decorator and a @ b", None, False),
    ],
)
def test_personal_data_is_found_where_asked_for(text: str, key: str | None, found: bool) -> None:
    """Check digits and the exemption of ids keep numbers that are no such data."""
    assert (EVERYTHING.value(text, key) != text) is found
    assert DEFAULT.value(text, key) == text


def test_content_policies() -> None:
    """S3.13: `structure` keeps no value; `full` keeps people's data; no policy keeps a key."""
    secret = TOKENS["openai_key"][0]
    text = json.dumps([{"role": "user", "content": f"I am ada@example.com, {secret}"}])
    every = frozenset(detectors())

    full = Redactor(RedactSettings(key=KEY, content="full", detectors=every))
    assert "ada@example.com" in full.value(text, "gen_ai.input.messages")
    assert secret not in full.value(text, "gen_ai.input.messages")
    assert "ada@example.com" not in full.value(text, "app.note")

    shape = Redactor(RedactSettings(key=KEY, content="structure"))
    redacted = shape.value(text, "gen_ai.input.messages")
    assert json.loads(redacted)["type"] == "array"
    assert "ada" not in redacted
    assert "user" not in redacted
    assert shape.value(redacted, "gen_ai.input.messages") == redacted
    assert shape.value("gpt-4o", "gen_ai.request.model") == "gpt-4o"
    assert shape.value("hello", None, content=True) == '{"type":"string","length":5}'
    assert shape.value("ValueError", "exception.type", content=True) == "ValueError"
    assert "boom" not in shape.value("boom", "exception.message", content=True)
    assert shape.value("user", "llm.input_messages.0.message.role") == "user"
    assert "hi" not in shape.value("hi", "llm.input_messages.0.message.content")


def test_configured_patterns_are_rules() -> None:
    """Their name is in the marker."""
    redactor = Redactor(RedactSettings(key=KEY, patterns=(("badge", r"\bEMP-[0-9]{5}\b"),)))

    assert re.fullmatch(r"by \[redacted:badge:[0-9a-f]{8}\]\.", redactor.value("by EMP-12345."))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not a valid regular expression"),
        ("a*", "matches the empty string"),
        ("(?:x|)", "matches the empty string"),
        (r"(?<=x)y", "looks ahead or behind"),
        (r"x(?!y)", "looks ahead or behind"),
        (r"(a)\1", "refers back"),
        ("a++", "possessive"),
        ("a{,3}b", "{,n}"),
        ("[[:alpha:]]x", "not a valid regular expression"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused_with_the_reason(pattern: str, why: str) -> None:
    """A rule that one engine understands and the other does not would leak."""
    settings = RedactSettings(key=KEY, patterns=(("mine", pattern),))

    with pytest.raises(ValueError, match=r"patterns\.mine") as caught:
        Redactor(settings)

    assert why in str(caught.value)


def test_every_problem_of_the_settings_is_reported_at_once() -> None:
    """STYLE: all mistakes in one report."""
    found = problems(
        RedactSettings(
            key=b"short",
            detectors=frozenset({"nope"}),
            patterns=(("Bad Name", "x"), ("jwt", "y")),
            keys=("*",),
        )
    )

    assert len(found) == 5


def test_the_key_is_not_in_repr() -> None:
    """Settings end up in logs."""
    assert "0123456789abcdef" not in repr(RedactSettings(key=KEY))


def test_every_default_detector_has_a_seed() -> None:
    """A detector without an example is untested."""
    seeded = set(TOKENS) | {"url_password", "bearer", "basic_auth", "secret", "slack_webhook"}

    assert seeded == DEFAULT_DETECTORS
    assert {d.name for d in DETECTORS} - seeded == {"email", "phone", "card", "iban"}


def test_a_cut_key_block_goes_as_well() -> None:
    """SDKs cut long values before they send them."""
    assert DEFAULT.value(f'{{"k":"{json.dumps(PEM)[1:120]}"}}') != ""
    assert "aB3dE5gH7jK9" not in DEFAULT.value(PEM[:120])


NO_CONTENT = frozenset(
    {
        "context_compacted", "data_source", "embedding_model", "model", "parameters",
        "prompt_name", "prompt_version", "tools_offered", "top_k",
    }
)  # fmt: skip
"""What a step's content says of settings and versions."""


@pytest.mark.parametrize("dialect", dialects.ALL, ids=lambda dialect: dialect.name)
def test_what_a_dialect_reads_as_content_is_content_for_redaction(dialect: Dialect) -> None:
    """S3.13: `structure` keeps values of every emitter out, not only of those that a list names."""
    redactor = Redactor(RedactSettings(key=KEY))
    read = {
        key: field
        for table, fields in ((dialect.module.KEYS, RAW), (dialect.content_keys, None))
        for field, keys in table.items()
        if field not in NO_CONTENT and (fields is None or field in fields)
        for key in keys
    }

    assert {
        key: field
        for key, field in read.items()
        if Treatment.CONTENT not in redactor.treatment(key)
    } == {}
