# SPDX-License-Identifier: Apache-2.0
"""Starts `sluice serve` on free ports for an end-to-end test, and makes the small models the tests serve."""

import fcntl
import functools
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BINARY_DIR", ROOT / "build"))
DEVICE = os.environ.get("SLUICE_TEST_DEVICE", "cpu")
# Several servers run at once, and on a GPU the first would take all of its memory.
DEVICE_OPTIONS = [f"--device={DEVICE}"] + ([] if DEVICE == "cpu" else ["--kv-cache-memory=1GiB"])
SLUICE = BUILD / "bin" / "sluice"


def kv_cache_memory(kib_on_the_cpu):
    """The option for as many pages on any device: GPUs keep keys and values in bf16, the CPU in float32."""
    return f"--kv-cache-memory={kib_on_the_cpu if DEVICE == 'cpu' else kib_on_the_cpu // 2}KiB"


# Long, since CI machines are slow and busy; nothing waits this long when all is well.
PATIENCE_S = 120.0

# Four heads, 512 = 4 x 128 intermediate rows: the smallest shape that four ranks can share.
SMALL_SHAPE = ("--hidden-size", "256", "--intermediate-size", "512", "--layers", "2")


@functools.cache
def most_ranks():
    """As many as there are GPUs, or as CUDA_VISIBLE_DEVICES leaves of them; any number on the CPU."""
    if DEVICE == "cpu":
        return sys.maxsize
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.splitlines()
    return len(listed)


def ranks(wanted):
    """Of a test that means to run on several ranks, and can on one."""
    return min(wanted, most_ranks())


def needs_ranks(tp_size):
    """Skips the test where there are fewer GPUs."""
    if most_ranks() < tp_size:
        raise unittest.SkipTest(f"needs {tp_size} GPUs")  # pytest's own needs pytest, benches do not


def random_model(*shape, seed=1):
    """Folder of a random-weight model with the real tokenizer, made once per shape, seed and maker."""
    maker = ROOT / "deploy" / "demo_model" / "random_checkpoint.py"
    template = ROOT / "deploy" / "demo_model" / "chat_template.jinja"
    shape = shape or SMALL_SHAPE
    key = hashlib.sha256(repr((shape, seed)).encode() + maker.read_bytes() + template.read_bytes()).hexdigest()[:12]
    folder = BUILD / "e2e_models" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:  # tests of several files may run at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "config.json").is_file():
            subprocess.run([sys.executable, maker, "--tokenizer", ROOT / "tests/golden/qwen3/tokenizer.json.xz",
                            "--chat-template", template, "--output", folder, "--seed", str(seed), *shape], check=True)
    return folder


def wait_for(condition, what, patience_s=PATIENCE_S):
    """Polls until condition() is true and returns its value; fails with `what` otherwise."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"still not so after {patience_s:.0f} s: {what}")


def processes_in_session(session):
    """Ids of the live processes of one session: everything that a server started, wherever it was reparented."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


class ListeningProcess:
    """One of Sluice's programs in a session of its own: its output, kept, and the addresses it says it listens on.

    A context manager, which stops it and asks that it ends with 0 and leaves no process behind.
    """

    def __init__(self, command, environment=None):
        self.name = Path(command[0]).name
        self.output = []
        self.addresses = {}
        self.process = subprocess.Popen(
            [str(word) for word in command], env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.session = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.output.append(line)
            if line.startswith("listening "):
                self.addresses = dict(word.split("=", 1) for word in line.split()[1:])

    def await_ready(self):
        self.await_state(lambda: self.addresses, "it listens")

    def await_state(self, reached, what):
        """Waits until reached() is true; kills it and fails with its output if it ends before."""
        try:
            wait_for(lambda: reached() or self.process.poll() is not None, f"{self.name}: {what}")
        except AssertionError:
            self.kill()
            raise
        if not reached():
            self.reader.join()
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.text()}")

    def text(self):
        return "".join(self.output)

    def stop(self, signal_number=signal.SIGTERM):
        """Asks it to stop, and returns the exit status once it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        status = self.process.wait(timeout=PATIENCE_S)
        self.reader.join(timeout=PATIENCE_S)
        return status

    def kill(self):
        for pid in processes_in_session(self.session):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(timeout=PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        try:
            status = self.stop()
            left = processes_in_session(self.session)
            if failure is None:
                assert status == 0, f"{self.name} ended with {status}:\n{self.text()}"
                assert not left, f"processes left behind: {left}"
        finally:
            self.kill()
            if failure is not None:
                print(self.text())


class SluiceServer(ListeningProcess):
    """One `sluice serve`: gateway and worker group."""

    def __init__(self, model, *options, wait=True, ports=True):
        free_ports = ["--http-port=0", "--grpc-port=0", "--metrics-port=0", *DEVICE_OPTIONS] if ports else []
        super().__init__([SLUICE, "serve", model, *free_ports, *options])
        if wait:
            self.await_ready()

    @property
    def url(self):
        return f"http://{self.addresses['http']}"

    @property
    def grpc_address(self):
        return self.addresses["grpc"]

    def metrics(self):
        """Values of the gateway's metrics by name and labels, as written."""
        with urllib.request.urlopen(f"http://{self.addresses['metrics']}/metrics", timeout=30) as response:
            return parse_metrics(response.read().decode())

    def worker_metrics(self):
        """The leader's metrics."""
        with urllib.request.urlopen(f"http://{self.addresses['worker_metrics']}/metrics", timeout=30) as response:
            return parse_metrics(response.read().decode())

    def at_rest(self):
        """Nothing is held for any request: no sequence, page, call or connection."""
        worker, gateway = self.worker_metrics(), self.metrics()
        held = [worker[f"sluice_{name}"] for name in ("requests_running", "requests_waiting", "kv_pages_used")]
        held += [value for name, value in gateway.items() if name.startswith((
            "sluice_gateway_running_requests", "sluice_gateway_worker_calls", "sluice_gateway_http_connections"))]
        assert len(held) >= 5, gateway
        return not any(held)


def parse_metrics(text):
    values = {}
    for line in text.splitlines():
        match = re.match(r"^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$", line)
        if match:
            values[match.group(1)] = float(match.group(2))
    return values
