# SPDX-License-Identifier: Apache-2.0
"""The `sluice` command as people and scripts use it: chat in a pipe and on a terminal, help, mistakes."""

import json
import os
import pty
import select
import subprocess
import time

from sluice_server import SLUICE, wait_for


def sluice(*arguments, text=""):
    return subprocess.run([SLUICE, *arguments], input=text, capture_output=True, text=True, timeout=300, check=False)


def test_version_and_help():
    assert sluice("version").stdout.startswith("sluice ")
    for command in ("serve", "chat", "bench", "check"):
        result = sluice(command, "--help")
        assert result.returncode == 0 and f"Usage: sluice {command}" in result.stdout


def test_mistakes_are_told():
    result = sluice("serv")
    assert result.returncode == 2 and "did you mean 'serve'" in result.stderr
    result = sluice("serve")
    assert result.returncode == 2 and "MODEL_DIR" in result.stderr
    for command in ("serve", "check"):
        result = sluice(command, "--config=/nowhere.yaml")
        assert result.returncode == 2
        assert result.stderr == f"sluice {command}: --config /nowhere.yaml cannot be read\n"
    result = sluice("chat", "--url=http://127.0.0.1:1", "--prompt=x")
    assert result.returncode == 1 and "127.0.0.1:1" in result.stderr


def test_chat_answers_a_prompt_and_a_pipe_alike(server):
    options = ["--url", server.url, "--temperature=0", "--max-tokens=16", "--stats", "--thinking=off"]
    asked = sluice("chat", *options, "--prompt", "Tell me about rivers.")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()
    assert "\033" not in asked.stdout + asked.stderr
    assert "first after" in asked.stderr  # tokens/s only where the answer took time
    piped = sluice("chat", *options, text="Tell me about rivers.\n")
    assert piped.stdout == asked.stdout


def test_chat_writes_its_stats_for_scripts(server, tmp_path):
    stats = tmp_path / "stats.jsonl"
    for _ in range(2):
        assert sluice("chat", "--url", server.url, "--prompt=x", "--temperature=0", "--max-tokens=8",
                      "--stats-file", str(stats)).returncode == 0
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert len(lines) == 2
    assert all(0 < line["first_token_s"] <= line["total_s"] and line["completion_tokens"] <= 8 for line in lines)
    assert sluice("chat", "--url", server.url, "--prompt=x", "--max-tokens=1",
                  "--stats-file=/nonexistent/x").returncode == 1


def test_chat_tells_the_servers_own_words(server):
    result = sluice("chat", "--url", server.url, "--prompt=x", "--temperature=-1")
    assert result.returncode == 1 and "temperature" in result.stderr and "400" in result.stderr


class TerminalSession:
    """`sluice chat` on a pseudo terminal."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.environ.pop("NO_COLOR", None)
            os.execv(SLUICE, [str(SLUICE), "chat", *arguments])
        self.output = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, count=1):
        """Waits until `text` was shown `count` times in all."""
        def shown():
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            if ready:
                try:
                    self.output += os.read(self.fd, 65536).decode("utf-8", "replace")
                except OSError:
                    pass
            return self.output.count(text) >= count
        try:
            wait_for(shown, f"the terminal shows {text!r}")
        except AssertionError:
            print(self.output)
            raise

    def exit_status(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError("sluice chat did not end")


def test_chat_on_a_terminal(server):
    terminal = TerminalSession("--url", server.url, "--temperature=0", "--max-tokens=8")
    terminal.expect("Talking with tiny")
    terminal.expect("> ")
    terminal.type("Hello\n")
    terminal.expect("first after")
    assert "\033[2m" in terminal.output
    terminal.type("/think off\n")
    terminal.expect("Thinking: off.")
    terminal.type("/clera\n")
    terminal.expect("Did you mean /clear?")
    terminal.type("/clear\n")
    terminal.expect("starts anew")
    terminal.type("/exit\n")
    assert terminal.exit_status() == 0


def test_ctrl_c_stops_the_answer_not_the_program(server):
    terminal = TerminalSession("--url", server.url, "--temperature=1", "--seed=1")
    terminal.expect("> ")
    terminal.type("Hello, write a long text\n")
    wait_for(lambda: server.worker_metrics()["sluice_requests_running"] == 1, "the answer runs")
    terminal.type("\x03")
    terminal.expect("(stopped)")
    wait_for(lambda: server.worker_metrics()["sluice_requests_running"] == 0, "the work has ended", 10)
    terminal.expect("> ", 2)
    terminal.type("\x03")
    terminal.expect("/exit or Ctrl-D leaves")
    terminal.type("\x04")
    assert terminal.exit_status() == 0
