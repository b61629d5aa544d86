# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Each test file starts its servers once."""

import os
from pathlib import Path

import pytest
from sluice_server import SluiceServer, random_model


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # Where tests/run.sh counts cases: one JUnit file per test file, under the name CTest knows it by.
    results = os.environ.get("SLUICE_RESULTS_DIR")
    if results and not config.option.xmlpath and len(config.args) == 1:
        stem = Path(config.args[0]).stem.removesuffix("_test")
        config.option.xmlpath = str(Path(results) / f"e2e_{stem}.xml")


@pytest.fixture(scope="session")
def model_dir():
    return random_model()


@pytest.fixture(scope="module")
def server(model_dir):
    """The small random model on two tensor-parallel ranks."""
    with SluiceServer(model_dir, "--tp-size=2", "--served-model-name=tiny", "--max-model-len=2048") as running:
        yield running
