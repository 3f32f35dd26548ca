"""What secrets and personal data look like: one table of detectors over Python text.

A detector has an exact finder and two cheap supersets of it, so that text without secrets costs
little: `needles` (plain substrings, for Python) and `hint` (a pattern over UTF-8 bytes in the
syntax that Hyperscan and `re` share, for whole columns).  Whatever a finder finds, both must admit;
`tests/redaction` holds them to it.  Finders take time linear in the text: bounded repeats,
possessive runs, and no rescan of long refused ones.

Prefixes and lengths are the vendors' own, as published in their documentation (see
docs/redaction.md for the pages).  Patterns are ASCII: `\\s`, `\\w` and case folding differ between
engines beyond it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["DETECTORS", "Detector", "Span", "closing_quote", "member_values", "members"]


class Span(NamedTuple):
    """Characters `start` up to `end` are a secret; `quote` goes around what replaces them."""

    start: int
    end: int
    quote: str = ""


Finder = Callable[[str], Iterator[Span]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One rule; its name appears in the marker."""

    name: str
    title: str
    needles: tuple[str, ...]
    """Text without any of these holds no match; lower case when `folded`."""
    hint: str
    find: Finder
    default: bool = True
    folded: bool = False
    """`needles` are looked for in lower-cased text."""
    personal: bool = False
    """Data about a person and not a credential: off by default, not applied under `full`."""
    numeric: bool = False
    """Matches digits only, so ids are exempt."""

    def may_match(self, text: str, lowered: str) -> bool:
        haystack = lowered if self.folded else text
        # A plain loop: this runs for every value and detector, and a generator costs twice as much.
        for needle in self.needles:
            if needle in haystack:
                return True
        return not self.needles


# Not inside a word.  The letters of `\n`, `\u003d` and `%3D` are escapes, not words.
WORD_START: Final = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbfv])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
)
WORD_END: Final = r"(?![A-Za-z0-9])"
REFUSED_CHARS_MAX: Final = 512
"""A longer run that starts like a key is one, whatever it looks like: rescans stay bounded."""


def _finder(pattern: str, accept: Callable[[str], bool] | None = None, flags: int = 0) -> Finder:
    """Finds group `secret` (or the whole match) where `accept` agrees with its text."""
    compiled = re.compile(pattern, re.ASCII | flags)
    group = "secret" if "secret" in compiled.groupindex else 0

    def find(text: str) -> Iterator[Span]:
        at = 0
        while (match := compiled.search(text, at)) is not None:
            secret = match[group]
            if accept is None or len(secret) > REFUSED_CHARS_MAX or accept(secret):
                yield Span(*match.span(group))
                at = max(match.end(), match.start() + 1)
            else:
                at = match.start() + 1

    return find


HINT_CHARS: Final = 3
"""Characters after a prefix that a hint asks for: enough that prose hardly ever has them."""


def _token(
    name: str,
    title: str,
    prefix: str,
    body: str,
    *,
    needles: tuple[str, ...],
    least: int,
    accept: Callable[[str], bool] | None = None,
    end: str = "",
    exactly: bool = False,
) -> Detector:
    """A key that is `prefix` and at least `least` characters of class `body`."""
    count = f"{{{least}}}" if exactly else f"{{{least},}}+"
    return Detector(
        name=name,
        title=title,
        needles=needles,
        hint=f"(?:{prefix}){body}{{{HINT_CHARS}}}",
        find=_finder(f"{WORD_START}(?:{prefix}){body}{count}{end}", accept),
    )


ALNUM: Final = "[A-Za-z0-9]"
URLSAFE: Final = "[A-Za-z0-9_-]"
HEX: Final = "[0-9a-f]"
BASE64: Final = "[A-Za-z0-9+/]"

_KNOWN_SK: Final = re.compile(r"sk-(?:proj|svcacct|admin|None|or-v1|lf)-", re.ASCII)


