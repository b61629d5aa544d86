# SPDX-License-Identifier: Apache-2.0
"""Muon (Jordan et al. 2024): momentum whose matrices are made orthogonal before each step, by Newton-Schulz iterations.

Matrices of one shape are treated together. Everything that is not a hidden matrix belongs to AdamW.
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a quintic that drives singular values towards 1


def orthogonal(g, iterations=5):
    """g [n, rows, columns] with rows <= columns or not -> nearly orthogonal, bf16."""
    a, b, c = COEFFICIENTS
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        product = x @ x.mT
        x = a * x + (b * product + c * product @ product) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.1):
        shapes = {}
        for p in parameters:
            shapes.setdefault(tuple(p.shape), []).append(p)
        super().__init__([{"params": ps} for ps in shapes.values()],
                         {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            parameters, mu = group["params"], group["momentum"]
            gradient = torch.stack([p.grad for p in parameters])
            state = self.state[parameters[0]]
            if "buffer" not in state:
                state["buffer"] = torch.zeros_like(gradient)
            state["buffer"].lerp_(gradient, 1 - mu)
            update = orthogonal(gradient.lerp(state["buffer"], mu))
            scale = group["lr"] * max(1, update.shape[-2] / update.shape[-1]) ** 0.5
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, list(update.to(parameters[0].dtype).unbind()), alpha=-scale)
