# SPDX-License-Identifier: Apache-2.0
"""The picture of the loss, on logs made up here: every step is in it, at its place."""

import json
import xml.etree.ElementTree as ElementTree

import conversation_facts  # noqa: F401  puts deploy/demo_model on the path
import plot_loss
import pytest

SVG = "{http://www.w3.org/2000/svg}"


def log(folder, *entries):
    """A run's folder as train.py leaves it; train.py's own kinds of lines are all there."""
    folder.mkdir(exist_ok=True)
    with open(folder / "train.jsonl", "a", encoding="utf-8") as file:
        for entry in entries:
            file.write(json.dumps({"seconds": 1.0, **entry}) + "\n")
    return folder


def start(resume=None):
    return {"phase": "start", "device": "cpu", "arguments": {"resume": str(resume)}}


def step(phase, tokens, loss):
    return {"phase": phase, "step": 1, "loss": loss, "tokens": tokens, "share": 1.0, "tokens_per_second": None}


def curves_of(*folders):
    return plot_loss.curves([run for folder in folders for run in plot_loss.read(folder)])


def test_phases_and_runs_follow_one_another(tmp_path):
    first = log(tmp_path / "first", start(), step("train", 1_000_000, 8.0), step("train", 3_000_000, 0.5),
                {"phase": "awq", "text": "layer 0"}, step("grid", 1_000_000, 0.6),
                {"phase": "awq", "row": "spelling", "right": 93.0, "prompts": 512}, {"phase": "done"})
    second = log(tmp_path / "second", start("first/bf16"), step("train", 2_000_000, 0.4))
    assert curves_of(first, second / "train.jsonl") == [
        ("train", [(1, 8.0), (3, 0.5)]), ("grid", [(4, 0.6)]), ("train", [(6, 0.4)])]


def test_a_log_goes_on_where_the_run_resumed_and_starts_anew_where_it_did_not(tmp_path):
    folder = log(tmp_path / "run", start(), step("train", 1_000_000, 8.0), start(), step("train", 2_000_000, 7.0),
                 start("run/bf16"), step("train", 1_000_000, 0.0))
    assert curves_of(folder) == [("train", [(2, 7.0)]), ("train", [(3, plot_loss.LEAST_LOSS)])]


def test_the_picture_holds_every_step(tmp_path, monkeypatch, capsys):
    folder = log(tmp_path / "run", start(), *(step("train", 100_000 * i, 10 / i) for i in range(1, 101)),
                 step("grid", 50_000, 0.2), step("grid", 100_000, 0.1))
    output = tmp_path / "docs" / "loss.svg"
    monkeypatch.setattr("sys.argv", ["plot_loss.py", str(folder), "--output", str(output)])
    plot_loss.main()
    assert "10 million tokens, loss 10.0 to 0.1" in capsys.readouterr().out
    root = ElementTree.parse(output).getroot()
    lines = {path.get("class"): path.get("d")[1:].split("L") for path in root.iter(f"{SVG}path")
             if path.get("d").count("L")}
    assert {name: len(points) for name, points in lines.items()} == {"train": 100, "grid-phase": 2}
    for points in lines.values():
        places = [tuple(map(float, point.split())) for point in points]
        xs, ys = zip(*places)
        assert list(xs) == sorted(xs) and list(ys) == sorted(ys)  # to the right, and down the page as the loss falls
        assert all(0 <= x <= plot_loss.WIDTH and 0 <= y <= plot_loss.HEIGHT for x, y in places)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"training", "fine-tuning on the 4-bit grid", "million tokens", "10", "1", "0.1"} <= set(texts)
    assert output.stat().st_size < 20_000
    again = output.read_bytes()
    plot_loss.main()
    assert output.read_bytes() == again


@pytest.mark.parametrize("text, message", [("{\n", "1 is not a JSON object"), ('{"phase": "start"}\n', "holds no step")])
def test_a_broken_log_is_named(tmp_path, text, message):
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=message):
        plot_loss.read(tmp_path)


@pytest.mark.parametrize("end, expected", [(10, [0, 2, 4, 6, 8, 10]), (662.0, [0, 100, 200, 300, 400, 500, 600]),
                                           (0.5, [0, 0.1, 0.2, 0.3, 0.4, 0.5])])
def test_ticks_are_round(end, expected):
    assert plot_loss.ticks(end) == pytest.approx(expected)