def looks_random(text: str) -> bool:
    """Letters and digits mixed as in a generated key; words joined by dashes are not."""
    digits = sum(char.isdigit() for char in text)
    letters = sum(char.isalpha() for char in text)
    separators = len(text) - digits - letters
    return digits >= 2 and letters >= 2 and separators * 6 <= len(text)


def _sk_key(text: str) -> bool:
    """`sk-` is also how CSS classes and package names begin."""
    return _KNOWN_SK.match(text) is not None or looks_random(text[3:])


def _basic_credentials(text: str) -> bool:
    """RFC 7617: base64 of `user:password`; the words after "basic" in prose are not."""
    if text.isalpha() and text.islower():
        return False
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded and all(32 <= byte != 127 for byte in decoded)


def _bearer_value(text: str) -> bool:
    return any(char.isdigit() for char in text) or len(text) >= 32


_PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY: Final = re.compile(r"(?:[A-Za-z0-9+/=:,.\\-]|\s)*+", re.ASCII)
_PEM_CHARS: Final = re.compile(r"[A-Za-z0-9+/]{24}")


def _private_keys(text: str) -> Iterator[Span]:
    """Blocks up to END; cut-off ones as far as they look like one.  Prose about PEM is neither."""
    at = 0
    ends = True
    while (begin := _PEM_BEGIN.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end()) if ends else None
        ends = end is not None
        if end is not None:
            at = end.end()
            if text[begin.end() : end.start()].strip():
                yield Span(begin.start(), at)
            continue
        body = _PEM_BODY.match(text, begin.end())
        assert body is not None  # the pattern matches the empty string
        at = body.end()
        if _PEM_CHARS.search(body[0]):
            yield Span(begin.start(), begin.end() + len(body[0].rstrip("\\")))


_AWS_ID: Final = re.compile(WORD_START + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])")
_AWS_SECRET: Final = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])")
_AWS_MIXED: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])")
AWS_NEAR_CHARS: Final = 200


def _aws_keys(text: str) -> Iterator[Span]:
    """Access key ids, and the 40 characters near one that can only be its secret."""
    done = 0
    for match in _AWS_ID.finditer(text):
        yield Span(*match.span())
        start = max(done, match.start() - AWS_NEAR_CHARS)
        done = match.end() + AWS_NEAR_CHARS
        for secret in _AWS_SECRET.finditer(text, start, done + 41):
            if _AWS_MIXED.match(secret[0]):
                yield Span(*secret.span())


# --- members: `"name": value` at any depth of JSON in JSON, Python reprs, `name=value` ----------

_MEMBER: Final = re.compile(
    r"""(?P<quote>(?<!\\)\\*+["'])(?P<name>[^"'\\\x00-\x1f]{1,80})(?P=quote)"""
    r"""[ \t\r\n]*(?:=>|[:=])[ \t\r\n]*"""
)
_QUOTES: Final = {'"': re.compile(r'(?<!\\)(\\*+)"'), "'": re.compile(r"(?<!\\)(\\*+)'")}
_OPENING: Final = re.compile(r"""\\*(["'])""")
_COMMA: Final = re.compile(r"(?:[ \t\r\n]|\\[nrt])*,(?:[ \t\r\n]|\\[nrt])*")
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|\\[nrt])*")
_NUMBER: Final = re.compile(r"-?[0-9][0-9.eE+-]*+")


def _level(backslashes: int) -> int:
    """How many JSON strings a quote after so many backslashes is nested in: 0, 1, 3, 7, ... ."""
    level = 0
    while backslashes & 1:
        backslashes >>= 1
        level += 1
    return level


def closing_quote(text: str, start: int, quote: str) -> int:
    """Where a string that `quote` (a quotation mark and its backslashes) opened at `start` ends.

    A cut value has no closing quote: the string then ends with the text.
    """
    depth = _level(len(quote) - 1)
    for match in _QUOTES[quote[-1]].finditer(text, start):
        level = _level(len(match[1]))
        if level <= depth:
            return max(start, match.end() - (1 << level))
    return len(text)


