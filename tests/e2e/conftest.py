# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Each test file starts its servers once."""

import openai
import pytest
from sluice_server import ROOT, SluiceServer, random_model, ranks


@pytest.fixture(scope="session")
def model_dir():
    return random_model()


@pytest.fixture(scope="module")
def server(model_dir):
    """The small random model on two tensor-parallel ranks."""
    with SluiceServer(model_dir, f"--tp-size={ranks(2)}", "--served-model-name=tiny", "--max-model-len=2048") as running:
        yield running


@pytest.fixture(scope="module")
def demo_server():
    """The bundled model on two ranks."""
    with SluiceServer(ROOT / "deploy" / "demo_model" / "sluice-demo", f"--tp-size={ranks(2)}") as running:
        yield running


@pytest.fixture(scope="module")
def demo(demo_server):
    """An OpenAI client of the bundled model."""
    with openai.OpenAI(base_url=f"{demo_server.url}/v1", api_key="unused", max_retries=0) as made:
        yield made
