# SPDX-License-Identifier: Apache-2.0
"""What every pytest file of the tests shares: where tests/run.sh counts cases."""

import os
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # One JUnit file per test file, under the name that CTest knows it by.
    results, name = os.environ.get("SLUICE_RESULTS_DIR"), os.environ.get("SLUICE_TEST_NAME")
    if results and name and not config.option.xmlpath:
        config.option.xmlpath = str(Path(results) / f"{name}.xml")
