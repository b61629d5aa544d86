# SPDX-License-Identifier: Apache-2.0
"""Start, drain and death of `sluice serve`: it exits 0 after a drain and never leaves a process behind."""

import http.client
import json
import os
import signal
import socket
import subprocess

import pytest
from sluice_server import SLUICE, SluiceServer, processes_in_session, ranks, wait_for


def connect(server):
    host, port = server.addresses["http"].rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=300)


def start_chat(server, max_tokens=400):
    """A streamed answer that has begun."""
    connection = connect(server)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": max_tokens,
            "temperature": 0, "ignore_eos": True, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    first = response.read(1)
    return connection, response, first


def ask(server):
    connection, response, first = start_chat(server, max_tokens=4)
    text = (first + response.read()).decode()
    connection.close()
    assert text.rstrip().endswith("data: [DONE]")
    return text


def start(model_dir, *options):
    return SluiceServer(model_dir, "--served-model-name=tiny", *options)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(model_dir, signal_number):
    server = start(model_dir, f"--tp-size={ranks(2)}")
    try:
        connection, response, first = start_chat(server)
        server.process.send_signal(signal_number)
        text = (first + response.read()).decode()
        assert '"finish_reason":"length"' in text.replace(" ", "")
        assert text.rstrip().endswith("data: [DONE]")
        connection.close()
        assert server.process.wait(timeout=120) == 0, server.text()
        assert not processes_in_session(server.session)
    finally:
        server.kill()


def test_a_draining_server_takes_no_new_requests(model_dir):
    server = start(model_dir)
    try:
        connection, response, first = start_chat(server, max_tokens=1500)
        server.process.send_signal(signal.SIGTERM)

        def refuses():
            probe = connect(server)
            try:
                probe.request("GET", "/readyz")
                return probe.getresponse().status == 503
            except (ConnectionRefusedError, ConnectionResetError, http.client.RemoteDisconnected):
                return True
            finally:
                probe.close()

        wait_for(refuses, "readiness is off")
        assert response.read().decode().rstrip().endswith("data: [DONE]")
        assert first
        connection.close()
        assert server.process.wait(timeout=120) == 0, server.text()
    finally:
        server.kill()


def test_a_second_signal_does_not_wait_for_the_drain(model_dir):
    server = start(model_dir)
    try:
        connection, _, _ = start_chat(server, max_tokens=20000)
        server.process.send_signal(signal.SIGINT)
        wait_for(lambda: "stopping" in server.text(), "it says that it stops")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=20) != 0
        wait_for(lambda: not processes_in_session(server.session), "no process is left", 20)
        connection.close()
    finally:
        server.kill()


def test_two_side_by_side(model_dir):
    with start(model_dir, f"--tp-size={ranks(2)}") as one, start(model_dir, f"--tp-size={ranks(2)}") as two:
        assert set(one.addresses.values()).isdisjoint(two.addresses.values())
        strip = lambda text: [json.loads(line[6:])["choices"] for line in text.splitlines()
                              if line.startswith("data: {")]
        assert strip(ask(one)) == strip(ask(two))


def test_one_configuration_file_serves_both_servers(model_dir, tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text(f"model: {model_dir}\nserved-model-name: tiny\ntp-size: 2\ndevice: cpu\nmax-model-len: 512\nmax_queued_tokens: 100000\n"
                      "http-port: 0\ngrpc-port: 0\nmetrics-port: 0\nmax-body-bytes: 5000\nlog-level: debug\n")
    checked = subprocess.run([SLUICE, "check", "--config", config], capture_output=True, text=True,
                             timeout=120, check=False)
    assert checked.returncode == 0, checked.stderr
    assert f"the model of {config} can be served" in checked.stdout
    with SluiceServer(f"--config={config}", ports=False) as server:
        ask(server)
        assert len(children_named(server, "sluice-worker")) == 3  # the launcher and two ranks
        connection = connect(server)
        connection.request("POST", "/v1/chat/completions", b"x" * 6000)
        assert connection.getresponse().status == 413
        connection.close()


def test_a_mistake_in_the_configuration_file_is_named(model_dir, tmp_path):
    config = tmp_path / "sluice.yaml"
    config.write_text("tp-sise: 2\n")
    checked = subprocess.run([SLUICE, "check", model_dir, "--config", config], capture_output=True, text=True,
                             timeout=120, check=False)
    assert checked.returncode == 2 and "tp-sise" in checked.stderr and str(config) in checked.stderr
    for text, said in (("http-port: abc\n", ["http-port", "'abc'"]), ("tp_size: x\n", ["tp-size", "'x'"])):
        config.write_text(text)
        checked = subprocess.run([SLUICE, "check", model_dir, "--config", config], capture_output=True, text=True,
                                 timeout=120, check=False)
        assert checked.returncode == 2
        assert [line for line in checked.stderr.splitlines() if all(word in line for word in [*said, str(config)])]


def children_named(server, name):
    found = []
    for pid in processes_in_session(server.session):
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == name:
                found.append(pid)
        except OSError:
            pass
    return found


def test_killing_sluice_kills_everything(model_dir):
    server = start(model_dir, f"--tp-size={ranks(2)}")
    try:
        assert len(processes_in_session(server.session)) >= 3 + ranks(2)  # sluice, gateway, launcher
        server.process.kill()
        wait_for(lambda: not processes_in_session(server.session), "no process is left", 20)
    finally:
        server.kill()


@pytest.mark.parametrize("name", ["sluice-gateway", "sluice-worker"])
def test_a_server_that_dies_ends_the_rest_with_a_message(model_dir, name):
    server = start(model_dir, f"--tp-size={ranks(2)}")
    try:
        os.kill(min(children_named(server, name)), signal.SIGKILL)  # the launcher comes before its ranks
        assert server.process.wait(timeout=60) == 1
        server.reader.join()
        assert f"{name} was killed by signal 9" in server.text()
        wait_for(lambda: not processes_in_session(server.session), "no process is left", 20)
    finally:
        server.kill()


def test_a_taken_port_is_named(model_dir):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = SluiceServer(model_dir, f"--http-port={port}", wait=False)
        try:
            assert server.process.wait(timeout=120) == 1
            server.reader.join()
            assert str(port) in server.text() and not server.addresses
            assert not processes_in_session(server.session)
        finally:
            server.kill()
