# SPDX-License-Identifier: Apache-2.0
"""Tensor parallel 1, 2 and 4 answer alike, greedily and seeded, over HTTP."""

import json
import urllib.request

import pytest
from sluice_server import SluiceServer

QUESTIONS = ["Tell me about rivers.", "世界で一番長い川は?", "def fib(n):", "1 2 3 4 5", "🙂🙃", "x" * 300]


def answers(model_dir, tp_size):
    with SluiceServer(model_dir, f"--tp-size={tp_size}", "--served-model-name=tiny") as server:
        texts = []
        for question in QUESTIONS:
            for sampling in ({"temperature": 0}, {"temperature": 1.0, "seed": 5}):
                body = {"model": "tiny", "messages": [{"role": "user", "content": question}], "max_tokens": 48,
                        "ignore_eos": True, "logprobs": True, **sampling}
                request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(body).encode(),
                                                 {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=300) as response:
                    choice = json.load(response)["choices"][0]
                logprobs = [entry["logprob"] for entry in choice["logprobs"]["content"]]
                texts.append((choice["message"]["content"], logprobs))
        return texts


@pytest.fixture(scope="module")
def alone(model_dir):
    return answers(model_dir, 1)


@pytest.mark.parametrize("tp_size", [2, 4])
def test_ranks_do_not_change_the_answers(model_dir, alone, tp_size):
    assert answers(model_dir, tp_size) == alone


def test_the_questions_have_different_answers(alone):
    assert len({text for text, _ in alone}) > len(QUESTIONS)
