# SPDX-License-Identifier: Apache-2.0
"""Writes a model folder as Hugging Face lays it out: the BF16 weights, or the AWQ form of them."""

import json
import shutil

import torch
from safetensors.torch import save_file

from quantize import packed


def hf_config(c, tokenizer, quantized):
    config = {"architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
              "bos_token_id": tokenizer.token_to_id("<|endoftext|>"), "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
              "head_dim": c.head_dim, "hidden_act": "silu", "hidden_size": c.hidden_size, "initializer_range": 0.02,
              "intermediate_size": c.intermediate_size, "max_position_embeddings": c.max_position_embeddings,
              "max_window_layers": c.num_hidden_layers, "model_type": "qwen3", "num_attention_heads": c.num_attention_heads,
              "num_hidden_layers": c.num_hidden_layers, "num_key_value_heads": c.num_key_value_heads,
              "rms_norm_eps": c.rms_norm_eps, "rope_scaling": None, "rope_theta": c.rope_theta, "sliding_window": None,
              "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": True,
              "use_sliding_window": False, "vocab_size": c.vocab_size}
    if quantized:
        config["quantization_config"] = {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq",
                                         "version": "gemm", "zero_point": True}
    return config


def write(model, tokenizer, tokenizer_dir, out, quantized):
    out.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, value in model.state_dict().items():
        value = value.detach().float().cpu()
        if quantized and name.endswith("_proj.weight"):
            stem = name.removesuffix(".weight")
            tensors[stem + ".qweight"], tensors[stem + ".qzeros"], tensors[stem + ".scales"] = packed(value)
        else:
            tensors[name] = value.to(torch.bfloat16).contiguous()
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(hf_config(model.c, tokenizer, quantized), indent=2) + "\n")
    generation = {"bos_token_id": tokenizer.token_to_id("<|endoftext|>"), "do_sample": True,
                  "eos_token_id": [tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")],
                  "pad_token_id": tokenizer.token_to_id("<|endoftext|>"), "temperature": 0.6, "top_k": 20, "top_p": 0.95,
                  "transformers_version": "4.51.0"}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        if (tokenizer_dir / name).resolve() != (out / name).resolve():
            shutil.copy(tokenizer_dir / name, out / name)
