# SPDX-License-Identifier: Apache-2.0
"""deploy/quickstart.sh on what is already built: it thinks and answers rightly, and every command that it says to try
works as it is printed.
"""

import re
import signal
import socket
import subprocess
import threading

import pytest
from sluice_server import BUILD, PATIENCE_S, ROOT, wait_for

QUICKSTART = ROOT / "deploy" / "quickstart.sh"


@pytest.fixture(scope="module", autouse=True)
def built():
    if BUILD.resolve() != ROOT / "build":
        pytest.skip("quickstart.sh builds and runs what is in build/, and this is another build")


def run(*options):
    return subprocess.run([QUICKSTART, "--no-install", *options], cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=600)


def commands(output):
    """The shell commands among the suggestions: indented lines between comments, each to its end."""
    lines = output.split("What to try next", 1)[1].splitlines()[1:]
    blocks, block = [], []
    for line in [*lines, ""]:
        if line.startswith("  ") and not line.startswith("  # "):
            starts = not line.startswith("    ")
            if starts and block:
                blocks.append("\n".join(block))
                block = []
            block.append(line)
        elif block:
            blocks.append("\n".join(block))
            block = []
    return blocks


def test_it_thinks_answers_suggests_and_stops():
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "There are 3 r's in strawberry." in done.stdout
    assert "s0 t0 r1 a1 w1 b1 e1 r2 r3 y3" in done.stderr  # thinking stays out of a piped answer
    suggested = commands(done.stdout)
    assert "deploy/quickstart.sh --serve" in suggested[0] and "build/bin/sluice serve deploy/demo_model" in suggested[1]
    assert sum("http://localhost:8000" in command for command in suggested) >= 5
    for page in re.findall(r"docs/\w+\.md", done.stdout):
        assert (ROOT / page).is_file(), page
    assert done.stdout.rstrip().splitlines()[-1].endswith("Done: built, served on two workers, answered, stopped.")


def test_it_asks_what_it_is_told_to():
    # Without a seed the answer is drawn anew each time, and without thinking it is wrong now and then.
    done = run("--prompt", "What is 12 + 30? /no_think", "--seed", "1")
    assert done.returncode == 0 and "12 + 30 = 42" in done.stdout, done.stdout
    assert "12+30" not in done.stderr


@pytest.mark.parametrize("option", ["--prompt", "--http-port", "--sevre"])
def test_mistakes_are_named(option):
    done = run(option)
    assert done.returncode == 2 and option in done.stderr and done.stdout == ""


@pytest.fixture(scope="module")
def serving():
    """The output of quickstart.sh --serve while it serves on."""
    process = subprocess.Popen([QUICKSTART, "--no-install", "--serve", "--http-port=0"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    output = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout), daemon=True)
    reader.start()
    try:
        wait_for(lambda: any("# To read:" in line for line in output) or process.poll() is not None, "quickstart.sh serves on")
        yield "".join(output)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
        reader.join(timeout=PATIENCE_S)
    port = int(re.search(r"http=localhost:(\d+)", "".join(output))[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("localhost", port), timeout=30)


def test_every_suggestion_works_as_printed(serving):
    answers = []
    for command in commands(serving):
        asked = subprocess.run(["bash", "-c", command], cwd=ROOT, input="How many letters are in window?",
                               capture_output=True, text=True, timeout=300)
        assert asked.returncode == 0, (command, asked.stderr)
        answers.append(asked)
    assert len(answers) == 6
    talk, thinking, direct, chinese, stream, tool = answers
    assert "6" in talk.stdout  # its prompt comes from standard input, where that is no terminal
    assert "347 + 85 = 432" in thinking.stdout and thinking.stderr.strip()
    assert "There are 3 e's in cheese." in direct.stdout and direct.stderr.strip() == ""
    assert "banana 里有 3 个 a。" in chinese.stdout
    assert stream.stdout.count("data: ") > 10 and stream.stdout.rstrip().endswith("data: [DONE]")
    assert '"name":"get_weather"' in tool.stdout.replace('": "', '":"') and "Paris" in tool.stdout
