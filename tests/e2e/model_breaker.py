# SPDX-License-Identifier: Apache-2.0
"""Copies of a good model folder, each broken in one way that a download or a careless edit could break it."""

import json
import os
import shutil
import struct


def copy_folder(source, target):
    """Hard links, so that a copy costs nothing; whoever changes a file replaces it."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


def write_safetensors(path, header, payload):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.unlink(missing_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)


def edit_header(folder, edit):
    path = folder / "model.safetensors"
    header, payload = read_safetensors(path)
    edit(header)
    write_safetensors(path, header, payload)


def edit_json(path, edit):
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    path.unlink()
    path.write_text(json.dumps(value), encoding="utf-8")


def split_into_shards(folder, count=2):
    """Replaces model.safetensors by numbered shards and an index."""
    path = folder / "model.safetensors"
    header, payload = read_safetensors(path)
    header.pop("__metadata__", None)
    names = list(header)
    weight_map = {}
    for shard in range(count):
        file_name = f"model-{shard + 1:05}-of-{count:05}.safetensors"
        part, data = {}, b""
        for name in names[shard::count]:
            begin, end = header[name]["data_offsets"]
            part[name] = header[name] | {"data_offsets": [len(data), len(data) + end - begin]}
            data += payload[begin:end]
            weight_map[name] = file_name
        write_safetensors(folder / file_name, part, data)
    path.unlink()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": len(payload)}, "weight_map": weight_map}))


def missing_shard(folder):
    split_into_shards(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def truncated_file(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1000])


def header_past_the_end(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(struct.pack("<Q", len(data)) + data[8:])


SCALES = "model.layers.0.mlp.down_proj.scales"


def wrong_shape(folder):
    def edit(header):
        header[SCALES]["shape"].reverse()  # as many bytes, but not the layer's shape
    edit_header(folder, edit)


def overlapping_tensors(folder):
    def edit(header):
        begin, end = header[SCALES]["data_offsets"]
        header[SCALES]["data_offsets"] = [begin - 2, end - 2]
    edit_header(folder, edit)


def missing_tensor(folder):
    path = folder / "model.safetensors"
    header, payload = read_safetensors(path)
    begin, end = header.pop(SCALES)["data_offsets"]
    for name, tensor in header.items():
        if name != "__metadata__" and tensor["data_offsets"][0] >= end:
            tensor["data_offsets"] = [offset - (end - begin) for offset in tensor["data_offsets"]]
    write_safetensors(path, header, payload[:begin] + payload[end:])


def unclaimed_bytes(folder):
    edit_header(folder, lambda header: header.pop(SCALES))


def wrong_dtype(folder):
    def edit(header):
        header["model.layers.0.mlp.down_proj.qweight"]["dtype"] = "F32"
    edit_header(folder, edit)


def unknown_quantization(folder):
    def edit(config):
        config["quantization_config"]["quant_method"] = "gptq"
    edit_json(folder / "config.json", edit)


def another_architecture(folder):
    def edit(config):
        config["model_type"] = "llama"
        config["architectures"] = ["LlamaForCausalLM"]
    edit_json(folder / "config.json", edit)


def broken_config(folder):
    (folder / "config.json").unlink()
    (folder / "config.json").write_text('{"model_type": "qwen3",')


def no_config(folder):
    (folder / "config.json").unlink()


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def broken_tokenizer(folder):
    data = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_bytes(data[:1_000_000])


def unknown_template_construct(folder):
    def edit(config):
        config["chat_template"] = "{{ messages }}\n{% teleport x %}"
    edit_json(folder / "tokenizer_config.json", edit)


# Name -> how to break a copy, and what the refusal must name. The first group is the worker's to find, the second
# the gateway's.
BROKEN_WEIGHTS = {
    "missing_shard": (missing_shard, ["model-00002-of-00002.safetensors"]),
    "truncated_file": (truncated_file, ["model.safetensors", r"\d"]),
    "header_past_the_end": (header_past_the_end, ["model.safetensors", r"\d"]),
    "wrong_shape": (wrong_shape, ["model.safetensors|" + SCALES, SCALES, r"\d+.*\d+"]),
    "overlapping_tensors": (overlapping_tensors, ["model.safetensors", "model.layers.0", r"\d"]),
    "missing_tensor": (missing_tensor, [SCALES]),
    "unclaimed_bytes": (unclaimed_bytes, ["model.safetensors", r"\d+ to \d+"]),
    "wrong_dtype": (wrong_dtype, ["model.layers.0.mlp.down_proj.qweight", "F32"]),
    "unknown_quantization": (unknown_quantization, ["config.json", "gptq"]),
    "another_architecture": (another_architecture, ["config.json", "llama"]),
    "broken_config": (broken_config, ["config.json"]),
    "no_config": (no_config, ["config.json"]),
    "no_weights": (no_weights, ["safetensors"]),
}
BROKEN_TEXT = {
    "no_tokenizer": (no_tokenizer, ["tokenizer.json"]),
    "broken_tokenizer": (broken_tokenizer, ["tokenizer.json"]),
    "unknown_template_construct": (unknown_template_construct, ["teleport", "line 2|:2"]),
}
