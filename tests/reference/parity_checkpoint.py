# SPDX-License-Identifier: Apache-2.0
"""Writes the checkpoints on which the worker's logits are compared with Transformers', one folder a case.

Weights are a function of the case's name (Python's Mersenne Twister), so the folders are made wherever the tests are
built and only the logits are committed: tests/golden/model/, written by model_logits.py, which also records the
sha256 of each folder. Python's standard library only.

    python3 tests/reference/parity_checkpoint.py --output build/parity
"""

import argparse
import hashlib
import json
import math
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "demo_model"))

import random_checkpoint  # noqa: E402  (found through the line above)

HEAD_DIM = random_checkpoint.HEAD_DIM
# Zero points from 4 to 11: far enough apart that a wrong one shows.
ZERO_POINTS = bytes((4 + b % 8) | (4 + b // 8 % 8) << 4 for b in range(256))

# quantization: the config's object, or absent for a dense folder. scales: their dtype. dense: dtypes of what is not
# quantized, by module. shards: number of safetensors files.
CASES = {
    # Grouped queries, five to a KV head; untied; the keys as Transformers writes them; two shards.
    "grouped_untied": {
        "hidden": 256, "ffn": 512, "layers": 2, "heads": 20, "kv_heads": 4, "vocab": 2048, "tied": False,
        "scales": "BF16", "shards": 2,
        "quantization": {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq",
                         "version": "gemm", "zero_point": True},
    },
    # One query head a KV head; tied; the keys as AutoAWQ writes them.
    "plain_tied": {
        "hidden": 384, "ffn": 1024, "layers": 2, "heads": 4, "kv_heads": 4, "vocab": 2048, "tied": True,
        "scales": "F16",
        "quantization": {"w_bit": 4, "q_group_size": 128, "quant_method": "awq", "version": "GEMM",
                         "zero_point": True},
    },
    # Some modules left dense, in every float type: neighbours that cannot be fused.
    "mixed": {
        "hidden": 256, "ffn": 512, "layers": 2, "heads": 4, "kv_heads": 2, "vocab": 512, "tied": True,
        "scales": "F32", "dense": {"k_proj": "F16", "down_proj": "BF16"},
        "quantization": {"bits": 4, "group_size": 128, "modules_to_not_convert": ["k_proj", "layers.1.mlp.down_proj"],
                         "quant_method": "awq", "version": "gemm", "zero_point": True},
    },
    # No quantization at all, a float type a module.
    "dense": {
        "hidden": 256, "ffn": 512, "layers": 1, "heads": 4, "kv_heads": 2, "vocab": 512, "tied": False,
        "dense": {"q_proj": "F32", "k_proj": "F32", "v_proj": "BF16", "o_proj": "F16", "gate_proj": "F16",
                  "up_proj": "F16", "down_proj": "F32", "lm_head": "F32", "embed_tokens": "F16", "q_norm": "F32"},
    },
    # The real vocabulary's size.
    "full_vocabulary": {
        "hidden": 128, "ffn": 128, "layers": 1, "heads": 2, "kv_heads": 2, "vocab": 151936, "tied": True,
        "scales": "BF16",
        "quantization": {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq",
                         "version": "gemm", "zero_point": True},
    },
}


def config_of(case):
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False,
        "bos_token_id": 0, "eos_token_id": 1, "head_dim": HEAD_DIM, "hidden_act": "silu",
        "hidden_size": case["hidden"], "intermediate_size": case["ffn"], "max_position_embeddings": 40960,
        "num_attention_heads": case["heads"], "num_hidden_layers": case["layers"],
        "num_key_value_heads": case["kv_heads"], "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": 1000000, "tie_word_embeddings": case["tied"], "torch_dtype": "float16",
        "use_sliding_window": False, "vocab_size": case["vocab"],
    }
    if "quantization" in case:
        config["quantization_config"] = case["quantization"]
    return config


def is_awq(case, module):
    """Whether AutoAWQ quantizes the linear: it skips the modules whose name holds one of the listed strings."""
    if "quantization" not in case:
        return False
    skipped = case["quantization"].get("modules_to_not_convert") or []
    return not any(name in module for name in skipped)


def dense_dtype(case, module):
    return case.get("dense", {}).get(module.rsplit(".", 1)[-1], "BF16")


def make_weights(name, case):
    weights = random_checkpoint.Weights(random.Random(name))

    def linear(module, in_features, out_features):
        if is_awq(case, module):
            weights.awq_linear(module, in_features, out_features, case["scales"], ZERO_POINTS)
        else:
            weights.normal(f"{module}.weight", [out_features, in_features], 0.0, 1 / math.sqrt(in_features),
                           dense_dtype(case, module))

    def norm(module, size):
        weights.normal(f"{module}.weight", [size], 1.0, 0.1, dense_dtype(case, module))

    hidden, q_size, kv_size = case["hidden"], case["heads"] * HEAD_DIM, case["kv_heads"] * HEAD_DIM
    weights.normal("model.embed_tokens.weight", [case["vocab"], hidden], 0.0, 1 / math.sqrt(hidden),
                   dense_dtype(case, "embed_tokens"))
    for layer in range(case["layers"]):
        prefix = f"model.layers.{layer}"
        norm(f"{prefix}.input_layernorm", hidden)
        linear(f"{prefix}.self_attn.q_proj", hidden, q_size)
        linear(f"{prefix}.self_attn.k_proj", hidden, kv_size)
        linear(f"{prefix}.self_attn.v_proj", hidden, kv_size)
        linear(f"{prefix}.self_attn.o_proj", q_size, hidden)
        norm(f"{prefix}.self_attn.q_norm", HEAD_DIM)
        norm(f"{prefix}.self_attn.k_norm", HEAD_DIM)
        norm(f"{prefix}.post_attention_layernorm", hidden)
        linear(f"{prefix}.mlp.gate_proj", hidden, case["ffn"])
        linear(f"{prefix}.mlp.up_proj", hidden, case["ffn"])
        linear(f"{prefix}.mlp.down_proj", case["ffn"], hidden)
    norm("model.norm", hidden)
    if not case["tied"]:
        weights.normal("lm_head.weight", [case["vocab"], hidden], 0.0, 1 / math.sqrt(hidden),
                       dense_dtype(case, "lm_head"))
    return weights


def write_case(name, folder):
    case = CASES[name]
    folder.mkdir(parents=True, exist_ok=True)
    random_checkpoint.write_json(folder, "config.json", config_of(case))
    weights = make_weights(name, case)
    shards = case.get("shards", 1)
    if shards == 1:
        weights.write(folder / "model.safetensors")
        return
    # Cut where a linear's three tensors fall into two files: loaders must not expect them together.
    cut = [tensor[0] for tensor in weights.tensors].index("model.layers.1.self_attn.q_proj.scales")
    weight_map = {}
    for i, tensors in enumerate((weights.tensors[:cut], weights.tensors[cut:])):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = random_checkpoint.Weights(None)
        part.tensors = tensors
        part.write(folder / file)
        weight_map.update({tensor[0]: file for tensor in tensors})
    # total_size is wrong on purpose, as in the published index of Qwen3-14B-AWQ.
    random_checkpoint.write_json(folder, "model.safetensors.index.json",
                                 {"metadata": {"total_size": 1}, "weight_map": weight_map})


def folder_sha256(folder):
    """Over names and bytes of all files, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder that gets one folder a case")
    output = parser.parse_args().output
    manifest = json.loads((ROOT / "tests" / "golden" / "model" / "manifest.json").read_text(encoding="utf-8"))
    for name in CASES:
        write_case(name, output / name)
        if folder_sha256(output / name) != manifest["checkpoints"][name]:
            sys.exit(f"{output / name} is not the checkpoint that tests/golden/model was made from: "
                     "run tests/reference/model_logits.py again")


if __name__ == "__main__":
    main()
