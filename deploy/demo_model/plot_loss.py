# SPDX-License-Identifier: Apache-2.0
"""Draws the loss of one or more runs, one after the other, from the train.jsonl that train.py writes. Python's standard
library only.

  python3 deploy/demo_model/plot_loss.py build/demo/first build/demo/second --output docs/demo_model_loss.svg

A run is train.py's OUT folder or the file itself. One colour is training in full precision, the other fine-tuning on the
quantization grid. The picture follows the reader's light or dark theme.
"""

import argparse
import json
import math
from pathlib import Path

PHASES = {"train": "training", "grid": "fine-tuning on the 4-bit grid"}
LEAST_LOSS = 1e-4  # what train.py rounds to
WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48  # margins around the plot
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #57606a }
  .axis { stroke: #57606a; fill: none } .grid { stroke: #57606a; stroke-opacity: 0.2 }
  .train, .grid-phase { fill: none; stroke-width: 2; stroke-linejoin: round }
  .train { stroke: #2a78d6 } .grid-phase { stroke: #c8590a }
  @media (prefers-color-scheme: dark) {
    text { fill: #adb5bd } .axis, .grid { stroke: #adb5bd } .train { stroke: #6cb0ff } .grid-phase { stroke: #ffa657 }
  }
"""
CLASSES = {"train": "train", "grid": "grid-phase"}


def read(path):
    """The runs that a log holds, each a list of (phase, tokens so far in the phase, loss). The log is appended to: a run
    that began anew leaves those before it out, one that resumed goes on from them."""
    file = path / "train.jsonl" if path.is_dir() else path
    runs = [[]]
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError:
            raise SystemExit(f"{file}:{number} is not a JSON object: {line[:80]}") from None
        if entry.get("phase") == "start":
            resumed = entry.get("arguments", {}).get("resume", "None") != "None"
            runs = [*runs, []] if resumed else [[]]
        if "loss" in entry and entry.get("phase") in PHASES:
            runs[-1].append((entry["phase"], entry["tokens"], max(entry["loss"], LEAST_LOSS)))
    if not any(runs):
        raise SystemExit(f"{file} holds no step of training")
    return runs


def curves(runs):
    """[(phase, [(million tokens over all runs, loss)])], a curve for each phase of each run."""
    found, before = [], 0
    for steps in runs:
        for phase in PHASES:
            part = [(tokens, loss) for name, tokens, loss in steps if name == phase]
            if part:
                found.append((phase, [((before + tokens) / 1e6, loss) for tokens, loss in part]))
                before += part[-1][0]
    return found


def ticks(end, most=8):
    """Round numbers from 0 to the end."""
    step = next(s for power in range(-6, 9) for s in (10**power, 2 * 10**power, 5 * 10**power) if end / s <= most)
    return [i * step for i in range(int(end / step) + 1)]


def picture(parts):
    """The SVG's text: tokens to the right, loss upwards on a logarithmic scale."""
    end = max(tokens for _, points in parts for tokens, _ in points)
    losses = [loss for _, points in parts for _, loss in points]
    low, high = math.floor(math.log10(min(losses))), math.ceil(math.log10(max(losses)))
    high = max(high, low + 1)

    def x(tokens):
        return LEFT + (WIDTH - LEFT - RIGHT) * tokens / end

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(loss)) / (high - low)

    floor = HEIGHT - BOTTOM
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
             "<title>Loss of sluice-demo over the tokens it was trained on</title>", f"<style>{STYLE}</style>"]
    for power in range(low, high + 1):
        height = y(10.0**power)
        lines.append(f'<path class="grid" d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for tick in ticks(end):
        lines.append(f'<path class="axis" d="M{x(tick):.1f} {floor}v5"/>')
        lines.append(f'<text x="{x(tick):.1f}" y="{floor + 20}" text-anchor="middle">{tick:g}</text>')
    lines.append(f'<path class="axis" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>')
    lines.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">million tokens</text>')
    middle = (TOP + floor) / 2
    lines.append(f'<text transform="rotate(-90 14 {middle})" x="14" y="{middle}" text-anchor="middle">'
                 "cross entropy, nats a token</text>")
    for phase, points in parts:
        path = "L".join(f"{x(tokens):.1f} {y(loss):.1f}" for tokens, loss in points)
        lines.append(f'<path class="{CLASSES[phase]}" d="M{path}"/>')
    for row, phase in enumerate(p for p in PHASES if any(p == q for q, _ in parts)):
        height = TOP + 14 + 20 * row
        lines.append(f'<path class="{CLASSES[phase]}" d="M{WIDTH - 250} {height}h24"/>')
        lines.append(f'<text x="{WIDTH - 218}" y="{height + 4}">{PHASES[phase]}</text>')
    return "\n".join(lines) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=Path("docs/demo_model_loss.svg"))
    a = parser.parse_args()
    parts = curves([run for path in a.runs for run in read(path)])
    a.output.parent.mkdir(parents=True, exist_ok=True)
    a.output.write_text(picture(parts), encoding="utf-8")
    (_, first), (_, last) = parts[0], parts[-1]
    print(f"{a.output}: {last[-1][0]:.0f} million tokens, loss {first[0][1]} to {last[-1][1]}")


if __name__ == "__main__":
    main()