def member_values(text: str, at: int, quote: str) -> Iterator[Span]:
    """The string, number or strings of an array that a member has at `at`.

    `quote` is what stands around the member's name.
    """
    depth = _level(len(quote) - 1)
    number = _NUMBER.match(text, at)
    if number is not None:
        yield Span(*number.span(), quote)
        return
    in_array = text.startswith("[", at)
    if in_array:
        space = _SPACE.match(text, at + 1)
        assert space is not None  # the pattern matches the empty string
        at = space.end()
    # A quote of an outer level ends the string that the name is in: no value begins there.
    while (opening := _OPENING.match(text, at)) and _level(len(opening[0]) - 1) >= depth:
        end = closing_quote(text, opening.end(), opening[0])
        yield Span(opening.end(), end)
        comma = _COMMA.match(text, end + len(opening[0])) if in_array else None
        if comma is None:
            return
        at = comma.end()


def members(text: str, secret: Callable[[str, str], bool]) -> Iterator[Span]:
    """Values of quoted members where `secret(name, value)`.

    Objects are not values: the members in them have names of their own, and `password` in a JSON
    schema describes one.
    """
    at = 0
    while (match := _MEMBER.search(text, at)) is not None:
        at = match.end()
        name = match["name"]
        for span in member_values(text, at, match["quote"]):
            if span.end > span.start and secret(name, text[span.start : span.end]):
                at = span.end
                yield span


SECRET_NAMES: Final = (
    r"pass(?:word|wd|phrase)|pwd|(?:api|access|secret|private|account|signing|encryption)[_-]?key"
    r"|secret|authorization|cookie|credentials?|token"
)
_NOT_SECRET: Final = re.compile(
    r"null|none|nil|true|false|undefined|string|str|required|optional|redacted|[*._ -]+|x{3,}"
    r"|<[^<>]*>|\$\{\w+\}|(?-i:\$[A-Z_]{3,})|\{\{?[^{}]*\}?\}|%s|%\(\w+\)s|[0-9]{1,3}",
    re.IGNORECASE | re.ASCII,
)
_REFERENCE: Final = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+", re.ASCII)
_STRONG_TOKEN: Final = re.compile(
    r"(?:access|refresh|auth|bearer|session|api|secret|security|private|id)[_-]?token$",
    re.IGNORECASE | re.ASCII,
)
_CURSOR: Final = re.compile(
    r"(?:page|next|prev|cursor|continuation|sync)[_-]?[A-Za-z]{0,12}$", re.IGNORECASE
)
_LAST_WORD: Final = re.compile(r"[a-z]+$")
_WORD: Final = re.compile(r"[A-Za-z_-]+", re.ASCII)
_NAME_ENDS: Final = (
    "password", "passwd", "passphrase", "pwd", "key", "secret", "authorization", "cookie",
    "credential", "credentials", "token",
)  # fmt: skip
"""How a name in `SECRET_NAMES` ends: found as plain substrings, which costs least."""
_KEY_OF: Final = re.compile(
    r"(?:api|access|secret|private|account|signing|encryption)[_-]?key$", re.IGNORECASE | re.ASCII
)
_AFTER_NAME: Final = re.compile(
    r"""(?:(?P<quote>\\*["'])[ \t\r\n]*)?+"""
    r"""(?:[ \t]*+(?P<sep>=>|:=|\\+u003[dD]|[:=])[ \t\r\n]*+|[ ]++)"""
)
_STRING_ENDED: Final = re.compile(r"""(?:[ \t\r\n]|\\+[nrt])*(?:[,:}\]]|\\*["']|$)""")
_FLAG: Final = re.compile(r"--[A-Za-z0-9-]{0,40}$", re.ASCII)
_BARE: Final = re.compile(r"[^\s\"'`,;&<>(){}\[\]|\\]{4,}+", re.ASCII)
_SCHEME: Final = re.compile(r"(?:basic|bearer|token|digest|apikey|negotiate)[ ]+", re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n\"'\\]{4,}+")


