# SPDX-License-Identifier: Apache-2.0
"""Tokenizer speed beside Hugging Face Tokenizers: the same documents, one thread each, in one run; prints one JSON.

    python3 tests/bench/tokenizer_compare.py [--bench FILE] [--tokenizer FILE] [--seconds N] [KIND=FOLDER ...]

Without KIND=FOLDER the documents are those that build/bench/tokenizer_bench makes. Both sides are timed by their thread's CPU
time, turn about, and the best of the rounds counts, so that other programs on the machine disturb the figures least. The ids of
every document are compared too.

Needs: pip install tokenizers
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = 3


def default_tokenizer():
    folder = os.environ.get("SLUICE_QWEN3_DIR")
    candidates = [pathlib.Path(folder)] if folder else []
    candidates += [ROOT.parent / "shared" / "qwen3", ROOT / "build" / "tests" / "golden" / "qwen3"]
    return next((c / "tokenizer.json" for c in candidates if (c / "tokenizer.json").exists()), None)


def read_documents(folder):
    return [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]


def reference_rates(tokenizer, documents, seconds):
    """MB/s of the passes over all documents that fit in the time, at least one."""
    megabytes = sum(len(d.encode()) for d in documents) / 1e6
    rates = []
    end = time.monotonic() + seconds
    while not rates or time.monotonic() < end:
        start = time.thread_time()
        for document in documents:
            tokenizer.encode(document)
        rates.append(megabytes / (time.thread_time() - start))
    return rates


def same_ids(pipe, tokenizer_json, tokenizer, documents):
    requests = "".join(f"e {d.encode().hex() or '-'}\n" for d in documents)
    answers = subprocess.run([pipe, tokenizer_json], input=requests, capture_output=True, text=True, check=True).stdout.split("\n")
    return all(answer == " ".join(map(str, tokenizer.encode(d).ids)) for answer, d in zip(answers, documents))


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=str(ROOT / "build" / "bench" / "tokenizer_bench"))
    parser.add_argument("--tokenizer", default=str(default_tokenizer() or ""))
    parser.add_argument("--seconds", type=float, default=2.0, help="for each side and kind in each of three rounds; default 2")
    parser.add_argument("folders", nargs="*", metavar="KIND=FOLDER")
    arguments = parser.parse_args()
    if not arguments.tokenizer:
        print("no tokenizer.json: give --tokenizer FILE, or build the tests, which unpack it", file=sys.stderr)
        return 2
    tokenizer = tokenizers.Tokenizer.from_file(arguments.tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        folders = dict(f.split("=", 1) for f in arguments.folders)
        if not folders:
            subprocess.run([arguments.bench, arguments.tokenizer, f"--write={scratch}"], check=True)
            folders = {path.name: str(path) for path in sorted(pathlib.Path(scratch).iterdir())}
        documents = {kind: read_documents(pathlib.Path(folder)) for kind, folder in folders.items()}
        report = {"processor": processor(), "tokenizers": tokenizers.__version__, "kinds": {}}
        ours = {kind: [] for kind in folders}
        theirs = {kind: [] for kind in folders}
        for _ in range(ROUNDS):
            for kind, folder in folders.items():
                command = [arguments.bench, arguments.tokenizer, f"--seconds={arguments.seconds}", f"{kind}={folder}"]
                result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                ours[kind].append(result[kind]["encode_mb_per_s"]["best"])
                report["kinds"][kind] = {name: result[kind][name] for name in ("documents", "bytes", "tokens")}
                theirs[kind] += reference_rates(tokenizer, documents[kind], arguments.seconds)
        pipe = pathlib.Path(arguments.bench).parents[1] / "tests" / "tokenizer_pipe"
        for kind, entry in report["kinds"].items():
            entry["sluice_mb_per_s"] = round(max(ours[kind]), 1)
            entry["tokenizers_mb_per_s"] = round(max(theirs[kind]), 2)
            entry["ratio"] = round(max(ours[kind]) / max(theirs[kind]), 1)
            if pipe.exists():
                entry["same_ids"] = same_ids(str(pipe), arguments.tokenizer, tokenizer, documents[kind])
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
