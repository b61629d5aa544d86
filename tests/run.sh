#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One command for all tests that need no GPU: installs what is missing, builds with warnings as errors, runs them, and
# ends with the line "N passed, N failed". Exits 0 only when nothing failed.
#
#   tests/run.sh                 everything
#   tests/run.sh --no-install    do not call apt-get (the Python and Node packages are still fetched when missing)
#   tests/run.sh --only REGEX    only the CTest tests whose names match
set -euo pipefail

usage() { sed -n '3,8s/^# \{0,1\}//p' "$0"; }

install=1 only=''
while [ $# -gt 0 ]; do
  case "$1" in
    --no-install) install=0 ;;
    --only)
      [ $# -ge 2 ] || { echo "run.sh: --only needs a regular expression" >&2; exit 2; }
      only=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) echo "run.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
  esac
  shift
done

cd "$(dirname "$0")/.."
started=$SECONDS
say() { printf '[%4d s] %s\n' $((SECONDS - started)) "$*"; }
# The closing line is printed whatever goes wrong before the tests, and says that nothing passed.
fail() {
  printf '[%4d s] run.sh: %s\n' $((SECONDS - started)) "$*" >&2
  echo "0 passed, 1 failed"
  exit 1
}

if [ "$install" = 1 ]; then
  deploy/install_dependencies.sh --tests || fail "the packages could not be installed"
fi

# Python and Node packages; a stamp keeps a second run from asking the network.
python=$PWD/.venv/bin/python
wanted=$(cat tests/requirements.txt tests/e2e/node/package.json | sha256sum)
if [ "$(cat .venv/sluice-stamp 2>/dev/null)" != "$wanted" ]; then
  say "Python packages into .venv, the Node client into tests/e2e/node/node_modules"
  rm -rf .venv
  python3 -m venv .venv || fail "python3 could not make a virtual environment (.venv)"
  "$python" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt ||
    fail "pip could not install tests/requirements.txt"
  (cd tests/e2e/node && npm install --no-audit --no-fund --no-package-lock --loglevel=error) ||
    fail "npm could not install tests/e2e/node/package.json"
  echo "$wanted" >.venv/sluice-stamp
fi

# Data of the real model, where the folder is there; tests that need it say so where it is not.
if [ -z "${SLUICE_QWEN3_DIR:-}" ] && [ -d ../shared/qwen3 ]; then
  SLUICE_QWEN3_DIR=$(cd ../shared/qwen3 && pwd)
fi
[ -z "${SLUICE_QWEN3_DIR:-}" ] || export SLUICE_QWEN3_DIR
export SLUICE_PYTHON=$python

jobs=$(nproc)
say "Build, all warnings as errors, $jobs job(s)"
cmake --preset release -DSLUICE_TESTS=ON -DSLUICE_WERROR=ON -DPython3_EXECUTABLE="$python" ||
  fail "CMake could not configure the build"
NINJA_STATUS='[%f/%t, %e s] ' ninja -C build -j "$jobs" || fail "the build failed"

results=$PWD/build/results
rm -rf "$results"
mkdir -p "$results"
# A directory makes each GoogleTest binary write NAME.json; the Python tests write NAME.xml.
export GTEST_OUTPUT=json:$results/ SLUICE_RESULTS_DIR=$results
filter=()
[ -z "$only" ] || filter=(-R "$only")
status=0
say "Tests: cpu"
ctest --test-dir build -L cpu -j "$jobs" --output-on-failure --no-tests=ignore \
  --output-junit "$results/ctest_cpu.xml" "${filter[@]}" || status=1
# The end-to-end tests start servers of several processes each: one at a time.
say "Tests: e2e"
ctest --test-dir build -L e2e -j 1 --output-on-failure --no-tests=ignore \
  --output-junit "$results/ctest_e2e.xml" "${filter[@]}" || status=1
say "Result"
"$python" tests/count_results.py "$results" || status=1
exit $status
