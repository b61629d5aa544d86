# SPDX-License-Identifier: Apache-2.0
"""Reads a Qwen3 folder, AWQ ("gemm") or not, into Transformers' Qwen3 in float32: the reference that the worker is
compared with.

Shares nothing with the worker's loader nor with deploy/demo_model/: the quantized linears are dequantized by AutoAWQ's
own recipe (awq/utils/packing_utils.py: unpack by shifts, then undo the order), and packing them again must give the same
words. qweight is int32 [in, out / 8], qzeros int32 [in / group, out / 8], scales [in / group, out]; the weight is
(q - z) * s.

Needs: pip install torch==2.13.0 transformers==5.24.0 safetensors numpy
"""

import json

import torch
import transformers
from safetensors.torch import load_file

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
    """name -> float32 tensor, as an unquantized checkpoint of the same model would hold them."""
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


def load_model(folder, yarn=None):
    """Transformers' Qwen3ForCausalLM in float32, ready to run. yarn: rope parameters to set in place of the plain ones."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for key in ("quantization_config", "rope_scaling", "torch_dtype", "architectures"):
        config.pop(key, None)
    theta = config.pop("rope_theta")
    if yarn:
        config["max_position_embeddings"] = int(yarn["factor"] * yarn["original_max_position_embeddings"])
    config["rope_parameters"] = {"rope_theta": theta, **(yarn or {"rope_type": "default"})}
    model = transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(**config, attn_implementation="eager")).to(torch.float32).eval()
    state = dense_state(folder)
    if config["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model
