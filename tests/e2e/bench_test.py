# SPDX-License-Identifier: Apache-2.0
"""`sluice bench` against the bundled model over HTTP and gRPC: what it reports is what was served."""

import json
import signal
import subprocess

import pytest
from sluice_server import ROOT, SLUICE, SluiceServer, wait_for

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"


@pytest.fixture(scope="module")
def server():
    with SluiceServer(MODEL, "--served-model-name=demo") as running:
        yield running


def bench(*arguments):
    return subprocess.run([SLUICE, "bench", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=False)


def report_of(tmp_path, *arguments):
    path = tmp_path / "report.json"
    result = bench(*arguments, "--json", str(path))
    assert result.returncode == 0, result.stderr
    assert "Time to first token" in result.stdout
    return json.loads(path.read_text())


def assert_whole(report, requests, output_tokens):
    """Every request finished, and its counts and times fit together."""
    assert report["format"] == "sluice-bench-1"
    assert report["requests"] == {"sent": requests, "finished": requests, "refused": 0, "failed": 0, "interrupted": 0}
    assert report["errors"] == {}
    tokens = report["tokens"]
    assert tokens["output"] == requests * output_tokens
    assert tokens["requests_counted_by_usage"] == requests and tokens["requests_counted_by_chunks"] == 0
    assert tokens["output_per_request"]["min"] == tokens["output_per_request"]["max"] == output_tokens
    throughput = report["throughput"]
    assert throughput["output_tokens_per_s"] == pytest.approx(tokens["output"] / report["duration_s"])
    assert throughput["total_tokens_per_s"] == pytest.approx(
        (tokens["output"] + tokens["prompt"]) / report["duration_s"])
    for name in ("ttft_ms", "end_to_end_ms", "time_per_output_token_ms"):
        summary = report[name]
        assert summary["min"] <= summary["p50"] <= summary["p90"] <= summary["p99"] <= summary["max"]
        # Text that came in one chunk has no time per token, and chunks may come together.
        if name != "time_per_output_token_ms":
            assert summary["count"] == requests and summary["min"] > 0, name
    assert report["ttft_ms"]["mean"] < report["end_to_end_ms"]["mean"] <= 1e3 * report["duration_s"]
    assert sum(report["inter_token_basis"].values()) == requests
    assert 0 < report["client"]["cpu_s"]


def test_a_closed_loop_over_http(server, tmp_path):
    report = report_of(tmp_path, "--url", server.url, "--concurrency=4", "--num-requests=12", "--prompt-tokens=120",
                       "--output-tokens=16", "--ignore-eos", "--temperature=0", "--warmup=2")
    assert_whole(report, 12, 16)
    assert report["endpoint"] == "chat" and report["model"] == "demo"
    assert report["concurrency"]["peak"] == 4 and 1 < report["concurrency"]["mean"] <= 4
    # The lengths were measured with the server's own /tokenize.
    assert "/tokenize" in report["prompt_lengths_by"]
    assert report["tokens"]["prompt_per_request"]["mean"] == pytest.approx(120, abs=2)


def test_a_closed_loop_over_grpc(server, tmp_path):
    report = report_of(tmp_path, "--grpc", server.grpc_address, "--concurrency=4", "--num-requests=12",
                       "--prompt-tokens=120", "--output-tokens=16", "--ignore-eos", "--temperature=0")
    assert_whole(report, 12, 16)
    assert report["endpoint"] == "grpc"
    # Measured from two answers' usage: right on average, since this vocabulary splits many words.
    assert report["tokens"]["prompt_per_request"]["mean"] == pytest.approx(120, rel=0.15)


def test_an_open_loop_of_completions_with_shared_prefixes(server, tmp_path):
    report = report_of(tmp_path, "--url", server.url + "/v1", "--endpoint=completions", "--request-rate=20",
                       "--num-requests=12", "--prompt-tokens=40", "--shared-prefix-tokens=200", "--output-tokens=8",
                       "--ignore-eos", "--continuous-usage", "--slo-ttft-ms=600000")
    assert_whole(report, 12, 8)
    assert report["inter_token_basis"]["usage_per_chunk"] == 12
    assert report["inter_token_ms"]["count"] <= 12 * 7
    assert report["tokens"]["prompt_per_request"]["mean"] == pytest.approx(240, abs=4)
    assert report["goodput"]["requests"] == 12


def test_prompts_of_a_file(server, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Hello", "max_tokens": 3}\n'
                       '{"messages": [{"role": "user", "content": "How are you?"}], "max_tokens": 5}\n')
    for target in (("--url", server.url), ("--grpc", server.grpc_address)):
        report = report_of(tmp_path, *target, "--prompts", str(prompts), "--ignore-eos")
        assert report["requests"]["finished"] == 2
        assert report["tokens"]["output"] == 8


def test_json_alone_on_standard_output(server):
    result = bench("--url", server.url, "--num-requests=2", "--output-tokens=4", "--json=-")
    assert json.loads(result.stdout)["requests"]["finished"] == 2
    assert "Time to first token" in result.stderr


def test_refusals_are_not_finished_requests(tmp_path):
    with SluiceServer(MODEL, "--max-num-seqs=1", "--max-queued-requests=1") as small:
        report = report_of(tmp_path, "--url", small.url, "--request-rate=inf", "--num-requests=20",
                           "--prompt-tokens=60", "--output-tokens=32", "--ignore-eos")
        requests = report["requests"]
        assert requests["sent"] == 20 and requests["failed"] == 0
        assert requests["refused"] > 0 and requests["finished"] + requests["refused"] == 20
        assert report["refusals"]["retry_after_s"]["count"] == requests["refused"]
        assert report["refusals"]["latency_ms"]["count"] == requests["refused"]
        assert report["tokens"]["output"] == 32 * requests["finished"]


def test_ctrl_c_reports_what_was_measured(server, tmp_path):
    path = tmp_path / "report.json"
    process = subprocess.Popen(
        [SLUICE, "bench", "--url", server.url, "--concurrency=2", "--duration=600", "--output-tokens=4", "--ignore-eos",
         "--prompt-tokens=40", "--json", str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        requests = lambda: sum(value for name, value in server.metrics().items()
                               if name.startswith("sluice_gateway_requests_total") and "chat" in name)
        before = requests()
        wait_for(lambda: requests() > before + 20, "requests were answered")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "cut off by Ctrl-C" in output
    report = json.loads(path.read_text())
    assert report["interrupted"] and report["requests"]["finished"] > 0 and report["requests"]["failed"] == 0
    wait_for(lambda: server.worker_metrics()["sluice_requests_running"] == 0, "what ran was cancelled", 10)


def test_mistakes_are_told(server):
    result = bench("--help")
    assert result.returncode == 0 and "Examples" in result.stdout
    result = bench("--concurency=3")
    assert result.returncode == 2 and "did you mean --concurrency" in result.stderr
    result = bench("--prompts=/nowhere")
    assert result.returncode == 2 and "/nowhere" in result.stderr
    result = bench("--url=http://127.0.0.1:1")
    assert result.returncode == 1 and "127.0.0.1:1" in result.stderr
    result = bench("--grpc=127.0.0.1:1")
    assert result.returncode == 1 and "UNAVAILABLE" in result.stderr
    result = bench("--url", server.url, "--model=another")
    assert result.returncode == 1 and "http_404" in result.stderr
    result = bench("--url", server.url, "--json=/nowhere/report.json", "--num-requests=1", "--output-tokens=2")
    assert result.returncode == 1 and "/nowhere/report.json" in result.stderr and "Time to first" in result.stdout
