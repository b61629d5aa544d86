# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/rope.json: frequencies, cosines and sines of Transformers' Qwen3RotaryEmbedding in float32.

Usage: python3 tests/reference/rope_golden.py   (needs torch 2.13.0, transformers 5.23.0)
"""

import json
import pathlib

import torch
import transformers
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

OUT = pathlib.Path(__file__).resolve().parents[1] / "golden" / "rope.json"
POSITIONS = [0, 1, 2, 63, 64, 1000, 32767, 40000, 40063, 40959, 100003, 131000, 131071]
CASES = [
    (1e6, 128, None),
    (1e4, 64, None),
    (1e6, 128, {"factor": 4.0, "original_max_position_embeddings": 32768}),
    (1e6, 128, {"factor": 2.0, "original_max_position_embeddings": 32768}),
    (1e6, 32, {"factor": 4.0, "original_max_position_embeddings": 32768, "beta_fast": 16, "beta_slow": 2}),
    (1e6, 64, {"factor": 4.0, "original_max_position_embeddings": 8192, "attention_factor": 1.25}),
]


def main():
    cases = []
    for theta, dim, yarn in CASES:
        rope = {"rope_type": "default", "rope_theta": theta}
        if yarn:
            rope = {"rope_type": "yarn", "rope_theta": theta, **yarn}
        config = Qwen3Config(
            hidden_size=dim * 2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=dim,
            max_position_embeddings=131072,
            rope_parameters=rope,
        )
        module = Qwen3RotaryEmbedding(config)
        cos, sin = module(torch.zeros(1, dtype=torch.float32), torch.tensor([POSITIONS]))
        cases.append(
            {
                "theta": theta,
                "head_dim": dim,
                "yarn": yarn,
                "attention_factor": module.attention_scaling,
                "inv_freq": module.inv_freq.tolist(),
                "positions": POSITIONS,
                "cos": cos[0, :, : dim // 2].tolist(),
                "sin": sin[0, :, : dim // 2].tolist(),
            }
        )
    header = {
        "made_by": "tests/reference/rope_golden.py",
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
    }

    def short(value):  # nine significant digits identify a float32
        if isinstance(value, float):
            return float(f"{value:.9g}")
        if isinstance(value, list):
            return [short(v) for v in value]
        return value

    lines = ",\n".join(
        json.dumps({k: short(v) for k, v in c.items()}, separators=(",", ":")) for c in cases
    )
    OUT.write_text(f'{{"header":{json.dumps(header)},\n"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
