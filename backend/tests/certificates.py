"""Certificates for servers of tests."""

import shutil
import subprocess
from pathlib import Path


def make_certificate(file: Path) -> Path:
    """Write a key and a certificate for localhost, signed by nobody, to `file`, and the certificate alone beside it."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    certificate = file.with_name(f"{file.name}.crt")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", file, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_bytes(file.read_bytes() + certificate.read_bytes())
    return certificate
