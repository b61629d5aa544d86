# SPDX-License-Identifier: Apache-2.0
"""Writes a checkpoint of Qwen3-14B-AWQ's shapes and size (10 GB), in two shards, at the speed of the disk. Its weights are
noise that repeats: loading and computing take what the real ones take, and no value overflows.

    python3 tests/bench/large_checkpoint.py --output DIR [--layers 40]
"""

import argparse
import concurrent.futures
import json
import math
import random
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "demo_model"))
import random_checkpoint  # noqa: E402  (found through the line above)

SHAPE = {"hidden_size": 5120, "intermediate_size": 17408, "heads": 40, "kv_heads": 8}
VOCAB = 151_936
SHARDS = 2
POOL = 8 << 20  # bytes of each kind of data, written over and over
SIZES = {"BF16": 2, "I32": 4}


def tensors(layers):
    """(name, dtype, shape, kind) of each tensor in order; a kind is a pool of make_pools."""
    hidden, ffn = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    q, kv = SHAPE["heads"] * random_checkpoint.HEAD_DIM, SHAPE["kv_heads"] * random_checkpoint.HEAD_DIM

    def awq(name, rows, columns):
        groups = rows // random_checkpoint.GROUP
        yield f"{name}.qweight", "I32", [rows, columns // 8], "weights"
        yield f"{name}.qzeros", "I32", [groups, columns // 8], "zeros"
        yield f"{name}.scales", "BF16", [groups, columns], f"scales of {rows}"

    yield "model.embed_tokens.weight", "BF16", [VOCAB, hidden], "embedding"
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for name, rows, columns in (("self_attn.q", hidden, q), ("self_attn.k", hidden, kv), ("self_attn.v", hidden, kv),
                                    ("self_attn.o", q, hidden), ("mlp.gate", hidden, ffn), ("mlp.up", hidden, ffn),
                                    ("mlp.down", ffn, hidden)):
            yield from awq(f"{prefix}.{name}_proj", rows, columns)
        for name, size in (("self_attn.q_norm", random_checkpoint.HEAD_DIM), ("self_attn.k_norm", random_checkpoint.HEAD_DIM),
                           ("input_layernorm", hidden), ("post_attention_layernorm", hidden)):
            yield f"{prefix}.{name}.weight", "BF16", [size], "norms"
    yield "model.norm.weight", "BF16", [hidden], "norms"
    yield "lm_head.weight", "BF16", [VOCAB, hidden], "embedding"


def make_pools():
    rng = random.Random(14)

    def bf16(levels):
        return random_checkpoint.draw(rng, "BF16", POOL // 2, levels)

    pools = {"weights": rng.randbytes(POOL), "zeros": rng.randbytes(POOL).translate(random_checkpoint.ZERO_POINTS),
             "embedding": bf16(random_checkpoint.normal_levels(0.0, 0.02)),
             "norms": bf16(random_checkpoint.normal_levels(1.0, 0.1))}
    for rows in (SHAPE["hidden_size"], SHAPE["intermediate_size"]):
        # As in random_checkpoint.py: activations stay of order 1.
        scale = 1 / (4.6 * math.sqrt(rows))
        pools[f"scales of {rows}"] = bf16([scale * (0.75 + 0.5 * i / 255) for i in range(256)])
    return {kind: memoryview(pool) for kind, pool in pools.items()}


def bytes_of(dtype, shape):
    return SIZES[dtype] * math.prod(shape)


def write_shard(path, part, pools):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, _ in part:
        end = offset + bytes_of(dtype, shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb", buffering=0) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, dtype, shape, kind in part:
            left = bytes_of(dtype, shape)
            while left > 0:
                left -= file.write(pools[kind][:left])
    return offset


def write_text_files(folder, layers=40):
    """Makes the folder with all but the weights: enough for `--load-format dummy`."""
    folder.mkdir(parents=True)
    args = SimpleNamespace(layers=layers, tokenizer="tests/golden/qwen3/tokenizer.json.xz",
                           chat_template=ROOT / "deploy" / "demo_model" / "chat_template.jinja", **SHAPE)
    tokenizer = random_checkpoint.read_tokenizer(str(ROOT / args.tokenizer))
    config = random_checkpoint.write_text_files(folder, args, tokenizer)
    random_checkpoint.write_json(folder, "config.json", config | {"vocab_size": VOCAB, "tie_word_embeddings": False})


def write(folder, layers=40):
    """Makes the folder and returns the bytes of its weights."""
    write_text_files(folder, layers)
    every = list(tensors(layers))
    total = sum(bytes_of(dtype, shape) for _, dtype, shape, _ in every)
    parts, weight_map, written = [[] for _ in range(SHARDS)], {}, 0
    for tensor in every:
        shard = min(written * SHARDS // total, SHARDS - 1)
        parts[shard].append(tensor)
        written += bytes_of(*tensor[1:3])
        weight_map[tensor[0]] = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
    pools = make_pools()
    with concurrent.futures.ThreadPoolExecutor(SHARDS) as pool:
        names = [f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors" for shard in range(SHARDS)]
        list(pool.map(lambda shard: write_shard(folder / names[shard], parts[shard], pools), range(SHARDS)))
    random_checkpoint.write_json(folder, "model.safetensors.index.json",
                                 {"metadata": {"total_size": total}, "weight_map": weight_map})
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to make; must not exist")
    parser.add_argument("--layers", type=int, default=40, help="default %(default)s")
    args = parser.parse_args()
    print(f"{args.output}: {write(args.output, args.layers) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
