"""Rules about everything that git would publish: no secrets, no traces of one machine, no addresses in lock files.

The secret scan is our own: the known scanners are unmaintained, a binary of their own or bound to a network look-up,
and need a baseline file kept in step, while the secrets that can slip in here have few shapes.
"""

import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.lint.source import Finding

EXAMPLE_MARKER = "not a secret: "
MIN_ENTROPY = 3.5
"""Bits a character; random base64 of 20 characters and random hexadecimal digits from 32 on lie above it."""

KNOWN_SECRETS = {
    "a private key": re.compile(
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s*\S{20}|BEGIN (?:[A-Z]+ )*PRIVATE KEY-----$"
    ),
    "a signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_\w{36,}|github_pat_\w{40,})"),
    "an API key": re.compile(r"\bsk[-_](?=\S*\d)[\w-]{32,}"),
    "a token of this service": re.compile(r"\b(?:pat|sas)_[0-9A-Za-z]{22}_[0-9A-Za-z]{60}\b"),
    "a Slack token": re.compile(r"\bxox[abposr]-[\w-]{20,}"),
    "a Google key": re.compile(r"\bAIza[\w-]{35}\b"),
}
ASSIGNED_SECRET = re.compile(
    r"(?i)\b\w*(?:secret|token|passw(?:or)?d|api_?key|private_?key)\w*\"?\s*[:=]+\s*(?P<quote>[\"']?)(?P<value>[\w+/=.~-]{20,})"
)
CODE_SUFFIXES = (".py", ".ts")
IDENTIFIER = re.compile(r"[A-Za-z_]+(?:[._-][A-Za-z_]+)*\Z")

MACHINE_PATH = re.compile(
    r"(?<![\w./}~-])/(?:work|root|Users/\w+|home/(?!app\b|merit\b)\w+|opt/(?:pypi|wheels))(?:/|\b)"
)
REGISTRY_HOST = re.compile(
    r"\b(?:(?:\w+\.)?pypi\.(?:org|io|python\.org)|pythonhosted\.(?:org)|registry\.(?:npmjs|yarnpkg)\.\w+|deb\.debian\.\w+)\b"
)
LOCK_OPTION = re.compile(r"^\s*(?:-\w|--(?!hash=)\w)")
ADDRESS = re.compile(r"\w+://|@ file:")
LOCK_NAMES = re.compile(r"(?:^|/)(?:requirements/[^/]+\.txt|[^/]*\.lock|package-lock\.json)\Z")


def tracked_files(root: Path) -> list[str]:
    """List the files that git publishes or would add, relative to `root`.

    Raises:
        subprocess.CalledProcessError: `root` is no git work tree.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(name for name in set(listed.stdout.split("\0")) if name and (root / name).is_file())


def check_tracked(root: Path) -> Iterator[Finding]:
    """Look at every text file that git publishes."""
    for name in tracked_files(root):
        try:
            text = (root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from check_text(name, text)


def check_text(name: str, text: str) -> Iterator[Finding]:
    """Look at the lines of one file."""
    is_lock = LOCK_NAMES.search(name) is not None
    for number, line in enumerate(text.splitlines(), start=1):
        if is_lock and not line.lstrip().startswith("#") and (LOCK_OPTION.search(line) or ADDRESS.search(line)):
            yield Finding(name, number, "a lock file names no address and no option but --hash")
        if MACHINE_PATH.search(line):
            yield Finding(name, number, "a path of one machine")
        if REGISTRY_HOST.search(line):
            yield Finding(name, number, "the address of a package registry")
        if not is_lock and EXAMPLE_MARKER not in line:
            yield from (
                Finding(name, number, f"{what} (or an example? Then say '{EXAMPLE_MARKER}why')")
                for what in secrets_in(line, is_code=name.endswith(CODE_SUFFIXES))
            )


def secrets_in(line: str, *, is_code: bool) -> Iterator[str]:
    """Name the secrets that a line seems to hold, never their text; in code a value stands in quotes."""
    for what, pattern in KNOWN_SECRETS.items():
        if pattern.search(line):
            yield what
    for match in ASSIGNED_SECRET.finditer(line):
        value = match["value"]
        if is_code and not match["quote"]:
            continue
        if entropy(value) >= MIN_ENTROPY and not IDENTIFIER.match(value) and any(map(str.isdigit, value)):
            yield "a random value assigned to a secret"


def entropy(text: str) -> float:
    """Return Shannon's entropy of the characters of `text`, in bits a character; 0 for an empty text."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