def _secret_value(name: str, value: str) -> bool:
    """Is `value` a secret, when what `name` ends with tells that it may be?"""
    if not value or _NOT_SECRET.fullmatch(value):
        return False
    kind = name.lower()
    if kind.endswith("token") and _STRONG_TOKEN.search(name) is None:
        # Also what a tokenizer calls its pieces, and pages their cursors.
        return (
            len(value) >= 16
            and " " not in value[:256]
            and looks_random(value[:256])
            and _CURSOR.search(name[:-5].rstrip("_-. ")) is None
        )
    if kind.endswith("pwd"):
        return not value.startswith(("/", "~", ".")) and value[1:3] not in (":\\", ":/")
    if kind.endswith("cookie"):
        return "=" in value[:4096]
    return True


def _named_secrets(text: str) -> Iterator[Span]:
    """JSON members at any depth, `name=value`, `name: value`, `--name value`, headers.

    Not code and prose that only name a secret.
    """
    # Lower case of ASCII alone keeps every character in its place.
    lowered = text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    ends = sorted(
        {
            at + len(name)
            for name in _NAME_ENDS
            if name in lowered
            for at in _occurrences(lowered, name)
        }
    )
    done = 0
    for end in ends:
        if end <= done:
            continue
        name = text[max(0, end - 64) : end]
        if lowered.endswith("key", 0, end) and _KEY_OF.search(name[-16:]) is None:
            continue
        after = _AFTER_NAME.match(text, end)
        if after is None:
            continue
        if after["quote"] is not None and after["sep"] is not None:
            spans = member_values(text, after.end(), after["quote"])
        else:
            spans = _assigned(text, after, name)
        for span in spans:
            if span.end > span.start and _secret_value(name, text[span.start : span.end]):
                done = span.end
                yield span


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _assigned(text: str, after: re.Match[str], name: str) -> Iterator[Span]:
    """What an unquoted name is given: a quoted string, or characters up to a delimiter."""
    sep, start = after["sep"], after.end()
    flag = _FLAG.search(name) is not None
    if sep is None and not flag:
        return
    opening = _OPENING.match(text, start)
    if opening is not None:
        # Before a comma or a bracket a quote in JSON ends the string that ends with `password=`.
        in_json = len(opening[0]) > 1 or text.lstrip()[:1] in ("{", "[", '"')
        if not (in_json and _STRING_ENDED.match(text, opening.end())):
            yield Span(opening.end(), closing_quote(text, opening.end(), opening[0]))
        return
    if "\n" in after[0]:
        return  # a block below `password:`
    kind = name.lower()
    scheme = _SCHEME.match(text, start) if kind.endswith("authorization") else None
    start = start if scheme is None else scheme.end()
    cookie = kind.endswith("cookie")
    bare = (_LINE if cookie else _BARE).match(text, start)
    if bare is None:
        return
    value = bare[0]
    if text[bare.end() : bare.end() + 1] in ("(", "[") or _REFERENCE.fullmatch(value):
        return  # a call, an index, `settings.password`: code
    if _WORD.fullmatch(value) and scheme is None and not flag:
        if sep == ":":
            return  # prose and type annotations: `Password: must`, `token: str`
        word = _LAST_WORD.search(kind)
        if word is not None and value.lower().endswith(word[0]):
            return  # keyword arguments: `api_key=my_api_key`
    yield Span(start, bare.end())


# --- personal data -------------------------------------------------------------------------------

_ID_MEMBER: Final = re.compile(
    r"""(?:^|[^A-Za-z0-9])(?:[A-Za-z0-9_.-]{0,40}[_.-])?(?:id|ids|uuid|guid|hash|digest|fingerprint)"""
    r"""\\*["']?[ \t]*[:=][ \t]*\[?[ \t]*\\*["']?[A-Za-z0-9_.:-]{0,64}$""",
    re.IGNORECASE | re.ASCII,
)
_CAMEL_ID: Final = re.compile(r"""[a-z](?:Id|ID|Ids|Uuid)\\*["']?[ \t]*[:=][ \t]*\\*["']?$""")
_LAST_QUOTE: Final = re.compile(r"""(\\*["'])[ \t]*:[ \t\r\n]*$|[\[,][ \t\r\n]*$""")
_JSON_AFTER: Final = re.compile(r"[ \t\r\n]*(?:[,}\]]|$)")


