"""Comes before every other conftest, because coverage is measured of what is imported from then on."""

import os

import pytest

_measurement = None
if os.environ.get("MEASURE_COVERAGE") == "1":
    from tools.coverage import Measurement

    _measurement = Measurement()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down what this process has run; where there are workers, they have run it."""
    is_controller = "PYTEST_XDIST_WORKER" not in os.environ and session.config.getoption("numprocesses", None)
    if _measurement is not None and not is_controller:
        _measurement.write()
