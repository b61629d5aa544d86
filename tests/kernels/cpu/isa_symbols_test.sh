#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The files compiled for one instruction set may define nothing but their table: a weak (inline) function in one of
# them could be kept by the linker for the whole program, and an AVX-512 copy would then crash older machines.
# Usage: isa_symbols_test.sh NM "object;object;..."
set -euo pipefail
nm_tool=$1
checked=0
while IFS= read -r object; do
  case "$object" in */simd/table_*) ;; *) continue ;; esac
  checked=$((checked + 1))
  defined=$("$nm_tool" --defined-only --extern-only "$object" | awk 'NF == 3 { print $2, $3 }')
  if [ "$(wc -l <<<"$defined")" != 1 ] || ! grep -q '^T .*Table' <<<"$defined"; then
    echo "$object defines more than its table:"
    "$nm_tool" --demangle --defined-only --extern-only "$object"
    exit 1
  fi
done < <(tr ';' '\n' <<<"$2")
[ "$checked" -ge 1 ] || { echo "no simd/table_* object was given"; exit 1; }
echo "$checked objects define one symbol each"
