#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All CPU tests and fuzz corpora under AddressSanitizer and UndefinedBehaviorSanitizer. docs/style.md holds the date and
# commit of the last clean run. Arguments are passed on to ctest: tests/asan.sh -R gateway
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${SLUICE_QWEN3_DIR:-}" ] && [ -d ../shared/qwen3 ]; then
  SLUICE_QWEN3_DIR=$(cd ../shared/qwen3 && pwd)
  export SLUICE_QWEN3_DIR
fi
cmake --preset asan
ninja -C build-asan -j "$(nproc)"
# Debian's protobuf and gRPC are not instrumented: containers that cross the border would be reported falsely.
export ASAN_OPTIONS=detect_container_overflow=0:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
ctest --test-dir build-asan -L cpu -j "$(nproc)" --output-on-failure --timeout 1800 "$@"
