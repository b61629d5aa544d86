# SPDX-License-Identifier: Apache-2.0
"""One host's GPUs as groups of different sizes behind one gateway, under the same loads: 1x8, 4x2, 8x1. Prints JSON.

    SLUICE_BINARY_DIR=PACKAGE_DIR python3 tests/bench/group_layouts_bench.py [--layouts 1x8,4x2,8x1] [--clients 1,16,64,256]

Dummy weights at Qwen3-14B-AWQ's shapes; every client sends a prompt of --prompt-tokens random tokens, takes --output-tokens, and
begins again (`sluice bench`, closed loop). --device cpu with --model and small numbers tries the bench itself out on a machine
without a GPU. Needs Python's standard library only.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import large_checkpoint  # noqa: E402  (found beside this file)
from sluice_server import BUILD, SLUICE, ListeningProcess, wait_for  # noqa: E402  (found through the line above)


def is_ready(url):
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return True
    except OSError:  # urllib's errors, 503 among them
        return False


def measure(arguments, url, clients):
    requests = max(4, arguments.rounds * clients)
    output = subprocess.run(
        [SLUICE, "bench", "--url", url, "--endpoint", "completions", "--quiet", "--ignore-eos",
         "--concurrency", str(clients), "--num-requests", str(requests), "--warmup", str(min(clients, 32)),
         "--prompt-tokens", str(arguments.prompt_tokens), "--output-tokens", str(arguments.output_tokens),
         "--seed", str(clients), "--json", "-"],  # a seed of its own: no load finds another's prompts cached
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    report = json.loads(output)

    def milliseconds(name):
        return {part: round(report[name][part], 2) for part in ("p50", "p99")}
    return {"clients": clients, "requests": report["requests"]["finished"], "failed": report["requests"]["failed"],
            "output_tokens_per_s": round(report["throughput"]["output_tokens_per_s"], 1),
            "ttft_ms": milliseconds("ttft_ms"), "time_per_output_token_ms": milliseconds("time_per_output_token_ms"),
            "end_to_end_ms": milliseconds("end_to_end_ms"), "cached_tokens": report["tokens"]["cached"]}


def start_group(stack, arguments, model, gpus):
    """A worker group of so many ranks, a GPU each."""
    return stack.enter_context(ListeningProcess(
        [BUILD / "bin" / "sluice-worker", "--model", model, "--load-format=dummy", f"--device={arguments.device}",
         f"--tp-size={len(gpus)}", "--grpc-port=0", "--metrics-port=0", *arguments.worker_option],
        {"CUDA_VISIBLE_DEVICES": ",".join(str(gpu) for gpu in gpus)}))


def run_layout(arguments, model, groups, size):
    started = time.monotonic()
    with contextlib.ExitStack() as stack:  # which stops the gateway first
        workers = [start_group(stack, arguments, model, range(group * size, (group + 1) * size)) for group in range(groups)]
        for worker in workers:
            worker.await_ready()
            worker.await_state(lambda worker=worker: "serving " in worker.text(), "its ranks have joined")
        ready_s = time.monotonic() - started
        gateway = stack.enter_context(ListeningProcess(
            [BUILD / "bin" / "sluice-gateway", "--model", model, "--listen=127.0.0.1", "--http-port=0", "--grpc-port=0",
             "--metrics-port=0", "--workers", ",".join(worker.addresses["grpc"] for worker in workers)]))
        gateway.await_ready()
        url = f"http://{gateway.addresses['http']}"
        wait_for(lambda: is_ready(url), "the gateway is ready")
        return {"groups": groups, "tp": size, "ready_s": round(ready_s, 2),
                "loads": [measure(arguments, url, clients) for clients in arguments.clients]}


def numbers(text):
    return [int(word) for word in text.split(",")]


def layouts(text):
    return [tuple(int(number) for number in layout.split("x")) for layout in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layouts", type=layouts, default=layouts("1x8,4x2,8x1"), help="groups x ranks of a group")
    parser.add_argument("--clients", type=numbers, default=[1, 16, 64, 256])
    parser.add_argument("--rounds", type=int, default=3, help="requests of a client in a load")
    parser.add_argument("--prompt-tokens", type=int, default=1024)
    parser.add_argument("--output-tokens", type=int, default=128)
    parser.add_argument("--model", type=Path, help="in place of the 14B's shapes: any folder")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--worker-option", action="append", default=[], help="of every worker; may be repeated")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        model = arguments.model or Path(parent) / "qwen3-14b-shaped"
        if not arguments.model:
            large_checkpoint.write_text_files(model)
        results = [run_layout(arguments, model, groups, size) for groups, size in arguments.layouts]
    print(json.dumps({"bench": "group_layouts", "prompt_tokens": arguments.prompt_tokens,
                      "output_tokens": arguments.output_tokens, "layouts": results}, indent=1))


if __name__ == "__main__":
    main()
