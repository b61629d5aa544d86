#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All CPU tests under ThreadSanitizer. Debian's Abseil, gRPC and protobuf are not instrumented, so what they
# synchronize is invisible: reports from their modules are ignored, and tests/tsan.supp names the rest, each with a
# reason. docs/style.md holds the date and commit of the last clean run. Arguments are passed on to ctest.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${SLUICE_QWEN3_DIR:-}" ] && [ -d ../shared/qwen3 ]; then
  SLUICE_QWEN3_DIR=$(cd ../shared/qwen3 && pwd)
  export SLUICE_QWEN3_DIR
fi
cmake --preset tsan
ninja -C build-tsan -j "$(nproc)"
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1:suppressions=$PWD/tests/tsan.supp
ctest --test-dir build-tsan -L cpu -LE fuzz -j "$(nproc)" --output-on-failure --timeout 1800 "$@"
