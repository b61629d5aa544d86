# SPDX-License-Identifier: Apache-2.0
"""Derives a few of the golden greedy answers again with Transformers: the golden cannot be bent to fit a bug.

Each run draws other prompts; SLUICE_TEST_SEED repeats one. Ends with 77 (skipped) where torch or transformers is
missing: tests/run.sh does not install them, they are a gigabyte.
"""

import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "reference"))

try:
    import demo_greedy
except ImportError as error:
    print(f"skipped: {error} (pip install torch==2.13.0 transformers==5.24.0 safetensors jinja2, or set SLUICE_PYTHON)")
    sys.exit(77)

seed = os.environ.get("SLUICE_TEST_SEED") or str(random.SystemRandom().getrandbits(32))
print(f"SLUICE_TEST_SEED={seed}")
demo_greedy.check(3, random.Random(seed))
