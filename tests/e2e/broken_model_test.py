# SPDX-License-Identifier: Apache-2.0
"""Broken model folders are refused by `sluice check` and `sluice serve` in one sentence, before any port listens."""

import re
import subprocess

import model_breaker
import pytest
from sluice_server import SLUICE, SluiceServer, processes_in_session, random_model, ranks

BROKEN = model_breaker.BROKEN_WEIGHTS | model_breaker.BROKEN_TEXT


@pytest.fixture(scope="module")
def good():
    return random_model("--hidden-size", "128", "--intermediate-size", "256", "--layers", "1", "--heads", "2",
                        "--kv-heads", "2")


@pytest.fixture
def broken(good, tmp_path, request):
    break_copy, named = BROKEN[request.param]
    folder = model_breaker.copy_folder(good, tmp_path / "model")
    break_copy(folder)
    return folder, named


def check(folder, *options):
    return subprocess.run([SLUICE, "check", folder, *options], capture_output=True, text=True, timeout=300, check=False)


def refusals(text):
    """The lines that say why, without those that only say that a process ended."""
    return [line for line in text.splitlines() if not re.search(r"exited with status|loading .* so far", line)]


def assert_one_sentence(text, named):
    """One line of each server that refuses, and each names what it must."""
    lines = refusals(text)
    assert lines, f"nothing says why:\n{text}"
    for line in lines:
        assert all(re.search(pattern, line) for pattern in named), f"{named} should be named in:\n{line}"
        assert len(line) < 500
    servers = [line.split(":")[0] for line in lines]
    assert len(set(servers)) == len(servers), f"more than one sentence of a server:\n{text}"


def listening_sockets(pids):
    """Inodes of the TCP sockets on which these processes listen."""
    listening = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    listening.add(f"socket:[{fields[9]}]")
    found = set()
    for pid in pids:
        result = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=False)
        found |= {inode for inode in listening if inode in result.stdout}
    return found


def assert_serve_refuses(folder, named, *options):
    server = SluiceServer(folder, *options, wait=False)
    try:
        while server.process.poll() is None:
            assert not listening_sockets(processes_in_session(server.session)), "a port listens"
        server.reader.join()
        assert server.process.returncode == 2, server.text()
        assert_one_sentence(server.text(), named)
        assert not server.addresses
        assert not processes_in_session(server.session)
    finally:
        server.kill()


def test_the_good_folder_passes(good):
    result = check(good)
    assert result.returncode == 0, result.stderr
    assert "can be served" in result.stdout


def test_shards_with_an_index_pass(good, tmp_path):
    folder = model_breaker.copy_folder(good, tmp_path / "model")
    model_breaker.split_into_shards(folder, 3)
    result = check(folder, f"--tp-size={ranks(2)}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("broken", BROKEN, indirect=True)
def test_check_refuses(broken):
    folder, named = broken
    result = check(folder)
    assert result.returncode == 2, result.stdout + result.stderr
    assert_one_sentence(result.stderr, named)
    assert "can be served" not in result.stdout


@pytest.mark.parametrize("broken", model_breaker.BROKEN_WEIGHTS, indirect=True)
def test_serve_refuses_broken_weights_before_it_listens(broken):
    assert_serve_refuses(*broken)


@pytest.mark.parametrize("broken", model_breaker.BROKEN_TEXT, indirect=True)
def test_serve_refuses_broken_text_files_before_it_listens(broken):
    assert_serve_refuses(*broken)


def test_three_ranks_are_refused_with_the_numbers(good):
    named = [r"tp-size", r"\b3\b", r"\b2\b"]
    result = check(good, "--tp-size=3")
    assert result.returncode == 2
    assert_one_sentence(result.stderr, named)
    assert_serve_refuses(good, named, "--tp-size=3")


def test_a_folder_that_is_not_there(tmp_path):
    result = check(tmp_path / "nowhere")
    assert result.returncode == 2 and "nowhere" in result.stderr
    assert_serve_refuses(tmp_path / "nowhere", ["nowhere"])