def _numbers(pattern: str, accept: Callable[[str], bool] | None = None) -> Finder:
    """As `_finder`, without ids: values of members named `id`, `call_id`, `toolCallId`, ... ."""
    find = _finder(pattern, accept)

    def find_numbers(text: str) -> Iterator[Span]:
        for span in find(text):
            before = text[max(0, span.start - 128) : span.start]
            if not (_ID_MEMBER.search(before) or _CAMEL_ID.search(before)):
                yield span._replace(quote=_number_quote(text, before, span))

    return find_numbers


def _number_quote(text: str, before: str, span: Span) -> str:
    """The quote a bare JSON number needs around its marker, so that the document stays JSON."""
    place = _LAST_QUOTE.search(before)
    if place is None or not text[span.start : span.end].isdigit():
        return ""
    if _JSON_AFTER.match(text, span.end) is None:
        return ""
    if place[1] is not None:
        return place[1]
    return '"' if text.lstrip()[:1] in ("[", "{") else ""


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1 check digit, and a first digit that payment networks use."""
    digits = [int(char) for char in text if char.isdigit()]
    if digits[0] not in (2, 3, 4, 5, 6) or not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    total = sum(digits[-1::-2])
    total += sum(digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return total % 10 == 0


def iban(text: str) -> bool:
    """ISO 13616: the number that the rearranged letters and digits spell is 1 modulo 97."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    spelled = "".join(str(int(char, 36)) for char in compact[4:] + compact[:4])
    return int(spelled) % 97 == 1


EMAIL: Final = (
    r"[A-Za-z0-9.!#$%&*+/=?^_`{|}~-]{1,64}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}"
)
PHONE: Final = (
    r"\+[0-9](?:[ ().-]{0,2}[0-9]){6,14}"
    r"|\([0-9]{3}\)[ .-]?[0-9]{3}[ .-][0-9]{4}|[0-9]{3}[.-][0-9]{3}[.-][0-9]{4}"
)
_NUMBER_START: Final = (
    r"(?:(?<![A-Za-z0-9_.+-])|(?<=\\[nrtbfv])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
)
_NUMBER_END: Final = r"(?![A-Za-z0-9_]|[.-][A-Za-z0-9])"


