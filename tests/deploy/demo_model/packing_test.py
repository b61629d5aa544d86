# SPDX-License-Identifier: Apache-2.0
"""What quantize.py packs, the independent reader of tests/reference/ unpacks to the very weights it rounded to; the scales
it looks for leave the model's function as it was; and a folder that checkpoint.py writes loads there and computes what the
training's own model computes.

Ends with 77 (skipped) where torch or transformers is missing: tests/run.sh does not install them, they are a gigabyte.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "deploy" / "demo_model"
sys.path[:0] = [str(ROOT / "tests" / "reference"), str(DEMO)]

try:
    import awq_reader
    import torch
    from tokenizers import Tokenizer
except ImportError as error:
    print(f"skipped: {error} (pip install torch==2.13.0 transformers==5.24.0 safetensors numpy, or set SLUICE_PYTHON)")
    sys.exit(77)

import checkpoint  # noqa: E402
import quantize  # noqa: E402
from model import Config, Qwen3, dense_attention  # noqa: E402

torch.manual_seed(1)
torch.set_num_threads(1)


def check_packing():
    for rows, columns in ((16, 128), (384, 512), (1024, 384)):
        weight = torch.randn(rows, columns) * torch.rand(rows, 1)
        weight[0] = 0
        weight[1] = weight[1].abs()
        qweight, qzeros, scales = quantize.packed(weight)
        assert qweight.shape == (columns, rows // 8) and qzeros.shape == (columns // 128, rows // 8)
        assert qweight.dtype == qzeros.dtype == torch.int32 and scales.dtype == torch.bfloat16
        read = awq_reader.dequantize(qweight, qzeros, scales)
        assert torch.equal(read, quantize.rounded(weight))
        half_step = scales.float().repeat_interleave(128, dim=0).T / 2
        # BF16 scales are rounded themselves, by 1/256 at most over 15 steps, and zero points to whole steps.
        error = (read - weight).abs()
        assert (error <= 2.2 * half_step).all() and (error <= 1.01 * half_step).float().mean() > 0.9


def check_straight_through_gradient():
    weight = torch.randn(8, 128, requires_grad=True)
    (quantize.Straight.apply(weight) * torch.arange(128.0)).sum().backward()
    assert torch.equal(weight.grad, torch.arange(128.0).expand(8, 128))


@torch.no_grad()
def check_folded_scales_leave_the_model_as_it_was():
    model = Qwen3(Config(vocab_size=512, num_hidden_layers=2)).eval()
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            weight.uniform_(0.1, 3)  # channels that differ, so that there is something to scale
    ids, positions = torch.randint(0, 512, (2, 64)), torch.arange(64).repeat(2, 1)
    documents = torch.ones_like(ids)
    before = model.hidden(ids, positions, dense_attention(documents))
    weights = [module.weight.clone() for _, module in quantize.linears(model)]
    inputs = quantize.collect_inputs(model, (ids, None, positions, documents), dense_attention)
    gains = []
    quantize.apply_awq(model, inputs, lambda text: gains.extend(float(part.split("/")[1]) for part in text.split()[-4:]))
    assert any(not torch.equal(old, module.weight) for old, (_, module) in zip(weights, quantize.linears(model)))
    assert len(gains) == 8 and max(gains) <= 1 and min(gains) < 0.98  # no place is worse than plain rounding, some better
    after = model.hidden(ids, positions, dense_attention(documents))
    assert (after - before).abs().max() < 1e-4 * before.abs().max()


def check_folder():
    tokenizer = Tokenizer.from_file(str(DEMO / "sluice-demo" / "tokenizer.json"))
    model = Qwen3(Config(vocab_size=tokenizer.get_vocab_size(), num_hidden_layers=2)).eval()
    ids = torch.randint(0, 4000, (1, 48))
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        for quantized in (False, True):
            out = Path(temporary) / str(quantized)
            checkpoint.write(model, tokenizer, DEMO / "sluice-demo", out, quantized)
            ours = Qwen3(model.c).eval()
            ours.load_state_dict({k: v.to(torch.bfloat16).float() for k, v in model.state_dict().items()})
            if quantized:
                for (_, module), (_, source) in zip(quantize.linears(ours), quantize.linears(model)):
                    module.weight.data = quantize.rounded(source.weight.data)
            positions = torch.arange(48)[None]
            hidden = ours.hidden(ids, positions, dense_attention(torch.ones_like(ids)))
            logits = hidden @ ours.model.embed_tokens.weight.T
            read = awq_reader.load_model(out)(input_ids=ids).logits
            assert (logits - read).abs().max() < 1e-4 * (read.max() - read.min()), (logits - read).abs().max()


for part in (check_packing, check_straight_through_gradient, check_folded_scales_leave_the_model_as_it_was,
             check_folder):
    part()
    print(part.__name__, "well")
