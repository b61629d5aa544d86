# SPDX-License-Identifier: Apache-2.0
"""The bundled model through real processes: ids and log probabilities are the same (to the last bit on the CPU, on GPUs up to
near ties) alone and in a batch of 32, for any chunk size, with the prefix cache off, cold and warm, preempted or not, on one
rank, two and four.
"""

import concurrent.futures
import random

import numerics
import pytest
from reflected_client import ReflectedClient
from sluice_server import ROOT, SluiceServer, kv_cache_memory, needs_ranks

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
WORDS = "river sea mountain why count red seven the tell me capital of weather list and big".split()
BATCH = 32
# Answers of short prompts that grow over two or three pages; the others are short.
LENGTHS = [110 if index < 12 else 16 for index in range(BATCH)]


def prompts():
    """Half of them share a beginning of more than one page."""
    rng = random.Random(4)
    shared = " ".join(rng.choices(WORDS, k=60)) + " "
    return [(shared if index % 2 else "") + " ".join(rng.choices(WORDS, k=1 + 2 * index)) for index in range(BATCH)]


def generate(call, request, prompt, max_tokens):
    """Steps, and how many of the prompt's tokens were cached."""
    responses = list(call(request(messages=[{"role": "user", "content": prompt}], temperature=0.0, max_tokens=max_tokens,
                                  ignore_eos=True, top_logprobs=2), timeout=600))
    assert responses[-1].usage.completion_tokens == max_tokens
    return numerics.of_grpc(responses), responses[-1].usage.cached_tokens


def answers(server, together):
    """Of all prompts, and how many of their tokens were cached."""
    client = ReflectedClient(server.grpc_address)
    call, request = client.method("sluice.v1.Inference", "Chat")
    with concurrent.futures.ThreadPoolExecutor(BATCH if together else 1) as pool:
        found = list(pool.map(lambda prompt, length: generate(call, request, prompt, length), prompts(), LENGTHS))
    client.channel.close()
    return [tokens for tokens, _ in found], sum(cached for _, cached in found)


@pytest.fixture(scope="module")
def alone():
    """One at a time, nothing shared, whole prompts in one step."""
    with SluiceServer(MODEL, "--max-batched-tokens=2048", "--no-prefix-cache") as server:
        found, cached = answers(server, together=False)
        assert cached == 0
        different = {tuple(step.token for step in steps[:16]) for steps in found}
        assert len(different) > BATCH // 4, f"only {len(different)} different answers"
        assert answers(server, together=False) == (found, 0), "the same steps, the same bits, on any device"
        return found


@pytest.mark.parametrize("tp_size, chunk, rows", [(1, 16, 16), (2, 64, 32), (4, 2048, 32)])
def test_batches_chunks_cache_and_ranks_change_nothing(alone, tp_size, chunk, rows):
    needs_ranks(tp_size)
    with SluiceServer(MODEL, f"--tp-size={tp_size}", f"--max-batched-tokens={chunk}", f"--max-num-seqs={rows}") as server:
        cold, _ = answers(server, together=True)
        numerics.assert_all_same(cold, alone, numerics.BUNDLED)
        warm, cached = answers(server, together=True)
        numerics.assert_all_same(warm, alone, numerics.BUNDLED)
        assert cached > BATCH // 2 * 64


def test_preemption_changes_nothing(alone):
    # Eleven pages.
    with SluiceServer(MODEL, "--max-model-len=512", kv_cache_memory(27 * 1024), "--max-batched-tokens=64",
                      "--max-num-seqs=64") as server:
        # Which of them run side by side is up to their arrival, and only those that grow together run out of pages.
        for _ in range(5):
            numerics.assert_all_same(answers(server, together=True)[0], alone, numerics.BUNDLED)
            if server.worker_metrics()["sluice_preemptions_total"] > 0:
                return
        pytest.fail("nothing was preempted")
