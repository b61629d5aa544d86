# SPDX-License-Identifier: Apache-2.0
"""Seconds from process start to ready, and CPU tokens/s over HTTP, at tensor parallel 1 and 2. Prints JSON.

    .venv/bin/python tests/bench/serve_bench.py [--model DIR] [--runs N]

Without --model, a random-weight model of about 20 million parameters besides its embedding. The median of --runs is
given, with the smallest and the largest.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from sluice_server import SluiceServer, random_model  # noqa: E402  (after the path that holds it)

TWENTY_MILLION = ("--hidden-size", "512", "--intermediate-size", "1536", "--layers", "6")


def spread(values):
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3),
            "max": round(max(values), 3), "runs": len(values)}


def stream(server, tokens, index=0):
    """Times at which the chunks of one greedy answer came."""
    host, port = server.addresses["http"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=600)
    body = {"messages": [{"role": "user", "content": f"Question {index}"}], "max_tokens": tokens, "temperature": 0,
            "ignore_eos": True, "stream": True}
    start = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    times = []
    for line in response:
        if line.startswith(b"data: {"):
            times.append(time.perf_counter())
    connection.close()
    assert response.status == 200
    return start, times


def single_stream(server, tokens):
    start, times = stream(server, tokens)
    # The rate from the first chunk to the last leaves the prompt out; one chunk may carry several tokens.
    return {"first_chunk_s": times[0] - start, "tokens_per_s": tokens / (times[-1] - start)}


def batch(server, clients, tokens):
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda index: stream(server, tokens, index), range(clients)))
    return clients * tokens / (time.perf_counter() - start)


def measure(model, tp_size, runs):
    ready, first, alone, together = [], [], [], []
    for _ in range(runs):
        start = time.perf_counter()
        with SluiceServer(model, f"--tp-size={tp_size}") as server:
            ready.append(time.perf_counter() - start)
            single_stream(server, 16)  # the first request touches every weight page
            one = single_stream(server, 256)
            first.append(one["first_chunk_s"])
            alone.append(one["tokens_per_s"])
            together.append(batch(server, 16, 64))
    return {"start_to_ready_s": spread(ready), "time_to_first_chunk_s": spread(first),
            "one_client_tokens_per_s": spread(alone), "sixteen_clients_tokens_per_s": spread(together)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model folder; default: a random one")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    model = args.model or random_model(*TWENTY_MILLION)
    weights = sum(path.stat().st_size for path in Path(model).glob("*.safetensors"))
    print(json.dumps({
        "bench": "serve", "cores": os.cpu_count(), "weight_bytes": weights,
        "shape": {key: json.loads((Path(model) / "config.json").read_text())[key]
                  for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")},
        **{f"tp{tp_size}": measure(model, tp_size, args.runs) for tp_size in (1, 2)}}, indent=2))


if __name__ == "__main__":
    main()
