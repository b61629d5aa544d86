# SPDX-License-Identifier: Apache-2.0
"""What speculation does over HTTP: off, up to its row bound, and always, by kind of text and clients. Prints JSON.

    .venv/bin/python tests/bench/speculation_bench.py [--model DIR] [--tp-size N] [--runs N]

The modes take turns within each run, so that a busy machine slows them alike; medians over the runs are given: tokens/s,
CPU milliseconds a token of all processes (which suffers less from a busy machine), and tokens a step. Texts are the bundled
model's: worked thinking that spells words, an answer that copies a tool's JSON, a raw text that loops, and sums whose digits
never repeat.
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
from sluice_server import ROOT, SluiceServer, processes_in_session  # noqa: E402  (after the path that holds it)

MODES = {"off": ["--speculation=off"], "one_row": ["--speculation=prompt-lookup", "--speculation-max-rows=1"],
         "always": ["--speculation=prompt-lookup", "--speculation-max-rows=64"]}
CLIENTS = (1, 4, 16)
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Get the current weather in a city",
                                            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}


def thinking(index):
    word = ("strawberry", "Mississippi", "blueberries", "tomorrow")[index % 4]
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": f"How many e's are in {word}?"}]}


def tool_result(index):
    city = ("Paris", "Rome", "Berlin", "Madrid")[index % 4]
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps({"city": city})}}
    result = json.dumps({"city": city, "temperature": 11 + index, "unit": "celsius", "condition": "light rain"})
    return "/v1/chat/completions", {"tools": [WEATHER], "messages": [
        {"role": "user", "content": f"What is the weather in {city}?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": result}]}


def loop(index):
    return "/v1/completions", {"prompt": f"{index} letters in a row, and again. " * 10, "max_tokens": 128, "ignore_eos": True}


def sums(index):
    question = f"What is {271 + 13 * index} plus {419 - index}?"
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": question}]}


def post(server, request):
    path, body = request
    host, port = server.addresses["http"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=600)
    connection.request("POST", path, json.dumps({"max_tokens": 512, "temperature": 0, **body}),
                       {"Content-Type": "application/json"})
    answer = json.load(connection.getresponse())
    connection.close()
    return answer["usage"]["completion_tokens"]


def cpu_seconds(server):
    ticks = 0
    for pid in processes_in_session(server.session):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def counters(server):
    metrics = server.worker_metrics()
    return {"steps": metrics["sluice_step_duration_seconds_count"], "cpu": cpu_seconds(server),
            **{name: metrics[f"sluice_speculation_{name}_tokens_total"] for name in ("drafted", "accepted")}}


def serve_all(server, kind, clients, requests):
    before, start = counters(server), time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        tokens = sum(pool.map(lambda index: post(server, kind(index)), range(requests)))
    seconds = time.perf_counter() - start
    spent = {name: value - before[name] for name, value in counters(server).items()}
    return {"tokens_per_s": tokens / seconds, "cpu_ms_per_token": 1000 * spent["cpu"] / tokens,
            "tokens_per_step": tokens / spent["steps"], "drafted_per_token": spent["drafted"] / tokens,
            "accepted_per_token": spent["accepted"] / tokens}


def measure(model, tp_size, runs):
    results = {}
    servers = {mode: SluiceServer(model, f"--tp-size={tp_size}", *flags) for mode, flags in MODES.items()}
    try:
        for server in servers.values():
            serve_all(server, thinking, 1, 1)  # the first request touches every weight page
        for _ in range(runs):
            for kind in (thinking, tool_result, loop, sums):
                for clients in CLIENTS:
                    for mode, server in servers.items():
                        figures = serve_all(server, kind, clients, max(12, 2 * clients))
                        results.setdefault((kind.__name__, clients, mode), []).append(figures)
    finally:
        for server in servers.values():
            server.kill()
    return [{"text": text, "clients": clients, "mode": mode,
             **{name: round(statistics.median(run[name] for run in figures), 3) for name in figures[0]}}
            for (text, clients, mode), figures in results.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "deploy" / "demo_model" / "sluice-demo"))
    parser.add_argument("--tp-size", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = measure(args.model, args.tp_size, args.runs)
    print(json.dumps({"bench": "speculation", "model": Path(args.model).name, "tp_size": args.tp_size, "runs": args.runs,
                      "cores": os.cpu_count(), "load_before_and_after": [load_before, os.getloadavg()[0]],
                      "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
