"""Secrets taken out of text before it is kept: the shapes of well-known tokens, and what stands beside their names.

It takes out rather too much than too little. Each pattern passes over a text once: what one try has
read, no other try begins in.
"""

from __future__ import annotations

import re

MARK = "[redacted]"

_ALONE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"  # GitHub, GitLab
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}"  # Slack
    r"|sk-[\w-]{16,}|[srp]k_(?:live|test)_\w{8,}"  # OpenAI and Anthropic; Stripe
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}"  # Google
    r"|pypi-[\w-]{16,}|npm_\w{16,}|hf_[A-Za-z0-9]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"  # JWT
    r")"
)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)[\w/-]+")
# JSON within JSON has its quotes behind backslashes.
_HEADER = re.compile(
    r"((?:\bauthorization|\bx-api-key|\bcookie)\\{0,8}[\"']?\s{0,4}[:=]\s{0,4}\\{0,8}[\"']?)"
    r"((?:bearer|basic|digest|token)\s{1,4})?[^\s\"',;\\][^\n\"'\\]{0,2000}",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_USER = re.compile(r"(://)(?:[^\s/@:]{0,200}:[^\s/@]{1,300}|[^\s/@:]{16,300})@")
_NAMES = r"passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
_NAMED = re.compile(
    rf"((?:{_NAMES})(?:s|_?hash|_?value|_?key|_?id)?\\{{0,8}}[\"']?\s{{0,4}}(?::=?|=(?!=))\s{{0,4}})"
    r"(\"(?:[^\"\n\\]|\\.){1,2000}|'(?:[^'\n\\]|\\.){1,2000}"
    r"|\\{1,8}[\"'](?:[^\"'\n\\]|\\[^\"'\n]){1,2000}|(?:[^\s\"',;&\\]|\\+(?![\"'\\]))+)",
    re.IGNORECASE,
)
# Of a variable, a header, a property: also `dbPassword`.
_SECRET = re.compile(rf"(?:^|[_.-]|(?<=[a-z0-9])(?=[A-Z]))(?i:{_NAMES}|authorization|cookie)s?$")

_WORD = re.compile(r"(?:None|True|False)?")
_COUNTS = re.compile(r'-?\d{1,30}(?:\.\d{1,30})?|\{(?:"[\w.-]{1,60}":-?[\d.e+-]{1,30},?){0,30}\}')
_KEY = re.compile(r'"([\w.-]{1,60})":')


def redact(text: str) -> str:
    """*text* with every secret that can be told by its shape, or by the name before it, replaced by `[redacted]`."""
    text = _KEY_BLOCK.sub(MARK, text)
    text = _HEADER.sub(rf"\1\2{MARK}", text)
    text = _BEARER.sub(rf"\1{MARK}", text)
    text = _USER.sub(rf"\1{MARK}@", text)
    text = _HOOK.sub(rf"\1{MARK}", text)
    text = _NAMED.sub(_value, text)
    return _ALONE.sub(MARK, text)


def secret(name: str) -> bool:
    """Whether what has this *name* is one, whatever it looks like."""
    return _SECRET.search(name[-200:]) is not None


def field(name: str, text: str) -> tuple[str, str]:
    """A field or property, *name* and *text*, without secrets. How many tokens, and what they cost, are none."""
    if _WORD.fullmatch(text) or (_COUNTS.fullmatch(text) and all(map(_counted, [name, *_KEY.findall(text)]))):
        return redact(name), text
    return redact(name), MARK if secret(name) else redact(text)


def _counted(name: str) -> bool:
    return name.lower().endswith("tokens") or not secret(name)


def _value(found: re.Match[str]) -> str:
    value = found[2].lstrip("\\")
    quote = found[2][: len(found[2]) - len(value)] + value[:1] if value[:1] in ("'", '"') else ""
    return f"{found[1]}{quote}{MARK}"