DETECTORS: Final[tuple[Detector, ...]] = (
    _token("anthropic_key", "Anthropic API keys (sk-ant-...)", "sk-ant-", URLSAFE,
           needles=("sk-ant-",), least=8),
    _token("openai_key", "OpenAI and compatible keys (sk-..., sk-proj-..., sk-svcacct-...)",
           "sk-", URLSAFE, needles=("sk-",), least=16, accept=_sk_key),
    Detector(name="aws_key", title="AWS access key ids (AKIA, ASIA) and the secret near one",
             needles=("AKIA", "ASIA", "ABIA", "ACCA"), hint="(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{4}",
             find=_aws_keys),
    _token("google_key", "Google API keys, OAuth tokens and client secrets (AIza, ya29., GOCSPX-)",
           r"AIza|ya29\.|GOCSPX-", URLSAFE, needles=("AIza", "ya29.", "GOCSPX-"), least=24),
    _token("github_token", "GitHub tokens (ghp_, gho_, ghu_, ghs_, ghr_, github_pat_)",
           "gh[pousr]_|github_pat_", "[A-Za-z0-9_]",
           needles=("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), least=22),
    _token("gitlab_token", "GitLab tokens (glpat-, gldt-, glrt-, glptt-, ...)",
           "gl(?:pat|dt|rt|ptt|cbt|oas|ft|imt|agent|soat|ffct)-", "[A-Za-z0-9_.-]",
           needles=("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "gloas-", "glft-", "glimt-",
                    "glagent-", "glsoat-", "glffct-"), least=16),
    _token("slack_token", "Slack tokens (xoxb-, xoxp-, xapp-, ...)",
           r"xox[abceoprs]-|xapp-[0-9]-", "[A-Za-z0-9-]", needles=("xox", "xapp-"), least=10),
    Detector(name="slack_webhook", title="Slack incoming webhooks (hooks.slack.com/services/...)",
             needles=("hooks.slack.com",), hint=r"hooks\.slack\.com",
             find=_finder(r"hooks\.slack\.com\\{0,8}/[a-z]{1,16}\\{0,8}/"
                          r"(?P<secret>[A-Za-z0-9]{1,24}(?:\\{0,8}/[A-Za-z0-9]{1,64}){1,3})")),
    _token("stripe_key", "Stripe keys and webhook secrets (sk_live_, rk_live_, whsec_)",
           "[sr]k_(?:live|test)_|whsec_", ALNUM,
           needles=("k_live_", "k_test_", "whsec_"), least=16),
    _token("huggingface_token", "Hugging Face tokens (hf_)", "hf_", ALNUM,
           needles=("hf_",), least=30),
    _token("npm_token", "npm tokens (npm_)", "npm_", ALNUM, needles=("npm_",), least=36),
    _token("pypi_token", "PyPI tokens (pypi-)", "pypi-", URLSAFE, needles=("pypi-",), least=50),
    _token("sendgrid_key", "SendGrid keys (SG.)", r"SG\.[A-Za-z0-9_-]{16,32}\.", URLSAFE,
           needles=("SG.",), least=30),
    _token("twilio_key", "Twilio API keys (SK and 32 hex)", "SK", HEX, needles=("SK",), least=32,
           exactly=True, end=WORD_END),
    _token("azure_key", "Azure storage and service bus keys (AccountKey=, SharedAccessKey=)",
           r"(?:AccountKey|SharedAccessKey)=", "[A-Za-z0-9+/=]",
           needles=("AccountKey=", "SharedAccessKey="), least=30),
    _token("model_vendor_key",
           "Keys of other model vendors and tools: Groq, xAI, Perplexity, Replicate, NVIDIA, "
           "Databricks, LangSmith, Tavily, Pinecone",
           "gsk_|xai-|pplx-|r8_|nvapi-|dapi|lsv2_(?:pt|sk)_|tvly-|pcsk_", URLSAFE,
           needles=("gsk_", "xai-", "pplx-", "r8_", "nvapi-", "dapi", "lsv2_", "tvly-", "pcsk_"),
           least=24, accept=looks_random),
    _token("service_token",
           "Tokens of other services: DigitalOcean, Shopify, Linear, Vault, Grafana, New Relic, "
           "Atlassian, Docker Hub, Supabase",
           r"do[opr]_v1_|shp(?:at|ca|pa|ss)_|lin_api_|hv[sb]\.|gl(?:c|sa)_|NRAK-|ATATT3|dckr_pat_"
           r"|sbp_", "[A-Za-z0-9_=-]",
           needles=("_v1_", "shpat_", "shpca_", "shppa_", "shpss_", "lin_api_", "hvs.", "hvb.",
                    "glc_", "glsa_", "NRAK-", "ATATT3", "dckr_pat_", "sbp_"),
           least=24, accept=looks_random),
    Detector(name="telegram_token", title="Telegram bot tokens", needles=(":AA",),
             hint="[0-9]{6}:AA[A-Za-z0-9_-]{6}",
             find=_finder(WORD_START + r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")),
    Detector(name="jwt", title="JSON Web Tokens (RFC 7519), signed or encrypted",
             needles=("eyJ",), hint="eyJ[A-Za-z0-9_-]{8}",
             find=_finder(
                 r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbfv])|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
                 r"eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{4,}+(?:\.[A-Za-z0-9_-]*+){1,3}")),
    Detector(name="private_key", title="PEM private key blocks, also with escaped line ends",
             needles=("-----BEGIN ",), hint="-----BEGIN [A-Z0-9 ]*PRIVATE",
             find=_private_keys),
    Detector(name="url_password", title="The password in scheme://user:password@host",
             needles=("/",), hint=r""":\\*/\\*/[^\s:/"'\\<>]*:[^\s"'<>\\]+@""",
             find=_finder(r""":\\{0,8}/\\{0,8}/[^\s:/"'\\<>?#]{0,256}:"""
                          r"""(?P<secret>(?![0-9]{1,5}[/?#])(?:(?!://)[^\s"'<>\\]){1,512})"""
                          r"""@(?=[A-Za-z0-9\[])""")),
    Detector(name="bearer", title="Bearer values (RFC 6750)", needles=("bearer",), folded=True,
             hint=r"(?i:bearer)(?:[ \t]|%20|\+)+[A-Za-z0-9]",
             find=_finder(r"bearer(?:[ \t]|%20|\+)+(?P<secret>[A-Za-z0-9][A-Za-z0-9._~+/=-]{7,}+)",
                          _bearer_value, re.IGNORECASE)),
    Detector(name="basic_auth", title="Basic credentials (RFC 7617)", needles=("basic",),
             folded=True, hint=r"(?i:basic)(?:[ \t]|%20|\+)+[a-z]*[A-Z0-9+/=]",
             find=_finder(r"basic(?:[ \t]|%20|\+)+(?P<secret>[A-Za-z0-9+/]{4,}+={0,2})",
                          _basic_credentials, re.IGNORECASE)),
    Detector(name="secret",
             title="Values named password, secret, api_key, access_key, private_key, token, "
                   "authorization, cookie, ...: JSON members, key=value, headers, options",
             needles=("pass", "pwd", "key", "secret", "authorization", "cookie", "credential",
                      "token"), folded=True,
             hint=rf"""(?i:{SECRET_NAMES})\\*["']?[ \t\r\n]*(?:[=:]|\\+u003[dD])"""
                  r"""|--[A-Za-z][A-Za-z0-9-]*[ ]""",
             find=_named_secrets),
    Detector(name="email", title="E-mail addresses", needles=("@",), hint=r"[!-~]@[A-Za-z0-9]",
             find=_finder(r"(?:(?<![A-Za-z0-9.!#$%&*+/=?^_`{|}~\\-])|(?<=\\[nrtbfv])"
                          rf"|(?<=\\u[0-9A-Fa-f]{{4}})){EMAIL}"),
             default=False, personal=True),
    Detector(name="phone", title="Phone numbers: international (+...) and North American",
             needles=(), hint=r"\+[0-9]|[0-9]{3}[).-]", default=False, personal=True, numeric=True,
             find=_numbers(rf"{_NUMBER_START}(?:{PHONE}){_NUMBER_END}")),
    Detector(name="card", title="Payment card numbers with a valid check digit (ISO/IEC 7812-1)",
             needles=(), hint=r"[0-9](?:[ -]?[0-9]){12}", default=False, personal=True,
             numeric=True,
             find=_numbers(rf"{_NUMBER_START}[0-9](?:[ -]?[0-9]){{12,18}}{_NUMBER_END}", luhn)),
    Detector(name="iban", title="IBAN with valid check digits (ISO 13616)", needles=(),
             hint=r"[A-Z]{2}[0-9]{2}[ ]?[A-Z0-9]{4}", default=False, personal=True,
             find=_finder(rf"{WORD_START}[A-Z]{{2}}[0-9]{{2}}(?:[ ]?[A-Z0-9]{{4}}){{2,7}}"
                          rf"(?:[ ]?[A-Z0-9]{{1,3}})?{WORD_END}", iban)),
)  # fmt: skip
"""In order of precedence: of equal matches the first names the rule."""
