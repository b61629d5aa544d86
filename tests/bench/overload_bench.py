# SPDX-License-Identifier: Apache-2.0
"""What overload costs: a whole `sluice serve` at several times the rate it can finish. Prints JSON.

    .venv/bin/python tests/bench/overload_bench.py [--model DIR] [--factor 10] [--seconds 20]

First the peak: closed loops with as many clients as run at once, and with the queue full too; the best rate of finished
requests counts. Then an open loop at --factor times that rate, then a closed loop again. `sluice bench` makes the load, on
the same machine: where cores are few, its share of them (client_share_of_a_core) is taken from the server.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from sluice_server import ROOT, SLUICE, SluiceServer, processes_in_session  # noqa: E402  (after the path that holds it)


class MemoryWatch:
    """Largest resident memory of each kind of process of a server while it is entered, and the first seen; in MiB."""

    def __init__(self, server, period_s=0.5):
        self.server, self.period_s, self.done = server, period_s, threading.Event()
        self.first, self.peak = {}, {}
        self.thread = threading.Thread(target=self._watch)

    def _resident(self):
        """Of private memory: the weights are mapped files."""
        sums = {}
        for pid in processes_in_session(self.server.session):
            try:
                status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            except OSError:
                continue
            if "RssAnon" in status:
                name = status["Name"].strip()
                sums[name] = sums.get(name, 0) + int(status["RssAnon"].split()[0]) / 1024
        return sums

    def _watch(self):
        while True:
            now = self._resident()
            self.first = self.first or now
            self.peak = {name: max(now.get(name, 0), self.peak.get(name, 0)) for name in {*now, *self.peak}}
            if self.done.wait(self.period_s):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def report(self):
        return {name: {"before": round(self.first.get(name, 0), 1), "peak": round(peak, 1)}
                for name, peak in sorted(self.peak.items())}


def load(target, args, *options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [SLUICE, "bench", *target, f"--prompt-tokens={args.prompt_tokens}", "--ignore-eos", "--temperature=0",
                   f"--output-tokens={args.output_tokens}", "--quiet", "--json", str(path), *options]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
        return json.loads(path.read_text())


def closed_loop(target, args, clients):
    report = load(target, args, f"--concurrency={clients}", f"--duration={args.seconds}")
    return {"clients": clients, "finished_per_s": round(report["throughput"]["requests_per_s"], 2),
            "output_tokens_per_s": round(report["throughput"]["output_tokens_per_s"], 1),
            "refused": report["requests"]["refused"],
            "client_share_of_a_core": round(report["client"]["share_of_a_core"], 3),
            "load_average": round(os.getloadavg()[0], 1)}


def rounded(summary):
    return {name: round(value, 3) for name, value in summary.items()}


def open_loop(target, args, rate):
    report = load(target, args, f"--request-rate={rate:.2f}", f"--duration={args.seconds}")
    return {"requests_per_s_sent": round(report["requests"]["sent"] / args.seconds, 1), "requests": report["requests"],
            "finished_per_s": round(report["throughput"]["requests_per_s"], 2),
            "output_tokens_per_s": round(report["throughput"]["output_tokens_per_s"], 1), "errors": report["errors"],
            "refusal_latency_ms": rounded(report["refusals"]["latency_ms"]),
            "retry_after_s": rounded(report["refusals"]["retry_after_s"]),
            "ttft_ms": rounded(report["ttft_ms"]), "start_lag_ms": rounded(report["client"]["start_lag_ms"]),
            "client_share_of_a_core": round(report["client"]["share_of_a_core"], 3),
            "load_average": round(os.getloadavg()[0], 1)}


def measure(args, grpc):
    options = (f"--max-num-seqs={args.max_num_seqs}", f"--max-queued-requests={args.max_queued_requests}",
               f"--tp-size={args.tp_size}")
    with SluiceServer(args.model, *options) as server:
        target = ("--grpc", server.grpc_address) if grpc else ("--url", server.url)
        load(target, args, "--num-requests=20", f"--concurrency={args.max_num_seqs}")
        before = [closed_loop(target, args, clients)
                  for clients in (args.max_num_seqs, args.max_num_seqs + args.max_queued_requests)]
        peak = max(loop["finished_per_s"] for loop in before)
        with MemoryWatch(server) as memory:
            overload = open_loop(target, args, args.factor * peak)
        after = closed_loop(target, args, args.max_num_seqs + args.max_queued_requests)
        # The machine's other work changes from minute to minute: the last loop says by how much.
        peak_around = (before[-1]["finished_per_s"] + after["finished_per_s"]) / 2
        return {"protocol": "grpc" if grpc else "http", "peak": before, "overload": overload, "after": after,
                "finished_per_s_of_peak": round(overload["finished_per_s"] / peak, 3),
                "finished_per_s_of_loops_around": round(overload["finished_per_s"] / peak_around, 3),
                "anonymous_memory_mib": memory.report()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=ROOT / "deploy" / "demo_model" / "sluice-demo", help="default: the bundled one")
    parser.add_argument("--factor", type=float, default=10)
    parser.add_argument("--seconds", type=int, default=20, help="of each of the four loads")
    parser.add_argument("--max-num-seqs", type=int, default=8)
    parser.add_argument("--max-queued-requests", type=int, default=16)
    parser.add_argument("--tp-size", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--output-tokens", type=int, default=32)
    parser.add_argument("--protocol", choices=("http", "grpc", "both"), default="both")
    args = parser.parse_args()
    chosen = {"http": (False,), "grpc": (True,), "both": (False, True)}[args.protocol]
    print(json.dumps({
        "bench": "overload", "cores": os.cpu_count(), "factor": args.factor, "max_num_seqs": args.max_num_seqs,
        "max_queued_requests": args.max_queued_requests, "tp_size": args.tp_size, "prompt_tokens": args.prompt_tokens,
        "output_tokens": args.output_tokens, "runs": [measure(args, grpc) for grpc in chosen]}, indent=2))


if __name__ == "__main__":
    main()
