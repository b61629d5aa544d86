# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/model/: the logits of Transformers' Qwen3 in float32 on the parity checkpoints.

The quantized linears are dequantized here, by AutoAWQ's own recipe (awq/utils/packing_utils.py: unpack by shifts, then
undo the order), which shares nothing with the worker's packing; packing them again must give the same words.

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
from safetensors.torch import load_file

import parity_checkpoint

OUTPUT = parity_checkpoint.ROOT / "tests" / "golden" / "model"
POSITIONS = 64
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
# (checkpoint, first position, under YaRN)
RUNS = [(name, 0, False) for name in parity_checkpoint.CASES] + [
    (name, start, True) for name in ("grouped_untied", "plain_tied") for start in (40000, 131000)]
SAMPLED_COLUMNS = 512  # of the vocabularies that are too large to commit

PACK_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]    # AutoAWQ: field i holds column PACK_ORDER[i]
UNPACK_ORDER = [0, 4, 1, 5, 2, 6, 3, 7]  # and the way back


def unpack(words):
    """[rows, columns / 8] int32 to [rows, columns] of 0..15, by AutoAWQ's unpack_awq and reverse_awq_order."""
    shifts = torch.arange(0, 32, 4)
    fields = (words[:, :, None] >> shifts[None, None, :]) & 0xF
    return fields[:, :, UNPACK_ORDER].reshape(words.shape[0], -1)


def pack(values):
    """The inverse, by AutoAWQ's WQLinear_GEMM.from_linear."""
    words = torch.zeros(values.shape[0], values.shape[1] // 8, dtype=torch.int64)
    for field, column in enumerate(PACK_ORDER):
        words |= values[:, column::8].to(torch.int64) << (4 * field)
    return words.to(torch.int32)


def dequantize(qweight, qzeros, scales):
    """[out, in] float32 of an AWQ linear."""
    for words in (qweight, qzeros):
        assert torch.equal(pack(unpack(words)), words)
    group = qweight.shape[0] // qzeros.shape[0]
    zeros = unpack(qzeros).repeat_interleave(group, dim=0)
    steps = scales.to(torch.float32).repeat_interleave(group, dim=0)
    return ((unpack(qweight) - zeros).to(torch.float32) * steps).T.contiguous()


def dense_state(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(path))
    state = {}
    for name, tensor in tensors.items():
        if name.endswith(".qweight"):
            module = name.removesuffix(".qweight")
            state[f"{module}.weight"] = dequantize(tensor, tensors[f"{module}.qzeros"], tensors[f"{module}.scales"])
        elif not name.endswith((".qzeros", ".scales")):
            state[name] = tensor.to(torch.float32)
    return state


def make_model(folder, yarn):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for key in ("quantization_config", "rope_scaling", "torch_dtype", "architectures"):
        config.pop(key, None)
    theta = config.pop("rope_theta")
    if yarn:
        config["max_position_embeddings"] = int(YARN["factor"] * YARN["original_max_position_embeddings"])
    config["rope_parameters"] = {"rope_theta": theta, **(YARN if yarn else {"rope_type": "default"})}
    model = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(**config, attn_implementation="eager")).to(torch.float32).eval()
    state = dense_state(folder)
    if config["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


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
    model = make_model(folder, yarn)
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
