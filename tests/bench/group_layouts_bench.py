# SPDX-License-Identifier: Apache-2.0
"""One host's GPUs as groups of different sizes behind one gateway, under the same loads: 1x8, 4x2, 8x1. Prints JSON.

    python3 tests/bench/group_layouts_bench.py --binaries PACKAGE/bin [--layouts 1x8,4x2,8x1] [--clients 1,16,64,256]

The model has Qwen3-14B-AWQ's shapes and random weights; every client sends a prompt of --prompt-tokens random tokens, takes
--output-tokens, and begins again (`sluice bench`, closed loop). Needs Python's standard library only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG_OF_THE_14B = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 17408,
    "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "rms_norm_eps": 1e-6,
    "rope_theta": 1000000, "max_position_embeddings": 40960, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "vocab_size": 151936, "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu", "attention_bias": False,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}}
PATIENCE_S = 120.0


def folder_of_the_14b(parent):
    """A model folder of the 14B's shapes, real tokenizer and chat template, without weights."""
    folder = Path(parent) / "qwen3-14b-shaped"
    subprocess.run([sys.executable, ROOT / "deploy/demo_model/random_checkpoint.py", "--output", folder, "--layers", "1",
                    "--tokenizer", ROOT / "tests/golden/qwen3/tokenizer.json.xz",
                    "--chat-template", ROOT / "deploy/demo_model/chat_template.jinja"],
                   check=True, stdout=subprocess.DEVNULL)
    for weights in folder.glob("*.safetensors*"):
        weights.unlink()
    (folder / "config.json").write_text(json.dumps(CONFIG_OF_THE_14B))
    return folder


class Server:
    """A worker group or gateway: its process, and the addresses it says it listens on."""

    def __init__(self, command, environment=None, ready_line="listening "):
        self.process = subprocess.Popen(
            [str(word) for word in command], env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addresses, self.lines, self.is_ready = {}, [], threading.Event()
        threading.Thread(target=self._read, args=(ready_line,), daemon=True).start()

    def _read(self, ready_line):
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("listening "):
                self.addresses = dict(word.split("=", 1) for word in line.split()[1:])
            if ready_line in line:
                self.is_ready.set()
        self.is_ready.set()  # ended

    def await_ready(self):
        if not self.is_ready.wait(PATIENCE_S) or self.process.poll() is not None:
            sys.exit(f"group_layouts_bench: a server did not start:\n{''.join(self.lines[-20:])}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()


def await_ready_gateway(url):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit("group_layouts_bench: the gateway is not ready")


def measure(arguments, url, clients):
    requests = max(4, arguments.rounds * clients)
    output = subprocess.run(
        [arguments.binaries / "sluice", "bench", "--url", url, "--endpoint", "completions", "--quiet", "--ignore-eos",
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


def run_layout(arguments, model, groups, size):
    workers = []
    started = time.monotonic()
    try:
        for group in range(groups):
            gpus = ",".join(str(gpu) for gpu in range(group * size, (group + 1) * size))
            workers.append(Server(
                [arguments.binaries / "sluice-worker", "--model", model, "--load-format", "dummy",
                 f"--device={arguments.device}", f"--tp-size={size}", "--grpc-port=0", "--metrics-port=0",
                 *arguments.worker_option],
                {"CUDA_VISIBLE_DEVICES": gpus}, "serving "))
        for worker in workers:
            worker.await_ready()
        ready_s = time.monotonic() - started
        gateway = Server([arguments.binaries / "sluice-gateway", "--model", model, "--listen=127.0.0.1", "--http-port=0",
                          "--grpc-port=0", "--metrics-port=0",
                          "--workers", ",".join(worker.addresses["grpc"] for worker in workers)])
        workers.append(gateway)
        gateway.await_ready()
        url = f"http://{gateway.addresses['http']}"
        await_ready_gateway(url)
        return {"groups": groups, "tp": size, "ready_s": round(ready_s, 2),
                "loads": [measure(arguments, url, clients) for clients in arguments.clients]}
    finally:
        for server in reversed(workers):
            server.stop()


def numbers(text):
    return [int(word) for word in text.split(",")]


def layouts(text):
    return [tuple(int(number) for number in layout.split("x")) for layout in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=Path, required=True, help="folder of sluice, sluice-gateway and sluice-worker")
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
        model = arguments.model or folder_of_the_14b(parent)
        results = [run_layout(arguments, model, groups, size) for groups, size in arguments.layouts]
    print(json.dumps({"bench": "group_layouts", "prompt_tokens": arguments.prompt_tokens,
                      "output_tokens": arguments.output_tokens, "layouts": results}, indent=1))


if __name__ == "__main__":
    main()
