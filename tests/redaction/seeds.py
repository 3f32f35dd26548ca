"""Secrets in every shape the detectors know, and text that only looks like one.

Nothing here is or was a working credential: the bodies are made from a fixed alphabet.
"""

from __future__ import annotations

import base64
import json
from typing import Final

KEY: Final = b"0123456789abcdef0123456789abcdef"

BODY: Final = "aB3dE5gH7jK9mN1pQ4sT6vW8xY0zC2fL5nR7uX9bD1gJ3kM5pS7tV9wZ2cF4hL6n"
HEX: Final = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"


def _segment(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JWT: Final = ".".join(
    (_segment({"alg": "HS256", "typ": "JWT"}), _segment({"sub": "1234567890"}), BODY[:43])
)
PEM: Final = (
    "-----BEGIN RSA PRIVATE KEY-----\n" + (BODY + "\n") * 3 + "-----END RSA PRIVATE KEY-----"
)
BASIC: Final = base64.b64encode(b"Aladdin:open sesame").decode()

TOKENS: Final[dict[str, tuple[str, ...]]] = {
    "anthropic_key": (f"sk-ant-api03-{BODY}", f"sk-ant-{BODY[:20]}"),
    "openai_key": (
        f"sk-proj-{BODY}",
        f"sk-{BODY[:48]}",
        f"sk-svcacct-{BODY}",
        f"sk-or-v1-{HEX}",
        "sk-lf-550e8400-e29b-41d4-a716-446655440000",
    ),
    "aws_key": ("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
    "google_key": (f"AIza{BODY[:35]}", f"ya29.{BODY}", f"GOCSPX-{BODY[:28]}"),
    "github_token": (
        f"ghp_{BODY[:36]}",
        f"gho_{BODY[:36]}",
        f"ghs_{BODY[:36]}",
        f"github_pat_{BODY[:22]}_{BODY[:59]}",
    ),
    "gitlab_token": (f"glpat-{BODY[:20]}", f"glrt-{BODY[:20]}"),
    "slack_token": (f"xoxb-{HEX[:12]}-{BODY[:24]}", f"xapp-1-A012-{HEX[:13]}-{HEX}"),
    "stripe_key": (f"sk_live_{BODY[:24]}", f"rk_live_{BODY[:24]}", f"whsec_{BODY[:32]}"),
    "huggingface_token": (f"hf_{BODY[:34]}",),
    "npm_token": (f"npm_{BODY[:36]}",),
    "pypi_token": (f"pypi-AgEIcHlwaS5vcmc{BODY}",),
    "sendgrid_key": (f"SG.{BODY[:22]}.{BODY[:43]}",),
    "twilio_key": (f"SK{HEX[:32]}",),
    "azure_key": (f"AccountKey={BODY}{BODY[:22]}==",),
    "model_vendor_key": (f"gsk_{BODY[:52]}", f"xai-{BODY}", f"dapi{HEX[:32]}"),
    "service_token": (f"dop_v1_{HEX}", f"shpat_{HEX[:32]}", f"glsa_{BODY[:32]}_{HEX[:8]}"),
    "telegram_token": (f"123456789:AA{BODY[:33]}",),
    "jwt": (JWT,),
    "private_key": (PEM,),
}
"""Detector -> secrets that stand alone."""

PHRASES: Final[tuple[tuple[str, str], ...]] = (
    ("postgres://bob:s3cr3t-pw@db.internal:5432/app", "s3cr3t-pw"),
    ("mongodb+srv://root:p@ss/word@cluster0.example.net/?w=1", "p@ss/word"),
    ("redis://:onlypassword1@cache:6379/0", "onlypassword1"),
    ("smtp://me@example.com:mailpass9@smtp.example.com", "mailpass9"),
    ("https:\\/\\/bob:s3cr3tpw@example.com\\/x", "s3cr3tpw"),
    (f"Authorization: Bearer {BODY[:30]}", BODY[:30]),
    ("Authorization: Bearer opaquetokenwithoutdigits", "opaquetokenwithoutdigits"),
    (f"curl -H 'authorization: basic {BASIC}' https://example.com", BASIC),
    (f"proxy said Bearer%20{BODY[:30]}", BODY[:30]),
    ("password=hunter2hunter", "hunter2hunter"),
    ("https://example.com/?user=1&api_key=abcdef123456&x=2", "abcdef123456"),
    ("DB_PASSWORD=tr0ub4dor&3", "tr0ub4dor"),
    ("export OPENAI_API_KEY='not-the-usual-shape-1'", "not-the-usual-shape-1"),
    ("Server=db;Database=x;User Id=sa;Password=Adm1n-pass;", "Adm1n-pass"),
    ("mysql --user root --password corr3ct-horse -h db", "corr3ct-horse"),
    ("Cookie: sid=31d4d96e407aad42; theme=dark", "31d4d96e407aad42"),
    ("{'password': 'py-repr-pw', 'n': 1}", "py-repr-pw"),
    ("client_secret: 'yaml-secret-1'", "yaml-secret-1"),
    ("api_key\\u003dgo-escaped-77", "go-escaped-77"),
    ("AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    (f"session_token: {BODY[:40]}", BODY[:40]),
    (f"https://hooks.slack.com/services/T0000AAAA/B0000BBBB/{BODY[:24]}", BODY[:24]),
)
"""(text, the part that must go)."""

MEMBERS: Final[tuple[tuple[str, object], ...]] = (
    ("password", "hunter2"),
    ("password", 'quote " and \\ backslash'),
    ("db_password", "line\nend"),
    ("clientSecret", "s"),
    ("api_key", "plain-key"),
    ("x-api-key", "plain-key"),
    ("apiKey", 12345678),
    ("Authorization", "Digest username=x"),
    ("set-cookie", ["sid=abc123; Path=/", "b=c"]),
    ("private_key", PEM),
    ("refresh_token", "opaque value"),
)
"""(member name, value) pairs whose value must go, at any depth of encoding."""

LOOKALIKES: Final[tuple[str, ...]] = (
    "550e8400-e29b-41d4-a716-446655440000",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7",
    "task-1234567890abcdef1234567890",
    "the disk-usage-2024-report-final-v2",
    "sk-cube-grid-loading-animation-fast",
    "ask-anthropic-about-it",
    "gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-5-20250929",
    "chatcmpl-AbCdEf123456789012345678901",
    "call_24cf745f1063cac13f5150",
    "toolu_dd59b297a4d250a8decc840",
    "msg_01XFDUDYJgAACzvnptvVoYEL",
    "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "The total is $1,234.56 for order A-1001, due 2026-11-20T23:54:18.000Z",
    "Order 4111-0000-1234 shipped; tracking 1Z999AA10123456784",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode(),
    "def connect(password: str, token: Optional[str] = None) -> Connection: ...",
    "client = OpenAI(api_key=os.environ['OPENAI_API_KEY'])",
    "login(password=password, token=self.token, secret=settings.secret)",
    "Password: must have at least twelve characters",
    "basic economy, Basic Economy and Bearer authentication schemes",
    '{"type":"object","properties":{"password":{"type":"string"}},"required":["password"]}',
    '{"max_tokens":4096,"total_tokens":1350,"token":"Hello","logprob":-0.31}',
    '{"nextPageToken":"CAUQAA1234567890abcdefXYZ","page_token":"q1w2e3r4t5y6u7i8o9"}',
    '{"api_key":null,"password":"","secret":false}',
    "http://127.0.0.1:9999/v1/chat/completions",
    "https://example.com:8443/path@2x.png",
    "see git@github.com:org/repo.git and user@example.com",
    "vscode://file/home/me/x.py:12:4",
    "import hf_hub; npm_config_registry; pypi-server; AIzawa-san; AKIA is a prefix",
    "keys such as -----BEGIN PRIVATE KEY----- start like this",
    "eyJ is how a token starts",
    "PWD=/home/me/project",
    "SKU SK0123 in stock: SKYLINE",
    "secret santa, secretary, tokenizer, cookie recipe: butter",
)
"""What default detectors must leave alone."""
