# SPDX-License-Identifier: Apache-2.0
"""numerics.py itself: what it lets pass on a GPU and what not, and that its draws are the server's."""

import math

import numerics
import openai
import pytest
from numerics import BUNDLED, RANDOM, Draws, Step
from sluice_server import ROOT, SluiceServer


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(numerics, "EXACT", False)


def answer(*gaps, after=()):
    """Steps of one model whose two likeliest ids are so far apart; then others."""
    steps = [Step(b"a%d" % at, -1.0, {b"a%d" % at: -1.0, b"b": -1.0 - gap}) for at, gap in enumerate(gaps)]
    return steps + [Step(token, -2.0, {token: -2.0, b"z": -9.0}) for token in after]


def test_the_cpu_asks_for_the_same_bits(monkeypatch):
    monkeypatch.setattr(numerics, "EXACT", True)
    one = answer(1, 2)
    numerics.assert_same(one, answer(1, 2), RANDOM)
    with pytest.raises(AssertionError):
        numerics.assert_same([one[0]._replace(logprob=math.nextafter(-1.0, 0)), one[1]], one, RANDOM)
    assert numerics.certain(answer(0, 0), RANDOM) == 2
    assert not numerics.begins("ab", "a") and numerics.begins("ab", "ab")


def test_a_gpu_may_part_at_a_near_tie_only(gpu):
    expected = answer(5, 0.05, after=[b"x", b"y"])
    parted = answer(5, 0.05, after=[b"p"])
    parted[1] = Step(b"b", -1.02, {b"b": -1.02, b"a1": -1.03})
    numerics.assert_same(parted, expected, RANDOM)
    far = answer(5, 0.3, after=[b"x", b"y"])
    with pytest.raises(AssertionError, match="no near tie"):
        numerics.assert_same(parted, far, RANDOM)
    unlisted = [expected[0], Step(b"c", -1.0, {b"c": -1.0, b"a1": -1.0})]
    with pytest.raises(AssertionError, match="not among"):
        numerics.assert_same(unlisted, expected, RANDOM)


def test_a_gpu_may_keep_another_id_at_the_cut_of_top_k(gpu):
    draws = Draws(ord, 3, whole=True)
    names, u = "bcdefghijk", draws.uniform(0)
    drawn = chr(ord("b") + int(u * 10))  # ids in order, all as likely
    mine = Step(drawn, -5.0, dict.fromkeys(names, -5.0))
    least = "k" if drawn != "k" else "b"

    def with_stranger(name, logprob):
        """Likewise, but that name has taken the place of one, and was drawn."""
        return Step(name, logprob, {other: -5.0 for other in names if other != least} | {name: logprob})

    # Between the drawn id and the next one, it takes the draw or misses it by the least likely id's weight.
    draws.id_of = lambda name: ord(drawn) + 0.5 if name == "x" else ord(name)
    numerics.assert_same([mine], [with_stranger("x", -5.05)], RANDOM, draws)
    with pytest.raises(AssertionError, match="far from it"):
        numerics.assert_same([mine], [with_stranger("x", -4.8)], RANDOM, draws)
    draws.id_of = lambda name: 0 if name == "x" and u > 0.3 else 1000 if name == "x" else ord(name)
    with pytest.raises(AssertionError, match="far from it"):
        numerics.assert_same([mine], [with_stranger("x", -5.05)], RANDOM, draws)


def test_a_gpu_must_not_end_early_or_be_far_off(gpu):
    expected = answer(5, 5)
    with pytest.raises(AssertionError):
        numerics.assert_same(expected[:1], expected, RANDOM)
    off = [expected[0]._replace(logprob=-1.2), expected[1]]
    numerics.assert_same(off, expected, BUNDLED)
    with pytest.raises(AssertionError):
        numerics.assert_same(off, expected, RANDOM)


def test_many_answers_must_have_much_in_common(gpu, capsys):
    whole, parts_early = answer(5, 5, 5, 5), answer(0.05, 5, 5, 5)
    found = [Step(b"b", -1.0, {b"b": -1.0, b"a0": -1.0})]
    numerics.assert_all_same([whole, found], [whole, parts_early], BUNDLED)
    assert "1 of 2 answers are the same, and 4 of 8 steps" in capsys.readouterr().out
    with pytest.raises(AssertionError):
        numerics.assert_all_same([whole, found, found], [whole, parts_early, parts_early], BUNDLED)


def test_what_is_certain_ends_at_a_near_tie(gpu):
    assert numerics.certain(answer(5, 0.2, 5), BUNDLED) == 1
    assert numerics.certain(answer(5, 0.2, 5), RANDOM) == 3
    assert numerics.begins("whole answer", "whole") and not numerics.begins("whole", "other")


def test_the_end_of_an_answer_has_a_name():
    entry = {"bytes": [], "logprob": -0.5, "top_logprobs": [{"bytes": [*b"<|im_end|>"], "logprob": -0.5},
                                                            {"bytes": [*b"x"], "logprob": -1.0}]}
    (step,) = numerics.of_chat({"logprobs": {"content": [entry]}})
    assert step.token == b"<|im_end|>"


def test_scores_may_be_off_a_little(gpu):
    numerics.assert_near([-1.0, -2.0] * 20, [-1.02, -1.99] * 20, BUNDLED, 1e-4)
    for ours in ([-1.0, -2.3], [-1.1, -2.1] * 20):  # one too far, all rather far
        with pytest.raises(AssertionError):
            numerics.assert_near(ours, [-1.0, -2.0] * (len(ours) // 2), BUNDLED, 1e-4)


def test_draws_are_the_servers():
    """Each id that the server drew is what the draw picks from the distribution that it reports."""
    id_of = numerics.bundled_id_of()
    model = ROOT / "deploy" / "demo_model" / "sluice-demo"
    sampling = {"temperature": 1.5, "top_p": 0.9, "seed": 11, "n": 2, "max_tokens": 60, "logprobs": 20}
    with SluiceServer(model, "--logprobs-mode=processed") as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
            processed = client.completions.create(model="sluice-demo", prompt="Once", **sampling,
                                                  extra_body={"ignore_eos": True})
    with SluiceServer(model) as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
            raw = client.completions.create(model="sluice-demo", prompt="Once", **sampling | {"top_p": 1},
                                            extra_body={"ignore_eos": True, "top_k": 20})
    far = 0
    for answer_of, whole, temperature in ((processed, False, 1.0), (raw, True, 1.5)):
        for choice in answer_of.choices:
            draws = Draws(id_of, 11, choice.index, whole, temperature)
            other = Draws(id_of, 12, choice.index, whole, temperature)
            for at, step in enumerate(numerics.of_completion(choice)):
                distance, slack = draws.distance(step, step.token, at)
                assert distance <= (1e-6 if whole else slack + 1e-6), (at, distance, slack, step)
                distance, slack = other.distance(step, step.token, at)
                far += distance > numerics.DRAW_SHIFT + slack
    assert far > 20, "another seed's draws would have passed"
