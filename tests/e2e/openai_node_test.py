# SPDX-License-Identifier: Apache-2.0
"""The official OpenAI Node client against Sluice; the cases are in node/openai_client.mjs."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "node" / "openai_client.mjs"


def node(*arguments):
    return subprocess.run(["node", SCRIPT, *arguments], capture_output=True, text=True, timeout=300, check=False)


def case_names():
    listed = node("--list")
    assert listed.returncode == 0, f"{listed.stderr}\n(npm install in tests/e2e/node brings the client)"
    return listed.stdout.split()


@pytest.mark.parametrize("case", case_names())
def test_node_client(server, case):
    result = node(server.url, case)
    assert result.returncode == 0, result.stderr
