"""No secret of a known shape is ever kept; what is no secret stays as it was; time grows with the text alone."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_recall.redact import MARK, field, redact, secret

# Put together here, so that no file of this repository looks as if it held one.
SECRETS = {
    "aws": "AKIA" + "ABCDEFGHIJKLMNOP",
    "github": "ghp_" + "a1B2" * 9,
    "github fine": "github_pat_" + "11ABC_" * 5,
    "slack": "xoxb-" + "123456789012-abcdefABCDEF",
    "openai": "sk-" + "proj-" + "Ab12" * 8,
    "anthropic": "sk-" + "ant-api03-" + "Zz9_" * 8,
    "jwt": "eyJ" + "hbGciOiJIUzI1" + ".eyJzdWIiOiIxMjM0" + ".SflKxwRJSMeKKF2QT4",
    "google": "AIza" + "Sy" + "B3" * 17,
}
NAMED = [
    "password=hunter2secret",
    'PASSWORD = "hunter2secret"',
    "db_password: hunter2secret",
    "{'api_key': 'hunter2secret'}",
    '{"token":"hunter2secret"}',
    "?access_key=hunter2secret&page=2",
    "Authorization: Bearer hunter2secret",
    "authorization: Basic hunter2secret",
    "-H 'X-Api-Key: hunter2secret'",
    "curl with bearer hunter2secret",
    "postgresql://admin:hunter2secret@db.example.org/shop",
    "https://hunter2secrethunter2secret@example.org/",
    "https://hooks.slack.com/services/T00/B00/hunter2secret",
    r'{"arguments": "{\"password\": \"hunter2secret\", \"city\": \"Rome\"}"}',
    r'{"headers": "{\"Authorization\": \"Basic hunter2secret\"}"}',
    r'password="a\"hunter2secret"',
    r"password=\\hunter2secret\x",
]
PLAIN = [
    "The cart rounds half down: use Decimal, see shop/cart.py:31.",
    "assert password == expected",
    "the tokenizer drops the last token",
    "git@github.com:someone/project.git and https://example.org/a?b=c",
    "KeyError: 'id' in test_total[sk-1]",
]
words = st.text(st.characters(codec="utf-8"), max_size=40)


@given(before=words, after=words, name=st.sampled_from(sorted(SECRETS)))
def test_a_token_is_known_by_its_shape(before, after, name):
    secret = SECRETS[name]
    assert secret not in redact(f"{before} {secret} {after}")


@pytest.mark.parametrize("text", NAMED)
def test_a_secret_is_known_by_what_stands_before_it(text):
    told = redact(f"look: {text} there")
    assert "hunter2secret" not in told
    assert MARK in told


def test_json_within_json_stays_what_it_was():
    inner = {"password": "hunter2secret", "city": "Rome"}
    told = json.loads(redact(json.dumps({"arguments": json.dumps(inner)})))
    assert json.loads(told["arguments"]) == {"password": MARK, "city": "Rome"}


@pytest.mark.parametrize(
    "name", ["password", "db_password", "accessToken", "apiKey", "Set-Cookie", "authorization"]
)
def test_a_secret_is_known_by_its_own_name(name):
    assert secret(name)


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        (SECRETS["github"], "1", (MARK, "1")),
        ("note pwd=hunter2", "", ("note pwd=[redacted]", "")),
        ("credentials", '{"pin":471147}', ("credentials", MARK)),
        ("max_tokens", "100", ("max_tokens", "100")),
        ("tokens", '{"in":4,"out":5}', ("tokens", '{"in":4,"out":5}')),
        ("usage", '{"total_tokens":4,"cost":.5}', ("usage", '{"total_tokens":4,"cost":.5}')),
        ("pin", '{"password":471147}', ("pin", '{"password":[redacted]')),
        ("password", "True", ("password", "True")),
    ],
)
def test_a_field_is_kept_without_secrets_in_name_and_text(name, text, kept):
    assert field(name, text) == kept


@pytest.mark.parametrize("name", ["tokenizer", "monkey", "primary_key", "password_length", "author", ""])
def test_what_is_no_secret_s_name(name):
    assert not secret(name)


def test_a_private_key_goes_whole_and_so_does_half_of_one():
    for end in ("-----END RSA PRIVATE " + "KEY-----", ""):
        key = "-----BEGIN RSA PRIVATE " + f"KEY-----\nMIIEow\nIBAAKC\n{end}"
        assert redact(f"this is it: {key}") == f"this is it: {MARK}"


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays_as_it_was(text):
    assert redact(text) == text


@given(st.text(max_size=300))
@example("password=" * 30)
@example("://:@" * 30)
def test_any_text_is_redacted_without_an_error(text):
    assert isinstance(redact(text), str)


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "-eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "://a:", "password", "password=", "token :", "authorization: ", "sk-", "bearer ", "ghp_a-", '"secret"'],
)  # fmt: skip
def test_time_grows_with_the_text_and_no_faster(piece):
    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        times = []
        for _ in range(3):
            start = time.process_time()
            redact(text)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(200_000) < 1.0
