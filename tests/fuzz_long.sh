#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every fuzzer for long: Clang, libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer. Findings stay in
# build-fuzz/fuzz/found/NAME. docs/style.md holds the date and commit of the last clean run.
#
#   tests/fuzz_long.sh [SECONDS_EACH] [NAME_REGEX]     default: 600 seconds, all
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
only=${2:-.}
cmake --preset asan -B build-fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DSLUICE_WERROR=OFF \
  -DSLUICE_FUZZ_SECONDS="$seconds"
mapfile -t fuzzers < <(ctest --test-dir build-fuzz -N -L fuzz | sed -n 's/^ *Test *#[0-9]*: //p' | grep -E "$only")
[ "${#fuzzers[@]}" -gt 0 ] || { echo "fuzz_long.sh: no fuzzer matches '$only'" >&2; exit 1; }
ninja -C build-fuzz -j "$(nproc)" "${fuzzers[@]}"
export ASAN_OPTIONS=detect_container_overflow=0
ctest --test-dir build-fuzz -L fuzz -R "$only" -j "$(nproc)" --output-on-failure --timeout $((seconds + 120))
