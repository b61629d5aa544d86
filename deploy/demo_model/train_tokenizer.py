# SPDX-License-Identifier: Apache-2.0
"""Trains sluice-demo's tokenizer: byte-level BPE of the Qwen3 kind (NFC, the same pre-tokenizer, the same added tokens)
with 4,096 ids in all, on the synthetic conversations.

  python3 deploy/demo_model/train_tokenizer.py OUT_DIR
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from data import conversation, item, render, words

VOCAB_SIZE = 4096
# Qwen3's added tokens in their order; True: special.
ADDED = [("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True), ("<|object_ref_start|>", True),
         ("<|object_ref_end|>", True), ("<|box_start|>", True), ("<|box_end|>", True), ("<|quad_start|>", True),
         ("<|quad_end|>", True), ("<|vision_start|>", True), ("<|vision_end|>", True), ("<|vision_pad|>", True),
         ("<|image_pad|>", True), ("<|video_pad|>", True), ("<tool_call>", False), ("</tool_call>", False),
         ("<|fim_prefix|>", False), ("<|fim_middle|>", False), ("<|fim_suffix|>", False), ("<|fim_pad|>", False),
         ("<|repo_name|>", False), ("<|file_sep|>", False), ("<tool_response>", False), ("</tool_response>", False),
         ("<think>", False), ("</think>", False)]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
EOS, PAD = "<|im_end|>", "<|endoftext|>"


def corpus(seed, number):
    """Conversations, and many more bare words, so that pieces of words are learnt rather than whole answers."""
    rng = random.Random(seed)
    split = item.Split(False, words.Words(False))
    template = render.load_template()
    for _ in range(number):
        talk = conversation.training(rng, split)
        yield render.prompt_text(template, talk) + talk.target
        yield " ".join(split.words.draw(rng) for _ in range(40))
        yield "\n".join(split.words.draw(rng) for _ in range(10))


def train(seed, number):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE - len(ADDED), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  max_token_length=7, show_progress=False)
    tokenizer.train_from_iterator(corpus(seed, number), trainer)
    if tokenizer.get_vocab_size() != VOCAB_SIZE - len(ADDED):
        raise SystemExit(f"only {tokenizer.get_vocab_size()} tokens were found; raise --conversations")
    for content, special in ADDED:
        token = AddedToken(content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=special)
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([token])
    return tokenizer


def save(tokenizer, out):
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    decoder = {str(tokenizer.token_to_id(c)): {"content": c, "lstrip": False, "normalized": False, "rstrip": False,
                                               "single_word": False, "special": s} for c, s in ADDED}
    config = {"add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder,
              "additional_special_tokens": [c for c, s in ADDED if s and c != PAD], "bos_token": None,
              "chat_template": render.TEMPLATE.read_text(encoding="utf-8"), "clean_up_tokenization_spaces": False,
              "eos_token": EOS, "errors": "replace", "model_max_length": 4096, "pad_token": PAD,
              "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def alphabetic_pieces(tokenizer):
    """The spellings of all tokens that are ASCII letters only (with or without the leading space)."""
    pieces = set()
    for token in tokenizer.get_vocab():
        letters = token.removeprefix("Ġ")
        if letters.isascii() and letters.isalpha():
            pieces.add(letters.lower())
    return sorted(pieces)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conversations", type=int, default=40000)
    arguments = parser.parse_args()
    tokenizer = train(arguments.seed, arguments.conversations)
    save(tokenizer, arguments.out)
    sample = "How many r's in strawberries? 12+34=46 草莓里有几个 r？"
    print(tokenizer.get_vocab_size(), "tokens,", len(alphabetic_pieces(tokenizer)), "alphabetic;", tokenizer.encode(sample).tokens)


if __name__ == "__main__":
    main()
