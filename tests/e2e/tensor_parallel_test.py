# SPDX-License-Identifier: Apache-2.0
"""Tensor parallel 1, 2 and 4 answer alike, greedily and seeded, over HTTP: on the CPU bit for bit, on GPUs up to near ties."""

import json
import urllib.request

import numerics
import pytest
from sluice_server import SluiceServer, needs_ranks

QUESTIONS = ["Tell me about rivers.", "世界で一番長い川は?", "def fib(n):", "1 2 3 4 5", "🙂🙃", "x" * 300]


# On a GPU from as many ids as the log probabilities show, to tell near ties by.
SEEDED = {"temperature": 1.0, "seed": 5} | ({} if numerics.EXACT else {"top_k": 20, "top_p": 1})


def answers(model_dir, tp_size):
    with SluiceServer(model_dir, f"--tp-size={tp_size}", "--served-model-name=tiny") as server:
        texts = []
        for question in QUESTIONS:
            for sampling in ({"temperature": 0}, SEEDED):
                body = {"model": "tiny", "messages": [{"role": "user", "content": question}], "max_tokens": 48,
                        "ignore_eos": True, "logprobs": True, "top_logprobs": 20, **sampling}
                request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(body).encode(),
                                                 {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=300) as response:
                    choice = json.load(response)["choices"][0]
                texts.append((choice["message"]["content"], numerics.of_chat(choice)))
        return texts


@pytest.fixture(scope="module")
def alone(model_dir):
    return answers(model_dir, 1)


@pytest.mark.parametrize("tp_size", [2, 4])
def test_ranks_do_not_change_the_answers(model_dir, alone, tp_size):
    needs_ranks(tp_size)
    draws = numerics.Draws(numerics.random_id_of(), SEEDED["seed"], whole=True)
    found = answers(model_dir, tp_size)
    if numerics.EXACT:
        assert found == alone
    numerics.assert_all_same([steps for _, steps in found], [steps for _, steps in alone], numerics.RANDOM,
                             [None, draws] * len(QUESTIONS))


def test_the_questions_have_different_answers(alone):
    assert len({text for text, _ in alone}) > len(QUESTIONS)
