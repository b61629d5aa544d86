# SPDX-License-Identifier: Apache-2.0
"""Derives one of the golden logits again with Transformers: the goldens cannot be bent to fit a bug.

Each run draws another checkpoint; SLUICE_TEST_SEED repeats one. Ends with 77 (skipped) where torch or transformers is
missing: tests/run.sh does not install them, they are a gigabyte.
"""

import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "reference"))

try:
    import model_logits
except ImportError as error:
    print(f"skipped: {error} (pip install torch==2.13.0 transformers==5.23.0 safetensors numpy, or set SLUICE_PYTHON)")
    sys.exit(77)

seed = os.environ.get("SLUICE_TEST_SEED") or str(random.SystemRandom().getrandbits(32))
print(f"SLUICE_TEST_SEED={seed}")
model_logits.check(random.Random(seed).choice(list(model_logits.parity_checkpoint.CASES)))
