"""Inputs that have broken services before: the nasty corpus."""

import json
from typing import Any

RAW_HUGE_INTEGER = "@@huge-integer@@"
"""Stands for a number of 5,000 digits, more than Python converts."""
_HUGE_INTEGER = "9" * 5000

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "ada\udfff\ud800@example.com",
    "\u202eada",
    "\x1b[31m",
    "a\r\nX-Injected: 1",
    "x" * 73,
    "é" * 37,  # 74 bytes, 37 characters: bcrypt reads 72 bytes
    "x" * 5_000,
    "\N{FULLWIDTH LATIN SMALL LETTER A}da@example.com",
    "\N{CYRILLIC SMALL LETTER A}da@example.com",
    "ada@ex\N{LATIN SMALL LETTER A WITH DIAERESIS}mple.com",
    "ada@" + "a" * 64 + ".com",
    "a@" + "b." * 120 + "c",
    "@",
    "a@b",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}\N{LATIN SMALL LETTER SHARP S}\N{LATIN SMALL LIGATURE FFI}",
    "\ufeff\u2028\u2029",
    "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}\U0010ffff",
    "Z" + "\N{COMBINING ACUTE ACCENT}" * 300,
    "' OR '1'='1' --",
    "%_\\%",
    "${jndi:ldap://x}{{7*7}}",
    "../../etc/passwd",
    "-1",
    "0",
    "2147483648",
    "-9223372036854775809",
    _HUGE_INTEGER,
    "1e309",
    "NaN",
    "Infinity",
    "true",
    "null",
    "[]",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "{01890000-0000-7000-8000-000000000000}",
    "0000-00-00T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-02-30T00:00:00Z",
    "2026-01-01",
    "99999999999999999",
    '"1"',
    '"9999999999"',
    '"99999999999"',
    'W/"1"',
    "*",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "rt1.00000000-0000-0000-0000-000000000000.1.AAAA.AAAA",
    "rt1.x.99999999999999999999.\u0660.=",
    "bm90IGEgY3Vyc29y",
    "WyIwIl0.AAAAAAAAAAAAAAAAAAAAAA",
)

VALUES: tuple[Any, ...] = (
    *TEXTS,
    None,
    True,
    0,
    -1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**64),
    RAW_HUGE_INTEGER,
    1.5,
    1e308,
    float("nan"),
    float("-inf"),
    [],
    [None],
    ["admin", ["admin"]],
    {},
    {"$gt": ""},
    {"__proto__": {"role": "admin"}},
    "x" * 200_000,
)
"""For a member of a JSON body: every text, and values of every other type."""

MULTIPART = b'--x\r\nContent-Disposition: form-data; name="username"; filename="f"\r\n\r\nbytes\r\n--x--\r\n'

BODIES: tuple[bytes, ...] = (
    b"",
    b" ",
    b"{",
    b"null",
    b"0",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b'"\\ud800"',
    b'{"a":1}{"b":2}',
    b'{"email":"a@example.com","email":"b@example.com","password":1,"password":"x"}',
    b'{"\\u0000":"\\u0000","\\ud800":1}',
    b'{"email":"\xff\xfe"}',
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b"\x00" * 64,
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"email":' + _HUGE_INTEGER.encode() + b"}",
    b"{" + b",".join(b'"k%d":0' % number for number in range(5_000)) + b"}",
    b"&" * 5_000,
    b"=&" * 2_000,
    b"grant_type=password&" * 500,
    b"username=%zz%00%ff%ed%a0%80&password=%",
    MULTIPART,
    b'--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\n',
    b"--x\r\n\r\n--x--",
    b" " * 10_000_000,
)
"""Whole bodies, of any media type."""

MEDIA_TYPES: tuple[str, ...] = (
    "application/json",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    'multipart/form-data; boundary="' + "x" * 500 + '"',
    "text/plain",
    "application/vnd.api+json",
    "application/",
    ";",
    "\u00e9/\u00e9",
)

AUTHORIZATIONS: tuple[str, ...] = (
    "",
    "Bearer",
    "Bearer ",
    "bearer x",
    "Bearer \u00e9",
    "Bearer a b",
    "Bearer a.b.c",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IlwwIn0.e30.AAAA",
    "Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6MX0.W10.AAAA",
    "Bearer " + "a" * 9_000,
    "Bearer " + "." * 200,
    "Basic YTpi",
    "Basic \ud800",
    "Digest username=x",
)


def dump_json(value: object) -> bytes:
    """A JSON text that may hold what JSON may not: NaN, lone surrogates (escaped), numbers of any length."""
    return json.dumps(value).replace(f'"{RAW_HUGE_INTEGER}"', _HUGE_INTEGER).encode()
