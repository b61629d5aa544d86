#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What needs a GPU, on a machine that has one (two, for tensor parallelism): the package's tests, the same under
# compute-sanitizer, its benches. Builds nothing: make the package with deploy/package.sh where nvcc and gRPC are, and
# bring it here together with a checkout of the same commit.
#
#   tests/gpu.sh PACKAGE_DIR                 kernels, weights, executor; with two GPUs also groups; ends "N passed, N failed"
#   tests/gpu.sh PACKAGE_DIR --sanitize      small shapes under memcheck, racecheck and synccheck
#   tests/gpu.sh PACKAGE_DIR --bench         kernels, a step, the engine, HTTP; with 2, 4, 8 GPUs also groups; a JSON file each
#   tests/gpu.sh PACKAGE_DIR --e2e           end-to-end tests of the package; tests of n ranks need n GPUs; needs tests/requirements.txt
#   tests/gpu.sh PACKAGE_DIR --evaluate      how well the bundled model answers, beside the CPU; needs tokenizers, jinja2
#     --parity DIR   checkpoints of tests/reference/parity_checkpoint.py; without it they are made, with python3
#     --out DIR      where logs and JSON go, default gpu-results
#     --only REGEX   only the programs whose names match: docs/operations.md lists them ("On a GPU")
set -uo pipefail

usage() { sed -n '3,16s/^# \{0,1\}//p' "$0"; }

package='' parity='' out=gpu-results only=. what=tests
while [ $# -gt 0 ]; do
  case "$1" in
    --sanitize | --bench | --e2e | --evaluate) what=${1#--} ;;
    --parity | --out | --only)
      [ $# -ge 2 ] || { echo "gpu.sh: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "gpu.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
    *) package=$1 ;;
  esac
  shift
done
[ -x "$package/bin/sluice-worker" ] || { echo "gpu.sh: '$package' is no unpacked package" >&2; exit 2; }
source_dir=$(cd "$(dirname "$0")/.." && pwd)
package=$(cd "$package" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
PATH=$PATH:/usr/local/cuda/bin  # compute-sanitizer's, where the toolkit's packages put it
gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
  gpus=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -cvE '^(-1)?$')
fi
[ "$gpus" -gt 0 ] || { echo "gpu.sh: nvidia-smi lists no GPU, or CUDA_VISIBLE_DEVICES none of them" >&2; exit 1; }

# Moved tests ask here for their data: SLUICE_BINARY_DIR holds parity/.
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
if [ -n "$parity" ]; then
  ln -s "$(cd "$parity" && pwd)" "$data/parity"
elif [ "$what" = tests ]; then
  python3 -B "$source_dir/tests/reference/parity_checkpoint.py" --output "$data/parity" >"$out/parity.log" 2>&1 ||
    echo "gpu.sh: no parity checkpoints (see $out/parity.log): tests of them will fail" >&2
fi
export SLUICE_SOURCE_DIR=$source_dir SLUICE_BINARY_DIR=$data
# Tests whose ranks are streams of one GPU: those must not queue behind each other.
export CUDA_DEVICE_MAX_CONNECTIONS=32

passed=0 failed=0
count() {  # NAME STATUS of a program that counts as one
  if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  echo "$1: exit status $2"
}

# Runs a GoogleTest binary, in so many shards side by side, and adds their cases up. Skipped ones count as neither.
run_tests() {
  local name=$1 shards=$2 shard log logs=() status=0 ok=0 bad=0 skipped=0
  shift 2
  for ((shard = 0; shard < shards; ++shard)); do
    log=$out/$name$([ "$shards" = 1 ] || echo ".$shard").log
    logs+=("$log")
    # Ranks that wait for each other are what may hang: a machine is not kept for that.
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard timeout -k 10 900 "$@" >"$log" 2>&1 &
  done
  # The summary at the end: "[  PASSED  ] 3 tests.", "[  FAILED  ] 1 test, listed below:".
  count_of() {
    awk -v word="$1" '$1 == "[" && $2 == word && $4 ~ /^[0-9]+$/ {n = $4} END {print n + 0}' "$2"
  }
  for log in "${logs[@]}"; do
    wait -n || status=$?
  done
  for log in "${logs[@]}"; do
    ok=$((ok + $(count_of PASSED "$log"))) bad=$((bad + $(count_of FAILED "$log")))
    skipped=$((skipped + $(count_of SKIPPED "$log")))
  done
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi  # a crash
  passed=$((passed + ok)) failed=$((failed + bad))
  echo "$name: $ok passed, $bad failed, $skipped skipped"
  if [ "$bad" != 0 ]; then grep -hB 12 -E '^\[  FAILED|rror' "${logs[@]}" | tail -n 60; fi
}

wanted() {
  grep -qE "$only" <<<"$1" || return 1
  [ -x "$package/libexec/$1" ] && return
  echo "$1: not in the package" >&2
  return 1
}

