# SPDX-License-Identifier: Apache-2.0
"""The bundled model's folder has the very form of Qwen3-14B-AWQ: the same keys, the same quantization, a tokenizer of the
same kind, tensors in AutoAWQ's "gemm" layout; and it stays small."""

import array
import json
import lzma
import os
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "deploy" / "demo_model"
FOLDER = DEMO / "sluice-demo"
MAX_BYTES = 14 << 20
GROUP = 128
# As Qwen3-14B-AWQ publishes them.
QUANTIZATION = {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
                "zero_point": True}
SAMPLING = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95}


def load(name, folder=FOLDER):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def qwen3_folder():
    for folder in (os.environ.get("SLUICE_QWEN3_DIR"), ROOT.parent / "shared" / "qwen3"):
        if folder and (Path(folder) / "config.json").is_file():
            return Path(folder)
    pytest.skip("Qwen3-14B-AWQ's configuration is not here; set SLUICE_QWEN3_DIR")


@pytest.fixture(scope="module")
def qwen3_tokenizer():
    with lzma.open(ROOT / "tests/golden/qwen3/tokenizer.json.xz") as file:
        return json.load(file)


class Tensors:
    """The safetensors file, read by its published layout: header length, JSON header, data."""

    def __init__(self):
        self.data = (FOLDER / "model.safetensors").read_bytes()
        length = struct.unpack_from("<Q", self.data)[0]
        self.header = json.loads(self.data[8:8 + length])
        self.header.pop("__metadata__", None)
        self.begin = 8 + length

    def bytes(self, name):
        first, last = self.header[name]["data_offsets"]
        return self.data[self.begin + first:self.begin + last]

    def form(self, name):
        return self.header[name]["dtype"], self.header[name]["shape"]


@pytest.fixture(scope="module")
def tensors():
    return Tensors()


@pytest.fixture(scope="module")
def config():
    return load("config.json")


def linears(config):
    """name -> (in, out) of every quantized linear."""
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    shapes = {"self_attn.q_proj": (hidden, queries), "self_attn.k_proj": (hidden, keys), "self_attn.v_proj": (hidden, keys),
              "self_attn.o_proj": (queries, hidden), "mlp.gate_proj": (hidden, inner), "mlp.up_proj": (hidden, inner),
              "mlp.down_proj": (inner, hidden)}
    return {f"model.layers.{layer}.{name}": shape for layer in range(config["num_hidden_layers"])
            for name, shape in shapes.items()}


def test_the_folder_is_small_and_whole():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
                          "tokenizer_config.json"}
    assert sum(files.values()) <= MAX_BYTES


def test_quantization_is_the_14bs(config):
    assert config["quantization_config"] == QUANTIZATION
    assert config["architectures"] == ["Qwen3ForCausalLM"] and config["model_type"] == "qwen3"


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
def test_keys_and_types_are_the_14bs(name):
    ours, theirs = load(name), load(name, qwen3_folder())
    assert set(ours) == set(theirs)

    def kind(value):
        return "number" if type(value) in (int, float) else type(value).__name__
    assert {key: kind(value) for key, value in ours.items()} == {key: kind(value) for key, value in theirs.items()}
    if name == "config.json":
        assert ours["quantization_config"] == theirs["quantization_config"] == QUANTIZATION
        same = ["architectures", "model_type", "hidden_act", "head_dim", "rms_norm_eps", "attention_bias", "use_sliding_window",
                "sliding_window", "rope_scaling", "initializer_range"]
        assert [ours[key] for key in same] == [theirs[key] for key in same]
    if name == "tokenizer_config.json":
        own = {"added_tokens_decoder", "chat_template", "model_max_length"}
        assert {k: v for k, v in ours.items() if k not in own} == {k: v for k, v in theirs.items() if k not in own}
        assert list(ours["added_tokens_decoder"].values()) == list(theirs["added_tokens_decoder"].values())


def test_sampling_defaults_are_the_14bs(config):
    generation = load("generation_config.json")
    assert {key: generation[key] for key in SAMPLING} == SAMPLING
    tokenizer = load("tokenizer.json")
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert generation["eos_token_id"] == [ids["<|im_end|>"], ids["<|endoftext|>"]]
    assert generation["pad_token_id"] == generation["bos_token_id"] == config["bos_token_id"] == ids["<|endoftext|>"]
    assert config["eos_token_id"] == ids["<|im_end|>"]


