# SPDX-License-Identifier: Apache-2.0
"""Trains sluice-demo on synthetic conversations, quantizes it with AWQ, fine-tunes it on the quantization grid, and writes
both folders: OUT/bf16 and OUT/awq. Minutes on one H100; a few steps run anywhere (--steps 3).

  python3 deploy/demo_model/train.py TOKENIZER_DIR OUT --minutes 10
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.utils import parametrize

import checkpoint
import judge
import quantize
from batches import WIDTH, Batches
from data import render
from model import Config, Qwen3, dense_attention, generate, sparse_attention
from muon import Muon
from train_tokenizer import EOS, alphabetic_pieces


class Log:
    """One JSON object a line, to a file and to the terminal."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.start = time.time()

    def __call__(self, **fields):
        line = json.dumps({"seconds": round(time.time() - self.start, 1), **fields})
        self.file.write(line + "\n")
        self.file.flush()
        print(line, flush=True)


def optimizers_for(model, lr, matrix_lr):
    """AdamW for the embedding and the norms, Muon for the matrices."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed_tokens" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed_tokens" in n]
    adam = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=others[0].is_cuda)
    return [(adam, lr), (Muon(matrices, matrix_lr), matrix_lr)]


def share_of_peak(progress, warm_up):
    """Learning rate over progress 0..1: linear warm-up, then cosine to a hundredth."""
    if progress < warm_up:
        return progress / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def fresh(model):
    """The same weights in a model that nothing was compiled for: evaluation sees many shapes."""
    other = Qwen3(model.c).to(next(model.parameters()).device)
    other.load_state_dict(model.state_dict())
    return other


def on_grid(model):
    for _, module in quantize.linears(model):
        parametrize.register_parametrization(module, "weight", quantize.OnGrid())
    return model


def fit(model, batches, device, log, name, minutes, steps, lr, matrix_lr, warm_up, attend_of):
    """Runs until the minutes or the steps are over. The schedule follows the clock, so that it always ends at its end."""
    optimizers = optimizers_for(model, lr, matrix_lr)
    start, step, tokens, since = time.time(), 0, 0, time.time()
    while True:
        progress = step / steps if steps else (time.time() - start) / (60 * minutes)
        if progress >= 1:
            break
        share = share_of_peak(progress, warm_up)
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * share
        ids, targets, positions, documents = batches.next(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            loss = model.loss(ids, targets, positions, attend_of(documents))
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        step += 1
        tokens += ids.numel()
        if step % 100 == 0 or step <= 3:
            value = loss.item()
            log(phase=name, step=step, loss=round(value, 4), tokens=tokens, share=round(share, 5),
                tokens_per_second=round(100 * ids.numel() / (time.time() - since)) if step % 100 == 0 else None)
            since = time.time()
            if not math.isfinite(value):
                sys.exit("the loss is not finite")
    return tokens


@torch.no_grad()
def evaluate(model, tokenizer, pieces, number, log, name, only=None):
    """Quick evaluation in PyTorch with the default sampling; the one that counts goes through the server."""
    template, eos = render.load_template(), tokenizer.token_to_id(EOS)
    random = torch.Generator(device=next(model.parameters()).device).manual_seed(1)
    for row in judge.rows(pieces):
        if only and row not in only:
            continue
        talks, judged = judge.prompts(row, pieces, number, seed=7)
        ids = [tokenizer.encode(render.prompt_text(template, t), add_special_tokens=False).ids for t in talks]
        right, wrong = 0, []
        for begin in range(0, number, 512):
            part = talks[begin:begin + 512]
            outputs = generate(model, ids[begin:begin + 512], eos, 400, temperature=0.6, generator=random)
            for talk, output in zip(part, outputs):
                text = tokenizer.decode(output, skip_special_tokens=False)
                thinking, answer = judge.split_output(text)
                if judged == "mode":
                    good = judge.obeyed(talk.mode, thinking)
                else:
                    good = judge.right(talk.expect, judge.calls_of(answer) if talk.expect["kind"] == "calls" else answer)
                right += good
                if not good and len(wrong) < 4:
                    wrong.append([talk.messages[-1]["content"], talk.novel, text[-300:], talk.expect["value"]])
        log(phase=name, row=row, right=round(100 * right / number, 2), prompts=number)
        log(phase=name, row=row, wrong=wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="of the main phase")
    parser.add_argument("--grid-minutes", type=float, default=1.5, help="of fine-tuning on the quantization grid")
    parser.add_argument("--steps", type=int, default=0, help="instead of minutes, for a trial")
    parser.add_argument("--rows", type=int, default=64, help=f"rows of {WIDTH} tokens a batch")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--matrix-lr", type=float, default=0.02)
    parser.add_argument("--grid-share", type=float, default=0.05, help="of the peak rates, in the grid phase")
    parser.add_argument("--resume", type=Path, help="a BF16 folder to go on from")
    parser.add_argument("--no-quantize", action="store_true", help="end with the BF16 folder; --resume goes on from it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompts", type=int, default=512, help="a row of the quick evaluation")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--attention", choices=["sparse", "dense"], default="sparse")
    parser.add_argument("--no-compile", action="store_true")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    log = Log(a.out / "train.jsonl")
    torch.manual_seed(a.seed)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = Tokenizer.from_file(str(a.tokenizer / "tokenizer.json"))
    pieces = alphabetic_pieces(tokenizer)
    batches = Batches(a.tokenizer / "tokenizer.json", a.seed, a.rows, a.processes)
    model = Qwen3(Config(vocab_size=tokenizer.get_vocab_size())).to(device)
    if a.resume:
        model.load_state_dict({k: v.float() for k, v in load_file(a.resume / "model.safetensors").items()})
    attend_of = sparse_attention if a.attention == "sparse" else dense_attention
    log(phase="start", device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu", torch=torch.__version__,
        parameters=sum(p.numel() for p in model.parameters()), arguments={k: str(v) for k, v in vars(a).items()})

    if not a.no_compile:
        model.compile_parts()
    fit(model, batches, device, log, "train", a.minutes, a.steps, a.lr, a.matrix_lr, 0.02, attend_of)
    model = fresh(model)
    checkpoint.write(model, tokenizer, a.tokenizer, a.out / "bf16", quantized=False)
    if a.no_quantize:
        batches.close()
        log(phase="done")
        return

    scaled = fresh(model)
    quantize.apply_awq(scaled, quantize.collect_inputs(scaled, batches.next(device), dense_attention),
                       lambda text: log(phase="awq", text=text))
    grid = on_grid(scaled)
    fit(grid, batches, device, log, "grid", a.grid_minutes, a.steps, a.grid_share * a.lr, a.grid_share * a.matrix_lr, 0.05,
        attend_of)
    batches.close()
    for _, module in quantize.linears(grid):
        original = module.parametrizations.weight.original.detach().clone()
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
        module.weight.data = original  # packing rounds it once, from the same float values
    checkpoint.write(grid, tokenizer, a.tokenizer, a.out / "awq", quantized=True)
    for _, module in quantize.linears(grid):
        module.weight.data = quantize.rounded(module.weight.data)
    evaluate(grid, tokenizer, pieces, a.prompts, log, "awq")
    evaluate(model, tokenizer, pieces, a.prompts, log, "bf16")
    log(phase="done")


if __name__ == "__main__":
    main()
