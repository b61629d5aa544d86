# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/model/: the logits of Transformers' Qwen3 in float32 on the parity checkpoints.

awq_reader.py dequantizes the quantized linears and builds Transformers' model.

    python3 tests/reference/model_logits.py              write the goldens
    python3 tests/reference/model_logits.py --check CASE derive a case's logits again and compare

Needs: pip install torch==2.13.0 transformers==5.23.0 safetensors numpy
"""

import argparse
import hashlib
import json
import pathlib
import random
import sys
import tempfile

import numpy
import torch
import transformers

import parity_checkpoint
from awq_reader import load_model

OUTPUT = parity_checkpoint.ROOT / "tests" / "golden" / "model"
POSITIONS = 64
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
# (checkpoint, first position, under YaRN)
RUNS = [(name, 0, False) for name in parity_checkpoint.CASES] + [
    (name, start, True) for name in ("grouped_untied", "plain_tied") for start in (40000, 131000)]
SAMPLED_COLUMNS = 512  # of the vocabularies that are too large to commit


def ids_of(name, start):
    rng = random.Random(f"{name} {start}")
    return [rng.randrange(parity_checkpoint.CASES[name]["vocab"]) for _ in range(POSITIONS)]


def columns_of(name):
    vocab = parity_checkpoint.CASES[name]["vocab"]
    if vocab <= 2048:
        return None
    return sorted(random.Random(name).sample(range(vocab), SAMPLED_COLUMNS))


def logits_of(folder, run):
    name, start, yarn = run
    model = load_model(folder, YARN if yarn else None)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids_of(name, start)]),
                       position_ids=torch.arange(start, start + POSITIONS)[None]).logits[0]
    full_range = float(logits.max() - logits.min())
    columns = columns_of(name)
    logits = (logits if columns is None else logits[:, columns]).contiguous().numpy().astype("<f4")
    return logits, full_range


def file_of(run):
    name, start, yarn = run
    return f"{name}_yarn_{start}.f32" if yarn else f"{name}.f32"


def write_goldens():
    OUTPUT.mkdir(parents=True, exist_ok=True)
    manifest = {
        "made_by": "tests/reference/model_logits.py",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "rope_scaling": YARN, "checkpoints": {}, "runs": [],
    }
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: pathlib.Path(temporary) / name for name in parity_checkpoint.CASES}
        for name, folder in folders.items():
            parity_checkpoint.write_case(name, folder)
            manifest["checkpoints"][name] = parity_checkpoint.folder_sha256(folder)
        for run in RUNS:
            name, start, yarn = run
            logits, full_range = logits_of(folders[name], run)
            (OUTPUT / file_of(run)).write_bytes(logits.tobytes())
            manifest["runs"].append({
                "checkpoint": name, "start": start, "yarn": yarn, "file": file_of(run),
                "sha256": hashlib.sha256(logits.tobytes()).hexdigest(), "range": full_range,
                "columns": columns_of(name), "ids": ids_of(name, start)})
            print(f"{file_of(run)}: range {full_range:.3f}")
    text = json.dumps(manifest, indent=1)
    (OUTPUT / "manifest.json").write_text(text + "\n", encoding="utf-8")


def check(name):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / name
        parity_checkpoint.write_case(name, folder)
        for run in (run for run in RUNS if run[0] == name):
            logits, full_range = logits_of(folder, run)
            golden = numpy.fromfile(OUTPUT / file_of(run), dtype="<f4").reshape(logits.shape)
            # Another version of torch may sum in another order.
            difference = float(abs(golden - logits).max()) / full_range
            print(f"{file_of(run)}: differs by {difference:.1e} of the range")
            if not difference < 1e-5:
                sys.exit(f"tests/golden/model/{file_of(run)} is not what Transformers computes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="CASE", choices=list(parity_checkpoint.CASES))
    args = parser.parse_args()
    if args.check:
        check(args.check)
    else:
        write_goldens()


if __name__ == "__main__":
    main()
