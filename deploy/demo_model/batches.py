# SPDX-License-Identifier: Apache-2.0
"""Endless training batches: processes draw conversations, tokenize them and pack them into rows.

A batch is (ids, targets, positions, documents), each [rows, WIDTH]; targets are -1 where nothing is learnt: only what
the assistant writes in its last turn counts.
"""

import os
import random

import numpy as np
import torch.multiprocessing as multiprocessing

WIDTH = 1024
POOL = 64  # conversations that wait for a row they fit into


def tokenized(tokenizer, template, split, rng, end, number=128):
    """(prompt and target ids, length of the prompt) of some conversations."""
    from data import conversation, render

    talks = [conversation.training(rng, split) for _ in range(number)]
    prompts = tokenizer.encode_batch([render.prompt_text(template, t) for t in talks], add_special_tokens=False)
    targets = tokenizer.encode_batch([t.target for t in talks], add_special_tokens=False)
    for prompt, target in zip(prompts, targets):
        ids = prompt.ids + target.ids + [end]
        if len(ids) <= WIDTH:
            yield ids, len(prompt.ids)


def pack_row(pool):
    """Fills one row from the pool, longest first; what does not fit waits."""
    pool.sort(key=lambda d: len(d[0]))
    row = np.zeros((4, WIDTH), dtype=np.int16)
    row[1] = -1
    used, document = 0, 0
    index = len(pool) - 1
    while index >= 0:
        ids, prompt = pool[index]
        n = len(ids)
        if used + n <= WIDTH:
            pool.pop(index)
            document += 1
            row[0, used:used + n] = ids
            row[1, used + prompt - 1:used + n - 1] = ids[prompt:]
            row[2, used:used + n] = np.arange(n)
            row[3, used:used + n] = document
            used += n
        index -= 1
    return row


def produce(queue, tokenizer_path, seed, rows):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from tokenizers import Tokenizer

    from data import item, render, words
    from train_tokenizer import EOS, alphabetic_pieces

    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(tokenizer_path)
    end = tokenizer.token_to_id(EOS)
    rng = random.Random(seed)
    split = item.Split(False, words.Words(False, alphabetic_pieces(tokenizer)))
    template = render.load_template()
    pool = []
    while True:
        batch = np.zeros((4, rows, WIDTH), dtype=np.int16)
        for i in range(rows):
            while len(pool) < POOL:
                pool += tokenized(tokenizer, template, split, rng, end)
            # A row takes from a random part of the pool, so that long ones do not always come together.
            rng.shuffle(pool)
            part, rest = pool[:POOL], pool[POOL:]
            batch[:, i] = pack_row(part)
            pool = part + rest
        queue.put(torch.from_numpy(batch))


class Batches:
    """Iterates over pinned batches made by `processes` background processes."""

    def __init__(self, tokenizer_path, seed, rows, processes):
        context = multiprocessing.get_context("spawn")
        self.queue = context.Queue(maxsize=4 * processes)
        self.processes = [context.Process(target=produce, args=(self.queue, str(tokenizer_path), seed * 1000 + i, rows),
                                          daemon=True) for i in range(processes)]
        for process in self.processes:
            process.start()

    def next(self, device):
        batch = self.queue.get()
        ids, targets, positions, documents = (batch[i].to(device, non_blocking=True).long() for i in range(4))
        return ids, targets, positions, documents

    def close(self):
        for process in self.processes:
            process.terminate()
