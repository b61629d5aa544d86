# SPDX-License-Identifier: Apache-2.0
"""The Qwen3 architecture in PyTorch for training: the module names are those of the Hugging Face checkpoint.

One row of a batch packs several conversations; `documents` says which token belongs to which, and attention stays
within one.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab_size: int = 4096
    hidden_size: int = 384
    intermediate_size: int = 1024
    num_hidden_layers: int = 9
    num_attention_heads: int = 4
    num_key_value_heads: int = 4
    head_dim: int = 128
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    max_position_embeddings: int = 4096

    def to_dict(self):
        return asdict(self)


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden_size, c.num_attention_heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.num_attention_heads * c.head_dim, c.hidden_size, bias=False)
        self.q_norm = RMSNorm(c.head_dim, c.rms_norm_eps)
        self.k_norm = RMSNorm(c.head_dim, c.rms_norm_eps)

    def heads(self, x, cos, sin):
        """q, k, v, each [rows, heads, tokens, head_dim]: normalized, then rotated."""
        b, s, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(b, s, -1, self.c.head_dim))
        k = self.k_norm(self.k_proj(x).view(b, s, -1, self.c.head_dim))
        v = self.v_proj(x).view(b, s, -1, self.c.head_dim)
        return rotate(q, cos, sin).transpose(1, 2), rotate(k, cos, sin).transpose(1, 2), v.transpose(1, 2)

    def forward(self, x, cos, sin, attend):
        out = attend(*self.heads(x, cos, sin))
        return self.o_proj(out.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = MLP(c)

    def forward(self, x, cos, sin, attend):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.num_hidden_layers))
        self.norm = RMSNorm(c.hidden_size, c.rms_norm_eps)


class Qwen3(nn.Module):
    """Tied embeddings: the output matrix is model.embed_tokens."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        self.model = Trunk(c)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    std /= (2 * c.num_hidden_layers) ** 0.5
                nn.init.normal_(p, std=std)

    def compile_parts(self):
        """Compiles everything between the attention calls, for batches of one shape."""
        for layer in self.model.layers:
            layer.self_attn.heads = torch.compile(layer.self_attn.heads, dynamic=False)
            for part in [layer.mlp, layer.input_layernorm, layer.post_attention_layernorm]:
                part.compile(dynamic=False)

    def hidden(self, ids, positions, attend):
        """ids, positions [rows, tokens] -> final hidden states [rows, tokens, hidden]."""
        cos, sin = rope(self.c, positions)
        x = self.model.embed_tokens(ids)
        if torch.is_autocast_enabled():
            x = x.to(torch.bfloat16)
        for layer in self.model.layers:
            x = layer(x, cos, sin, attend)
        return self.model.norm(x)

    def loss(self, ids, targets, positions, attend):
        """Mean cross entropy over targets >= 0."""
        h = self.hidden(ids, positions, attend)
        keep = (targets.view(-1) >= 0).nonzero().squeeze(1)
        logits = F.linear(h.view(-1, h.shape[-1])[keep], self.model.embed_tokens.weight)
        return F.cross_entropy(logits.float(), targets.view(-1)[keep])


def rope(c, positions):
    half = torch.arange(0, c.head_dim, 2, device=positions.device, dtype=torch.float32) / c.head_dim
    angle = positions.float()[..., None] * (c.rope_theta**-half)
    return angle.cos()[:, :, None, :], angle.sin()[:, :, None, :]


def rotate(x, cos, sin):
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)


def dense_attention(documents):
    """Attention within documents by a dense mask; for the CPU and as a check of the sparse one."""
    s = documents.shape[1]
    causal = torch.ones(s, s, dtype=torch.bool, device=documents.device).tril()
    mask = (documents[:, None, :, None] == documents[:, None, None, :]) & causal

    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    return attend


def sparse_attention(documents, compiled=[]):
    """The same through FlexAttention, which skips blocks that no document crosses."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    if not compiled:
        compiled.append((torch.compile(flex_attention, dynamic=False), torch.compile(create_block_mask, dynamic=False)))
    flex, make_mask = compiled[0]
    b, s = documents.shape

    def within(row, head, query, key):
        del head
        return (query >= key) & (documents[row, query] == documents[row, key])

    mask = make_mask(within, b, None, s, s, device=documents.device)

    def attend(q, k, v):
        return flex(q, k, v, block_mask=mask)

    return attend


@torch.no_grad()
def generate(model, prompts, eos, max_tokens, temperature=0.0, top_p=0.95, top_k=20, generator=None):
    """Batched generation with a key-value cache; prompts are lists of ids, padded on the left."""
    c, device = model.c, next(model.parameters()).device
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long, device=device)
    pad = torch.tensor([width - len(p) for p in prompts], device=device)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt):] = torch.tensor(prompt, device=device)
    total = width + max_tokens
    shape = (len(prompts), c.num_key_value_heads, total, c.head_dim)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    cache = [(torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype))
             for _ in range(c.num_hidden_layers)]
    slots = torch.arange(total, device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    out, start = [], 0
    for _ in range(max_tokens):
        end = start + ids.shape[1]
        query = torch.arange(start, end, device=device)
        positions = (query[None] - pad[:, None]).clamp(min=0)
        mask = (slots[None, None] <= query[None, :, None]) & (slots[None, None] >= pad[:, None, None])
        mask = (mask | (slots[None, None] == query[None, :, None]))[:, None, :, :end]
        layer = iter(cache)

        def attend(q, k, v):
            keys, values = next(layer)
            keys[:, :, start:end], values[:, :, start:end] = k, v
            return F.scaled_dot_product_attention(q.to(dtype), keys[:, :, :end], values[:, :, :end], attn_mask=mask).to(q.dtype)

        h = model.hidden(ids, positions, attend)[:, -1]
        logits = F.linear(h.float(), model.model.embed_tokens.weight.float())
        if temperature == 0:
            chosen = logits.argmax(-1)
        else:
            top, index = (logits / temperature).topk(top_k)
            p = top.softmax(-1)
            p[p.cumsum(-1) - p > top_p] = 0
            chosen = index.gather(1, torch.multinomial(p, 1, generator=generator)).squeeze(1)
        out.append(torch.where(done, eos, chosen))
        done |= chosen == eos
        if bool(done.all()):
            break
        start, ids = end, chosen[:, None]
    texts = torch.stack(out, 1).tolist()
    return [row[:row.index(eos)] if eos in row else row for row in texts]
