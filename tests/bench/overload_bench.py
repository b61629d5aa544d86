# SPDX-License-Identifier: Apache-2.0
"""What overload costs: a whole `sluice serve` at several times the rate it can finish. Prints JSON.

    .venv/bin/python tests/bench/overload_bench.py [--model DIR] [--factor 10] [--rounds 3]

Each round measures the rate of finished requests without overload, by closed loops with as many clients as run at once and
with the queue full too (the better of the two is the peak), and then an open loop at --factor times the peak. Rounds, since
the machine may have other work. `sluice bench` makes the load on the same machine: what it and the gateway spend on refusals
(cpu_ms) is taken from the worker where cores are few.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from sluice_server import ROOT, SLUICE, SluiceServer, processes_in_session  # noqa: E402  (after the path that holds it)


def processor_seconds(server):
    """Spent so far by each kind of process of a server."""
    sums = {}
    for pid in processes_in_session(server.session):
        name, rest = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
        fields = rest.split()
        sums[name] = sums.get(name, 0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sums


class MemoryWatch:
    """Largest private memory of each kind of process of a server while it is entered, and the first seen; in MiB."""

    def __init__(self, server, period_s=0.5):
        self.server, self.period_s, self.done = server, period_s, threading.Event()
        self.first, self.peak = {}, {}
        self.thread = threading.Thread(target=self._watch)

    def _resident(self):
        """The weights are mapped files, which do not count; the KV cache does, once a page has been used."""
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


SEEDS = itertools.count()


def load(target, args, *options):
    """New prompts each time, so that none gains from the prefix cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [SLUICE, "bench", *target, f"--prompt-tokens={args.prompt_tokens}", "--ignore-eos", "--temperature=0",
                   f"--output-tokens={args.output_tokens}", "--quiet", "--json", str(path),
                   f"--seed={next(SEEDS)}", *options]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True)
        return json.loads(path.read_text())


def measured(server, target, args, *options):
    """One load's report, with the processor time that the server's processes spent on it."""
    before = processor_seconds(server)
    report = load(target, args, *options)
    report["server_cpu_s"] = {name: seconds - before[name] for name, seconds in processor_seconds(server).items()}
    return report


def rate(reports):
    """Finished requests a second, over all of them."""
    return sum(r["requests"]["finished"] for r in reports) / sum(r["duration_s"] for r in reports)


def summary(reports):
    """What the rounds of one load came to."""
    requests = {name: sum(r["requests"][name] for r in reports) for name in reports[0]["requests"]}
    seconds = sum(r["duration_s"] for r in reports)
    cpu = {name: sum(r["server_cpu_s"][name] for r in reports) for name in ("sluice-gateway", "sluice-worker")}
    return {"requests": requests, "finished_per_s": round(rate(reports), 2),
            "finished_per_s_by_round": [round(rate([r]), 2) for r in reports],
            "output_tokens_per_s": round(sum(r["tokens"]["output"] for r in reports) / seconds, 1),
            "cached_tokens": sum(r["tokens"]["cached"] for r in reports),
            "worker_cpu_ms_per_finished": round(1e3 * cpu["sluice-worker"] / requests["finished"], 1),
            "gateway_cpu_ms_per_sent": round(1e3 * cpu["sluice-gateway"] / requests["sent"], 2),
            "client_cpu_ms_per_sent": round(1e3 * sum(r["client"]["cpu_s"] for r in reports) / requests["sent"], 2)}


def overload_summary(reports):
    shown = lambda values: {name: round(value, 3) for name, value in values.items()}
    return {**summary(reports), "sent_per_s": round(sum(r["requests"]["sent"] for r in reports)
                                                    / sum(r["options_duration_s"] for r in reports), 1),
            "errors": [r["errors"] for r in reports if r["errors"]],
            "by_round": [{"refusal_latency_ms": shown(r["refusals"]["latency_ms"]),
                          "retry_after_s": shown(r["refusals"]["retry_after_s"]), "ttft_ms": shown(r["ttft_ms"]),
                          "start_lag_ms": shown(r["client"]["start_lag_ms"])} for r in reports]}


def measure(args, grpc):
    options = (f"--max-num-seqs={args.max_num_seqs}", f"--max-queued-requests={args.max_queued_requests}",
               f"--tp-size={args.tp_size}", f"--threads={args.threads}")
    full = args.max_num_seqs + args.max_queued_requests
    with SluiceServer(args.model, *options) as server:
        target = ("--grpc", server.grpc_address) if grpc else ("--url", server.url)
        load(target, args, "--num-requests=40", f"--concurrency={full}")
        duration = f"--duration={args.seconds}"
        running, waiting, over, memory, loads = [], [], [], [], []
        for _ in range(args.rounds):
            running.append(measured(server, target, args, f"--concurrency={args.max_num_seqs}", duration))
            waiting.append(measured(server, target, args, f"--concurrency={full}", duration))
            peak = max(rate(running), rate(waiting))
            with MemoryWatch(server) as watch:
                over.append(measured(server, target, args, f"--request-rate={args.factor * peak:.2f}", duration))
            over[-1]["options_duration_s"] = args.seconds
            memory.append(watch.report())
            loads.append(round(os.getloadavg()[0], 1))
        return {"protocol": "grpc" if grpc else "http", "as_many_clients_as_run": summary(running),
                "as_many_clients_as_fit": summary(waiting), "overload": overload_summary(over),
                "finished_of_peak": round(rate(over) / max(rate(running), rate(waiting)), 3),
                "private_memory_mib": memory, "load_average": loads}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=ROOT / "deploy" / "demo_model" / "sluice-demo", help="default: the bundled one")
    parser.add_argument("--factor", type=float, default=10)
    parser.add_argument("--seconds", type=int, default=8, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-num-seqs", type=int, default=8)
    parser.add_argument("--max-queued-requests", type=int, default=16)
    parser.add_argument("--tp-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="of the model on each rank; 0: all cores, none left for the rest")
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