def test_the_tokenizer_is_of_the_same_kind(qwen3_tokenizer, config):
    ours = load("tokenizer.json")
    for part in ("version", "truncation", "padding", "normalizer", "pre_tokenizer", "post_processor"):
        assert ours[part] == qwen3_tokenizer[part], part
    assert ours["normalizer"]["type"] == "NFC" and ours["decoder"]["type"] == "ByteLevel"
    model, theirs = ours["model"], qwen3_tokenizer["model"]
    assert model["type"] == "BPE"
    for key in set(model) - {"vocab", "merges"}:
        assert (model[key] or None) == (theirs[key] or None), key  # an absent prefix is written as null or as ""
    assert [{**t, "id": None} for t in ours["added_tokens"]] == [{**t, "id": None} for t in qwen3_tokenizer["added_tokens"]]
    ids = [*model["vocab"].values(), *(t["id"] for t in ours["added_tokens"])]
    assert sorted(ids) == list(range(config["vocab_size"]))
    assert [t["id"] for t in ours["added_tokens"]] == list(range(len(model["vocab"]), config["vocab_size"]))
    byte_letters = {t for t in theirs["vocab"] if len(t) == 1}
    assert {t for t in model["vocab"] if len(t) == 1} >= {t for t in byte_letters if theirs["vocab"][t] < 256}


def test_the_template_is_the_one_in_the_repository():
    assert load("tokenizer_config.json")["chat_template"] == (DEMO / "chat_template.jinja").read_text(encoding="utf-8")


def test_added_tokens_are_told_alike():
    decoder = load("tokenizer_config.json")["added_tokens_decoder"]
    for token in load("tokenizer.json")["added_tokens"]:
        assert {"id": int(token["id"]), **decoder[str(token["id"])]} == token


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_shapes_divide_among_ranks(config, ranks):
    assert config["num_attention_heads"] % ranks == 0 and config["num_key_value_heads"] % ranks == 0
    for name, (inputs, outputs) in linears(config).items():
        by_rows = name.endswith(("o_proj", "down_proj"))
        assert inputs % (GROUP * (ranks if by_rows else 1)) == 0, name  # a rank holds whole groups
        assert outputs % (8 * (1 if by_rows else ranks)) == 0, name     # and whole words
    assert config["vocab_size"] % ranks == 0


def test_tensors_have_autoawqs_names_types_and_shapes(tensors, config):
    hidden, head = config["hidden_size"], config["head_dim"]
    expected = {"model.embed_tokens.weight": ("BF16", [config["vocab_size"], hidden]), "model.norm.weight": ("BF16", [hidden])}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for norm, size in (("input_layernorm", hidden), ("post_attention_layernorm", hidden), ("self_attn.q_norm", head),
                           ("self_attn.k_norm", head)):
            expected[f"{prefix}{norm}.weight"] = ("BF16", [size])
    for name, (inputs, outputs) in linears(config).items():
        expected[f"{name}.qweight"] = ("I32", [inputs, outputs // 8])
        expected[f"{name}.qzeros"] = ("I32", [inputs // GROUP, outputs // 8])
        expected[f"{name}.scales"] = ("BF16", [inputs // GROUP, outputs])
    assert config["tie_word_embeddings"]
    assert {name: tensors.form(name) for name in tensors.header} == expected


def test_every_number_is_finite_and_every_scale_positive(tensors):
    for name in tensors.header:
        if tensors.form(name)[0] != "BF16":
            continue
        values = array.array("H", tensors.bytes(name))
        assert not any((v & 0x7F80) == 0x7F80 for v in values), name  # an exponent of ones: infinity or not a number
        if name.endswith(".scales"):
            assert all(0 < v < 0x8000 for v in values), name


def test_groups_use_the_whole_grid(tensors, config):
    """Each group of a column was rounded between its least and largest weight, so its 4-bit values reach from one end to
    the other, with the zero point among them. Which column a field belongs to, the greedy golden tells.
    """
    whole = columns = 0
    for name in [n for n in linears(config) if n.endswith(("q_proj", "down_proj"))][:4]:
        words = tensors.form(f"{name}.qweight")[1][1]
        weights = array.array("I", tensors.bytes(f"{name}.qweight"))
        zeros = array.array("I", tensors.bytes(f"{name}.qzeros"))
        for word in range(words):
            group = [weights[row * words + word] for row in range(GROUP)]
            for shift in range(0, 32, 4):
                values = {value >> shift & 15 for value in group}
                columns += 1
                whole += max(values) - min(values) >= 14 and min(values) <= zeros[word] >> shift & 15 <= max(values)
    assert whole > 0.99 * columns
