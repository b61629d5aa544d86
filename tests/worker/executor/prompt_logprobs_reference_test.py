# SPDX-License-Identifier: Apache-2.0
"""Derives the golden prompt scores again with Transformers. Ends with 77 (skipped) where torch or transformers is missing:
tests/run.sh does not install them, they are a gigabyte."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "reference"))

try:
    import prompt_logprobs_golden
except ImportError as error:
    print(f"skipped: {error} (pip install torch==2.13.0 transformers==5.23.0 safetensors numpy, or set SLUICE_PYTHON)")
    sys.exit(77)

prompt_logprobs_golden.check()
