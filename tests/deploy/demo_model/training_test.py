# SPDX-License-Identifier: Apache-2.0
"""Training from end to end in small: batches hold the conversations and teach only what the assistant says, and train.py
leaves a log that plot_loss.py draws and an AWQ folder that the independent reader of tests/reference/ loads.

Ends with 77 (skipped) where torch or transformers is missing: tests/run.sh does not install them, they are a gigabyte.
"""

import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "deploy" / "demo_model"
sys.path[:0] = [str(ROOT / "tests" / "reference"), str(DEMO)]

try:
    import awq_reader
    import torch
except ImportError as error:
    print(f"skipped: {error} (pip install torch==2.13.0 transformers==5.24.0 safetensors numpy, or set SLUICE_PYTHON)")
    sys.exit(77)

import batches  # noqa: E402
import plot_loss  # noqa: E402
import train  # noqa: E402
from data import conversation, item, render, words  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

TOKENIZER = Tokenizer.from_file(str(DEMO / "sluice-demo" / "tokenizer.json"))
END = TOKENIZER.token_to_id("<|im_end|>")
torch.set_num_threads(1)


def check_batches():
    split, template = item.Split(False, words.Words(False)), render.load_template()
    pool = list(batches.tokenized(TOKENIZER, template, split, random.Random(3), END, number=32))
    talks = [conversation.training(rng, split) for rng in [random.Random(3)] for _ in range(32)]
    assert TOKENIZER.decode(pool[0][0], skip_special_tokens=False) == (
        render.prompt_text(template, talks[0]) + talks[0].target + "<|im_end|>")
    waiting = {tuple(ids): prompt for ids, prompt in pool}
    row = batches.pack_row(pool)
    ids, targets, positions, documents = row.tolist()
    for document in range(1, max(documents) + 1):
        places = [i for i, d in enumerate(documents) if d == document]
        assert places == list(range(places[0], places[-1] + 1))
        talk = [ids[i] for i in places]
        prompt = waiting.pop(tuple(talk))
        assert [positions[i] for i in places] == list(range(len(talk)))
        assert [targets[i] for i in places] == [-1] * (prompt - 1) + talk[prompt:] + [-1]
    assert sorted(waiting) == sorted(tuple(left) for left, _ in pool)  # what is not in the row still waits
    assert all(t == -1 for t, d in zip(targets, documents) if d == 0)


def check_schedule():
    shares = [train.share_of_peak(i / 100, 0.1) for i in range(101)]
    assert shares[0] == 0 and abs(max(shares) - 1) < 1e-9 and shares.index(max(shares)) == 10
    assert shares[10:] == sorted(shares[10:], reverse=True) and abs(shares[-1] - 0.01) < 1e-9


def check_training():
    train.evaluate = lambda *arguments, **options: None  # minutes, with weights that have learnt nothing
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        sys.argv = ["train.py", str(DEMO / "sluice-demo"), str(out), "--steps", "3", "--rows", "1", "--processes", "1",
                    "--attention", "dense", "--no-compile"]
        train.main()
        (train_phase, first), (grid_phase, second) = plot_loss.curves(plot_loss.read(out))
        assert (train_phase, grid_phase) == ("train", "grid") and len(first) == len(second) == 3
        assert all(0 < loss < 12 for _, loss in first + second)
        ids = torch.randint(0, 4000, (1, 32))
        with torch.no_grad():
            quantized, plain = (awq_reader.load_model(out / kind)(input_ids=ids).logits for kind in ("awq", "bf16"))
        # Rounded to four bits, and three steps further at a twentieth of the rate: near, but not the same.
        assert 0 < (quantized - plain).pow(2).mean() < 0.2 * plain.pow(2).mean()


if __name__ == "__main__":  # its batches come from processes that import this file
    for part in (check_batches, check_schedule, check_training):
        part()
        print(part.__name__, "well")
