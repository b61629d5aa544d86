# SPDX-License-Identifier: Apache-2.0
"""Prompts that begin alike share their pages, over HTTP and on two ranks: usage says so, answers do not notice."""

import numerics
import openai
import pytest
from sluice_server import SluiceServer, wait_for

PAGE = 64
# On GPUs a part of the prompt that is not computed again makes other steps, and so other bits. Sampling is then from
# few enough ids that the log probabilities show all of them.
SAMPLED = {"temperature": 1.0, "seed": 3} | ({} if numerics.EXACT else {"top_p": 1, "top_logprobs": 20, "extra_body": {"top_k": 20}})
LONG = "The river runs to the sea and the sea does not fill. " * 40


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def ask(client, text, salt=None, n=1, **options):
    settings = {"temperature": 0, "max_tokens": 24, "logprobs": True, "top_logprobs": 5} | options
    settings["extra_body"] = {"ignore_eos": True} | options.get("extra_body", {})
    if salt:
        settings["extra_body"]["cache_salt"] = salt
    return client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": text}], n=n, **settings)


def cached(answer):
    return answer.usage.prompt_tokens_details.cached_tokens


def told(choice):
    return numerics.of_chat(choice)


def in_order(answer):
    return [told(choice) for choice in sorted(answer.choices, key=lambda choice: choice.index)]


def same(found, expected, **draws):
    """Bit for bit, log probabilities too, as far as the device promises it."""
    numerics.assert_same(found, expected, numerics.RANDOM, **draws)


def test_the_second_of_two_prompts_that_begin_alike_computes_only_what_is_new(client):
    cold = ask(client, LONG + "And then?")
    assert cached(cold) == 0
    warm = ask(client, LONG + "And then?")
    assert cached(warm) == (warm.usage.prompt_tokens - 1) // PAGE * PAGE > 0
    same(told(warm.choices[0]), told(cold.choices[0]))
    assert warm.choices[0].message.content.strip()
    again = ask(client, LONG + "And then?")
    assert cached(again) == cached(warm) and told(again.choices[0]) == told(warm.choices[0]), "the same steps"
    other = ask(client, LONG + "But why?")
    assert 0 < cached(other) <= cached(warm)
    assert other.usage.prompt_tokens > cached(other)


def test_a_salt_keeps_tenants_apart(client):
    mine = ask(client, LONG + "Mine.", salt="a")
    assert cached(mine) == 0
    theirs = ask(client, LONG + "Mine.", salt="b")
    assert cached(theirs) == 0 and told(theirs.choices[0]) == told(mine.choices[0]), "the same steps"
    again = ask(client, LONG + "Mine.", salt="a")
    assert cached(again) > 0
    same(told(again.choices[0]), told(mine.choices[0]))


def test_choices_of_one_request_are_what_each_is_alone(client):
    draws = [numerics.Draws(numerics.random_id_of(), SAMPLED["seed"], choice, whole=True) for choice in range(4)]
    together = ask(client, LONG + "Choose.", n=4, salt="n", **SAMPLED)
    assert cached(together) == 0, "sharing within a request is no hit"
    assert len({choice.message.content for choice in together.choices}) == 4
    cold = in_order(together)
    assert in_order(ask(client, LONG + "Choose.", n=4, salt="other", **SAMPLED)) == cold, "the same steps"
    for found, expected, drawn in zip(in_order(ask(client, LONG + "Choose.", n=4, salt="n", **SAMPLED)), cold, draws):
        same(found, expected, draws=drawn)
    same(told(ask(client, LONG + "Choose.", salt="n", **SAMPLED).choices[0]), cold[0], draws=draws[0])
    assert together.usage.completion_tokens == 4 * 24


def test_a_stream_reports_the_hit_too(client):
    ask(client, LONG + "Stream.", salt="s")
    chunks = list(ask(client, LONG + "Stream.", salt="s", stream=True, stream_options={"include_usage": True}))
    assert cached(chunks[-1]) > 0


def test_metrics_count_hits_and_pages_nobody_holds(server, client):
    ask(client, LONG + "Count.", salt="m")
    before = server.worker_metrics()
    answer = ask(client, LONG + "Count.", salt="m")
    after = server.worker_metrics()
    hit, queried = "sluice_prefix_cache_hit_tokens_total", "sluice_prefix_cache_queried_tokens_total"
    assert after[hit] - before[hit] == cached(answer)
    assert after[queried] - before[queried] == answer.usage.prompt_tokens
    wait_for(lambda: server.worker_metrics()["sluice_kv_pages_used"] == 0, "no page is in use")
    assert server.worker_metrics()["sluice_kv_pages_cached"] > 0


def test_it_can_be_turned_off(model_dir):
    with SluiceServer(model_dir, "--served-model-name=tiny", "--max-model-len=2048", "--no-prefix-cache") as running:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="unused", max_retries=0) as client:
            first = ask(client, LONG + "Off.")
            second = ask(client, LONG + "Off.")
            assert cached(first) == cached(second) == 0
            assert told(first.choices[0]) == told(second.choices[0])
