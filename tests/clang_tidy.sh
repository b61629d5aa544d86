#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy 19 (pip install clang-tidy==19.1.0.1; CLANG_TIDY names another) with the checks of .clang-tidy over our
# sources, from the compile commands of the release build. With file names as arguments, over those alone.
# docs/style.md holds the date and commit of the last clean run.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset release >/dev/null
ninja -C build proto_public proto_worker >/dev/null  # generated headers
if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(git ls-files 'proto/*.cc' 'gateway/*.cc' 'worker/*.cc' 'kernels/*.cc' 'tests/*.cc')
fi
echo "clang-tidy over ${#files[@]} files"
# GCC's warning names mean nothing to Clang.
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" "${CLANG_TIDY:-clang-tidy}" -p build --quiet \
  --extra-arg=-Wno-unknown-warning-option
echo "clang-tidy: clean"
