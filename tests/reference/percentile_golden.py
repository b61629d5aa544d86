# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/percentiles.json: what NumPy says of random lists of latencies.

Usage: python3 tests/reference/percentile_golden.py   (needs numpy)
"""

import json
import pathlib

import numpy

OUT = pathlib.Path(__file__).resolve().parents[1] / "golden" / "percentiles.json"
PERCENTS = [0, 1, 12.5, 50, 90, 95, 99, 99.9, 100]


def case(rng, size):
    values = rng.choice([rng.lognormal(3, 1.5, size), rng.integers(0, 5, size).astype(float)])
    values = numpy.round(values, 4)
    return {"values": values.tolist(), "mean": float(numpy.mean(values)),
            "percentiles": numpy.percentile(values, PERCENTS).tolist()}


def main():
    rng = numpy.random.default_rng(20261126)
    sizes = [1, 2, 3, 4, 10, 11, 99, 100, 101] + [int(size) for size in rng.integers(1, 300, 20)]
    golden = {"made_by": f"numpy {numpy.__version__}", "percents": PERCENTS, "cases": [case(rng, n) for n in sizes]}
    OUT.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
