# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Each test file starts its servers once."""

import pytest
from sluice_server import SluiceServer, random_model


@pytest.fixture(scope="session")
def model_dir():
    return random_model()


@pytest.fixture(scope="module")
def server(model_dir):
    """The small random model on two tensor-parallel ranks."""
    with SluiceServer(model_dir, "--tp-size=2", "--served-model-name=tiny", "--max-model-len=2048") as running:
        yield running