case "$what" in
  tests)
    names=(kernels_cuda_test cuda_weights_test cuda_executor_test)
    [ "$gpus" -lt 2 ] || names+=(nccl_multi_gpu_test gpu_group_test)
    export SLUICE_TEST_WORKER=$package/bin/sluice-worker
    for name in "${names[@]}"; do
      # Most of the kernels' time is the CPU's, which computes what is right.
      shards=1
      if [ "$name" = kernels_cuda_test ]; then shards=$((($(nproc) + 1) / 2)); fi
      if wanted "$name"; then run_tests "$name" "$shards" "$package/libexec/$name"; fi
    done
    ;;
  sanitize)
    # A sanitized kernel is a hundred times slower: the smallest shapes of every operation.
    export SLUICE_SMALL_SHAPES=1
    for tool in memcheck racecheck synccheck; do
      name=kernels_cuda_test
      if wanted "$name"; then
        run_tests "$tool-$name" 1 compute-sanitizer --tool "$tool" --error-exitcode 9 "$package/libexec/$name"
      fi
    done
    ;;
  bench)
    run_bench() {
      local name=$1 file=$2
      shift 2
      if wanted "$name"; then
        "$package/libexec/$name" "$@" >"$out/$file.json" 2>"$out/$file.log"
        count "$file" $?
      fi
    }
    run_bench cuda_kernel_bench cuda_kernel
    run_bench cuda_step_bench cuda_step
    run_bench cuda_engine_bench cuda_engine
    for ranks in 2 4 8; do
      [ "$gpus" -ge "$ranks" ] || continue
      run_bench collective_bench "collective_$ranks" "--ranks=$ranks"
      run_bench cuda_step_bench "cuda_step_tp$ranks" "--tp-size=$ranks"
      run_bench cuda_engine_bench "cuda_engine_tp$ranks" "--tp-size=$ranks"
    done
    run_script() {  # a bench of tests/bench that starts the package's programs
      local name=$1
      shift
      grep -qE "$only" <<<"$name" || return 0
      SLUICE_BINARY_DIR=$package python3 -B "$source_dir/tests/bench/$name.py" "$@" >"$out/$name.json" 2>"$out/$name.log"
      count "$name" $?
    }
    run_script gpu_serving_bench --scratch "$data"
    case "$gpus" in
      2) run_script group_layouts_bench --layouts 1x2,2x1 ;;
      4 | 8) run_script group_layouts_bench --layouts "1x$gpus,$((gpus / 2))x2,${gpus}x1" ;;
    esac
    ;;
  e2e)
    # Not the Node client, whose packages npm would have to fetch, nor what builds. Each file starts servers of its own, and a
    # few files at a time share the GPUs.
    run_e2e() {
      SLUICE_TEST_DEVICE=cuda SLUICE_BINARY_DIR=$package python3 -B -m pytest -q -rP -p no:cacheprovider \
        "$source_dir/tests/e2e/$1.py" >"$out/e2e_$1.log" 2>&1
      echo $? >"$out/e2e_$1.status"
    }
    names=()
    for file in "$source_dir"/tests/e2e/*_test.py; do
      name=$(basename "$file" .py)
      case "$name" in openai_node_test | quickstart_test) continue ;; esac
      if grep -qE "$only" <<<"$name"; then names+=("$name"); fi
    done
    for name in "${names[@]}"; do
      while [ "$(jobs -rp | wc -l)" -ge 4 ]; do wait -n; done
      run_e2e "$name" &
    done
    wait
    for name in "${names[@]}"; do
      summary=$(tail -n 1 "$out/e2e_$name.log")  # "1 failed, 5 passed, 2 skipped in 3.21s"
      ok=$(grep -oE '[0-9]+ passed' <<<"$summary" | cut -d' ' -f1)
      bad=$(grep -oE '[0-9]+ (failed|error)' <<<"$summary" | awk '{n += $1} END {print n + 0}')
      if [ "$(cat "$out/e2e_$name.status")" != 0 ] && [ "${bad:-0}" = 0 ]; then bad=1; fi
      passed=$((passed + ${ok:-0})) failed=$((failed + ${bad:-0}))
      echo "$name: $summary"
      grep 'steps until others part$' "$out/e2e_$name.log" | sed 's/^/  /'
      if [ "${bad:-0}" != 0 ]; then tail -n 30 "$out/e2e_$name.log"; fi
    done
    ;;
  evaluate)
    model=$source_dir/deploy/demo_model
    "$package/bin/sluice" serve "$model/sluice-demo" --device=cuda --http-port=0 --grpc-port=0 --metrics-port=0 \
      >"$out/serve.log" 2>&1 &
    server=$!
    until grep -q ^listening "$out/serve.log" || ! kill -0 "$server" 2>/dev/null; do sleep 0.1; done
    port=$(sed -n 's/^listening http=[^ ]*:\([0-9]*\) .*/\1/p' "$out/serve.log")
    python3 -B "$model/evaluate.py" --url "http://localhost:$port" --clients 128 --json "$out/evaluation.json" \
      --beside "$model/evaluation.json" >"$out/evaluate.log" 2>&1
    count evaluate $?
    kill "$server" && wait "$server"
    grep '^|' "$out/evaluate.log" || tail -n 15 "$out/evaluate.log" "$out/serve.log"
    ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
