#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a small Qwen3 checkpoint with random weights in the form of Qwen3-14B-AWQ: a Hugging Face folder with
AWQ 4-bit "gemm" linears, BF16 scales, and the tokenizer and chat template it is given.

It answers with noise; it exists so that the whole path (loading, sharding, decoding, streaming) runs where no
trained model is at hand. Python's standard library only, and seconds: quickstart calls it on a bare machine.

    python3 deploy/demo_model/random_checkpoint.py --tokenizer tests/golden/qwen3/tokenizer.json.xz \\
        --chat-template deploy/demo_model/chat_template.jinja --output models/random
"""

import argparse
import json
import lzma
import math
import os
import random
import shutil
import statistics
import struct
import sys

GROUP = 128  # rows of a linear that share one scale
HEAD_DIM = 128


def encode(dtype, value):
    """The bytes of value as dtype, little endian, rounded to nearest with ties to even."""
    if dtype == "F32":
        return struct.pack("<f", value)
    if dtype == "F16":
        return struct.pack("<e", value)
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to_bytes(2, "little")


def draw(rng, dtype, count, levels):
    """count values of dtype, each one of 256 levels: a byte a value keeps a table of 60 million quick."""
    encoded = [encode(dtype, level) for level in levels]
    width = len(encoded[0])
    drawn = rng.randbytes(count)
    out = bytearray(width * count)
    for i in range(width):
        out[i::width] = drawn.translate(bytes(level[i] for level in encoded))
    return bytes(out)


def normal_levels(mean, deviation):
    normal = statistics.NormalDist(mean, deviation)
    return [normal.inv_cdf((i + 0.5) / 256) for i in range(256)]


# Bytes whose two nibbles are 7, 8 or 9: zero points near the middle of the 4-bit range.
ZERO_POINTS = bytes((7 + b % 3) | (7 + b // 3 % 3) << 4 for b in range(256))


class Weights:
    """Collects tensors in order and writes them as one safetensors file."""

    def __init__(self, rng):
        self.rng = rng
        self.tensors = []  # (name, dtype, shape, bytes)

    def normal(self, name, shape, mean, deviation, dtype="BF16"):
        data = draw(self.rng, dtype, math.prod(shape), normal_levels(mean, deviation))
        self.tensors.append((name, dtype, shape, data))

    def awq_linear(self, name, in_features, out_features, scales="BF16", zero_points=ZERO_POINTS):
        # Uniform 4-bit values deviate by 4.6 from their middle; weights of 1 / sqrt(in) keep activations of order 1.
        scale = 1 / (4.6 * math.sqrt(in_features))
        groups = in_features // GROUP
        levels = [scale * (0.75 + 0.5 * i / 255) for i in range(256)]
        self.tensors += [
            (f"{name}.qweight", "I32", [in_features, out_features // 8],
             self.rng.randbytes(in_features * out_features // 2)),
            (f"{name}.qzeros", "I32", [groups, out_features // 8],
             self.rng.randbytes(groups * out_features // 2).translate(zero_points)),
            (f"{name}.scales", scales, [groups, out_features],
             draw(self.rng, scales, groups * out_features, levels)),
        ]

    def write(self, path):
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, dtype, shape, data in self.tensors:
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
            offset += len(data)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the payload starts on a multiple of 8
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for _, _, _, data in self.tensors:
                file.write(data)
        return offset


def make_weights(rng, config):
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    q_size = config["num_attention_heads"] * HEAD_DIM
    kv_size = config["num_key_value_heads"] * HEAD_DIM
    weights = Weights(rng)
    weights.normal("model.embed_tokens.weight", [config["vocab_size"], hidden], 0.0, 0.02)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name, out_features in (("q", q_size), ("k", kv_size), ("v", kv_size)):
            weights.awq_linear(f"{prefix}.self_attn.{name}_proj", hidden, out_features)
        weights.awq_linear(f"{prefix}.self_attn.o_proj", q_size, hidden)
        for name in ("gate", "up"):
            weights.awq_linear(f"{prefix}.mlp.{name}_proj", hidden, ffn)
        weights.awq_linear(f"{prefix}.mlp.down_proj", ffn, hidden)
        for name, size in (("self_attn.q_norm", HEAD_DIM), ("self_attn.k_norm", HEAD_DIM),
                           ("input_layernorm", hidden), ("post_attention_layernorm", hidden)):
            weights.normal(f"{prefix}.{name}.weight", [size], 1.0, 0.1)
    weights.normal("model.norm.weight", [hidden], 1.0, 0.1)
    return weights


def read_tokenizer(path):
    opener = lzma.open if path.endswith(".xz") else open
    with opener(path, "rb") as file:
        return file.read()


def token_ids(tokenizer):
    """Number of ids the tokenizer uses, and its added tokens by content."""
    added = {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    largest = max([*tokenizer["model"]["vocab"].values(), *added.values()])
    return largest + 1, added


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def make_config(args, vocab_size, end_of_turn, end_of_text):
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": end_of_text, "eos_token_id": end_of_turn,
        "head_dim": HEAD_DIM, "hidden_act": "silu", "hidden_size": args.hidden_size, "initializer_range": 0.02,
        "intermediate_size": args.intermediate_size, "max_position_embeddings": 40960,
        "num_attention_heads": args.heads, "num_hidden_layers": args.layers, "num_key_value_heads": args.kv_heads,
        "quantization_config": {"bits": 4, "group_size": GROUP, "modules_to_not_convert": None,
                                "quant_method": "awq", "version": "gemm", "zero_point": True},
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False,
        "vocab_size": vocab_size,
    }


def check_shape(args):
    for flag, value, multiple in (("--hidden-size", args.hidden_size, GROUP),
                                  ("--intermediate-size", args.intermediate_size, GROUP),
                                  ("--heads", args.heads, args.kv_heads), ("--layers", args.layers, 1)):
        if value <= 0 or value % multiple:
            sys.exit(f"random_checkpoint.py: {flag} is {value}; it must be a positive multiple of {multiple}")


def write_text_files(folder, args, tokenizer_bytes):
    """All but the weights; returns the config."""
    tokenizer = json.loads(tokenizer_bytes)
    num_tokens, added = token_ids(tokenizer)
    for content in ("<|im_end|>", "<|endoftext|>"):
        if content not in added:
            sys.exit(f"random_checkpoint.py: {args.tokenizer} has no added token {content}")
    end_of_turn, end_of_text = added["<|im_end|>"], added["<|endoftext|>"]
    # Rows beyond the tokenizer are padding, as in the real model; a multiple of 128 shards over 2, 4 and 8 ranks.
    config = make_config(args, -(-num_tokens // 128) * 128, end_of_turn, end_of_text)
    write_json(folder, "config.json", config)
    write_json(folder, "generation_config.json", {
        "bos_token_id": end_of_text, "do_sample": True, "eos_token_id": [end_of_turn, end_of_text],
        "pad_token_id": end_of_text, "temperature": 0.6, "top_k": 20, "top_p": 0.95})
    with open(args.chat_template, encoding="utf-8") as file:
        template = file.read()
    write_json(folder, "tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "chat_template": template,
        "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": 131072, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None})
    with open(os.path.join(folder, "tokenizer.json"), "wb") as file:
        file.write(tokenizer_bytes)
    return config


def write_folder(folder, args, tokenizer_bytes):
    config = write_text_files(folder, args, tokenizer_bytes)
    return make_weights(random.Random(args.seed), config).write(os.path.join(folder, "model.safetensors"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json, or the same compressed as .xz")
    parser.add_argument("--chat-template", required=True, help="Jinja text of the chat template")
    parser.add_argument("--output", required=True, help="folder to write; replaced when it exists")
    parser.add_argument("--hidden-size", type=int, default=384, help="default %(default)s")
    parser.add_argument("--intermediate-size", type=int, default=1024, help="default %(default)s")
    parser.add_argument("--layers", type=int, default=6, help="default %(default)s")
    parser.add_argument("--heads", type=int, default=4, help="query heads of 128; default %(default)s")
    parser.add_argument("--kv-heads", type=int, default=4, help="key and value heads; default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    args = parser.parse_args()
    check_shape(args)
    # Written beside the target and renamed at the end: an interrupted run leaves no folder that looks complete.
    output = os.path.abspath(args.output)
    partial = f"{output}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    try:
        weight_bytes = write_folder(partial, args, read_tokenizer(args.tokenizer))
        shutil.rmtree(output, ignore_errors=True)
        os.rename(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{args.output}: random weights, {weight_bytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
