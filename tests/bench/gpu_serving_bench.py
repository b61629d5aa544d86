# SPDX-License-Identifier: Apache-2.0
"""What the whole stack adds to the engine on a GPU, and how long it takes to start, at Qwen3-14B-AWQ's shapes. Prints JSON.

    SLUICE_BINARY_DIR=PACKAGE_DIR python3 tests/bench/gpu_serving_bench.py --scratch DIR

http: time between tokens at 1k of context, of one client and of 64 that start at once, by `sluice bench` over HTTP on dummy
weights; beside the step time of cuda_engine_bench in the same cases, in which the engine is alone.
start: seconds from `sluice serve` to its being ready and to the first text of an answer, from a checkpoint of 10 GB that
was just written to --scratch, so that it is in the page cache.
--device cpu with few --layers and --output-tokens tries the bench itself out on a machine without a GPU.
"""

import argparse
import http.client
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import large_checkpoint  # noqa: E402  (found beside this file)
from sluice_server import BUILD, SLUICE, SluiceServer  # noqa: E402  (found through the line above)

# Clients and output tokens of the engine's cases "decode CLIENTS at 1k"; the context is that of the middle of the answer, and
# nothing is guessed.
CASES = ((1, 256), (64, 128))
CONTEXT = 1024


def serve(model, device, *options):
    return SluiceServer(model, "--http-port=0", "--grpc-port=0", "--metrics-port=0", f"--device={device}", *options,
                        ports=False)


def engine_steps_ms():
    """By clients."""
    bench = BUILD / "libexec" / "cuda_engine_bench"
    if not bench.exists():
        bench = BUILD / "bench" / "cuda_engine_bench"
    wanted = "|".join(f"^decode {clients} at 1k$" for clients, _ in CASES)
    done = subprocess.run([bench, f"--only={wanted}"], stdout=subprocess.PIPE, check=True)
    return {int(case["case"].split()[1]): case["step_ms"] for case in json.loads(done.stdout)["cases"]}


def over_http(server, clients, requests, output):
    """One client asks one request after the other; several ask one each."""
    load = ["--concurrency=1", f"--num-requests={requests}"]
    if clients > 1:
        load = ["--request-rate=inf", f"--num-requests={clients}"]
    done = subprocess.run(
        [SLUICE, "bench", f"--url={server.url}", "--endpoint=completions", *load, "--warmup=1",
         f"--prompt-tokens={CONTEXT - output // 2}", f"--output-tokens={output}", "--ignore-eos", "--continuous-usage",
         "--quiet", "--json=-"], stdout=subprocess.PIPE, check=True)
    report = json.loads(done.stdout)
    tokens = report["tokens"]
    return {"clients": clients, "inter_token_ms": report["inter_token_ms"],
            "time_per_output_token_ms": report["time_per_output_token_ms"], "ttft_ms": report["ttft_ms"],
            "throughput": report["throughput"], "prompt_tokens": tokens["prompt_per_request"]["p50"],
            "output_tokens": tokens["output_per_request"]["p50"], "requests": report["requests"],
            "client_share_of_a_core": report["client"]["share_of_a_core"]}


def first_text(server):
    host, port = server.addresses["http"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=600)
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 32, "stream": True, "ignore_eos": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    for line in connection.getresponse():
        if not line.startswith(b"data: {"):
            continue
        delta = json.loads(line[6:])["choices"][0]["delta"]
        if delta.get("content") or delta.get("reasoning_content"):
            return time.perf_counter()
    raise AssertionError("an answer without text")


def start(model, device):
    begin = time.perf_counter()
    with serve(model, device) as server:
        ready = time.perf_counter()
        first = first_text(server)
        phases = {name.split('"')[1]: round(value, 3) for name, value in server.worker_metrics().items()
                  if name.startswith("sluice_startup_seconds")}
    return {"to_ready_s": round(ready - begin, 3), "to_first_text_s": round(first - begin, 3), "worker_phases_s": phases}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder with room for 10 GB; emptied at the end")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--layers", type=int, default=40, help="of the checkpoint; default %(default)s")
    parser.add_argument("--requests", type=int, default=6, help="of one client; default %(default)s")
    parser.add_argument("--output-tokens", type=int, help="of an answer; default: as many as in the engine's case")
    parser.add_argument("--runs", type=int, default=2, help="starts; default %(default)s")
    args = parser.parse_args()
    model = args.scratch / "checkpoint"
    try:
        begin = time.perf_counter()
        size = large_checkpoint.write(model, args.layers)
        written = time.perf_counter() - begin
        starts = [start(model, args.device) for _ in range(args.runs)]
        with serve(model, args.device, "--load-format=dummy", "--speculation=off") as server:
            cases = [over_http(server, clients, args.requests, args.output_tokens or output) for clients, output in CASES]
        engine = engine_steps_ms() if args.device == "cuda" else {}
    finally:
        shutil.rmtree(model, ignore_errors=True)
    for case in cases:
        if case["clients"] in engine:
            case["engine_step_ms"] = engine[case["clients"]]
            case["http_over_engine"] = round(case["inter_token_ms"]["p50"] / case["engine_step_ms"], 4)
    print(json.dumps({"bench": "gpu_serving", "device": args.device, "layers": args.layers, "checkpoint_bytes": size,
                      "write_s": round(written, 2), "start": starts, "http": cases}, indent=1))


if __name__ == "__main__":
    main()
