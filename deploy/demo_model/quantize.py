# SPDX-License-Identifier: Apache-2.0
"""Activation-aware weight quantization (AWQ, Lin et al. 2023, arXiv:2306.00978) of sluice-demo to 4 bits, group 128, with
zero points and BF16 scales, and the AutoAWQ "gemm" layout.

The search: input channels of a group of linears that share an input are scaled up by s = mean|x|^alpha before rounding,
and the inverse is folded into what produces that input (a norm's weight, v_proj, or up_proj). alpha comes from a grid of
21 values; the one with the least error of the linears' outputs on calibration data wins.
"""

import torch

GROUP = 128
PACK_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # nibble i of a word holds column 8c + PACK_ORDER[i]


def grid_of(weight):
    """weight [out, in] -> (integers, scales, zeros): scales [out, in/128] rounded to BF16, zeros integers in 0..15."""
    out, inside = weight.shape
    groups = weight.float().view(out, inside // GROUP, GROUP)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scales = ((high - low) / 15).clamp(min=1e-5).to(torch.bfloat16).float()
    zeros = (-low / scales).round().clamp(0, 15)
    integers = (groups / scales[..., None] + zeros[..., None]).round().clamp(0, 15)
    return integers, scales, zeros


def rounded(weight):
    """The weight as the quantized model has it, float32 of the same shape."""
    integers, scales, zeros = grid_of(weight)
    return ((integers - zeros[..., None]) * scales[..., None]).view(weight.shape)


class Straight(torch.autograd.Function):
    """Rounds onto the grid going forward, hands the gradient through going back."""

    @staticmethod
    def forward(context, weight):
        del context
        return rounded(weight).to(weight.dtype)

    @staticmethod
    def backward(context, gradient):
        del context
        return gradient


class OnGrid(torch.nn.Module):
    """Parametrization of a linear's weight for fine-tuning on the quantization grid."""

    def forward(self, weight):
        return Straight.apply(weight)


def linears(model):
    return [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]


@torch.no_grad()
def collect_inputs(model, batch, attend_of, limit=4096):
    """name -> sampled input rows [limit, in] of each linear on one batch."""
    inputs, hooks = {}, []

    def keep(name):
        def hook(module, arguments):
            del module
            x = arguments[0].reshape(-1, arguments[0].shape[-1])
            inputs[name] = x[torch.randperm(x.shape[0], device=x.device)[:limit]].float()
        return hook

    for name, module in linears(model):
        hooks.append(module.register_forward_pre_hook(keep(name)))
    ids, _, positions, documents = batch
    model.hidden(ids, positions, attend_of(documents))
    for hook in hooks:
        hook.remove()
    return inputs


@torch.no_grad()
def search_scale(modules, x):
    """The input-channel scales with the least output error over the linears that read x."""
    magnitude = x.abs().mean(0).clamp(min=1e-4)
    references = [x @ m.weight.float().T for m in modules]
    best, best_error = None, float("inf")
    for step in range(21):
        s = magnitude.pow(step / 20)
        s = (s / (s.max() * s.min()).sqrt()).clamp(1e-3, 1e3)
        error = sum(((x / s) @ rounded(m.weight.float() * s).T - r).pow(2).mean().item() for m, r in zip(modules, references))
        if error < best_error:
            best, best_error, alpha = s, error, step / 20
    plain = sum((x @ rounded(m.weight.float()).T - r).pow(2).mean().item() for m, r in zip(modules, references))
    return best, alpha, best_error / max(plain, 1e-12)


@torch.no_grad()
def apply_awq(model, inputs, log=print):
    """Searches and folds the scales of every layer; weights stay in float and are not yet rounded."""
    for i, layer in enumerate(model.model.layers):
        a, m, prefix = layer.self_attn, layer.mlp, f"model.layers.{i}."
        places = [([a.q_proj, a.k_proj, a.v_proj], prefix + "self_attn.q_proj", layer.input_layernorm.weight, None),
                  ([m.gate_proj, m.up_proj], prefix + "mlp.gate_proj", layer.post_attention_layernorm.weight, None),
                  ([m.down_proj], prefix + "mlp.down_proj", None, m.up_proj)]
        if a.c.num_attention_heads == a.c.num_key_value_heads:
            places.append(([a.o_proj], prefix + "self_attn.o_proj", None, a.v_proj))
        report = []
        for modules, name, norm, before in places:
            s, alpha, gain = search_scale(modules, inputs[name])
            for module in modules:
                module.weight.mul_(s)
            if norm is not None:
                norm.div_(s)
            else:
                before.weight.div_(s[:, None])
            report.append(f"{alpha:.2f}/{gain:.2f}")
        log(f"layer {i}: alpha and error against plain rounding {' '.join(report)}")


def pack_columns(integers):
    """[rows, columns] integers 0..15 -> [rows, columns/8] int32 words in AutoAWQ's order."""
    rows, columns = integers.shape
    nibbles = integers.to(torch.int64).view(rows, columns // 8, 8)[:, :, PACK_ORDER]
    words = torch.zeros(rows, columns // 8, dtype=torch.int64)
    for i in range(8):
        words |= nibbles[:, :, i] << (4 * i)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def packed(weight):
    """weight [out, in] -> qweight [in, out/8] int32, qzeros [in/128, out/8] int32, scales [in/128, out] BF16."""
    integers, scales, zeros = grid_of(weight)
    flat = integers.view(weight.shape).T.contiguous()
    return pack_columns(flat), pack_columns(zeros.T.contiguous()), scales.T.contiguous().to(torch.bfloat16)
