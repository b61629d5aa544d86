#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what Sluice needs on Debian 12, Debian 13 or Ubuntu 24.04, by apt package name: only what is missing, so
# a second run does nothing. Called by quickstart.sh (build packages) and tests/run.sh (--tests).
#
#   deploy/install_dependencies.sh             what the three binaries need to build and run
#   deploy/install_dependencies.sh --tests     and what the tests need (GoogleTest, Node.js, ccache, ...)
#   deploy/install_dependencies.sh --package   and what deploy/package.sh needs
#   deploy/install_dependencies.sh --print     print the list for this system and what is missing; install nothing
# shellcheck disable=SC1091  # /etc/os-release is the system's
set -euo pipefail

usage() { sed -n '3,9s/^# \{0,1\}//p' "$0"; }

want_tests=0 want_package=0 print_only=0
for arg in "$@"; do
  case "$arg" in
    --tests) want_tests=1 ;;
    --package) want_package=1 ;;
    --print) print_only=1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install_dependencies.sh: unknown argument '$arg' (see --help)" >&2; exit 2 ;;
  esac
done

# Boost has the version in its package name; Sluice needs 1.81 or newer, headers only.
id=unknown version=unknown
if [ -r /etc/os-release ]; then
  id=$(. /etc/os-release && echo "${ID:-unknown}")
  version=$(. /etc/os-release && echo "${VERSION_ID:-unknown}")
fi
case "$id-$version" in
  debian-12) boost=libboost1.81-dev ;;
  debian-13 | ubuntu-24.04) boost=libboost1.83-dev ;;
  *)
    boost=libboost-dev
    echo "install_dependencies.sh: $id $version is not one of Debian 12, Debian 13, Ubuntu 24.04;" \
         "trying their package names" >&2
    ;;
esac

# Libraries are looked up as packages; tools as commands, since they may come from elsewhere (pyenv, nvm, pip).
libraries=(
  libabsl-dev libgrpc++-dev libprotobuf-dev "$boost" nlohmann-json3-dev libspdlog-dev libyaml-cpp-dev
  prometheus-cpp-dev libssl-dev libutf8proc-dev
)
tools=(  # command:package
  g++:g++ cmake:cmake ninja:ninja-build pkg-config:pkg-config protoc:protobuf-compiler
  grpc_cpp_plugin:protobuf-compiler-grpc python3:python3 xz:xz-utils git:git
)
if [ "$want_tests" = 1 ]; then
  libraries+=(libgtest-dev libgmock-dev libbenchmark-dev)
  tools+=(ccache:ccache node:nodejs npm:npm)
fi
if [ "$want_package" = 1 ]; then
  tools+=(patchelf:patchelf)
fi

# libfoo2t64 is how Ubuntu 24.04 and Debian 13 rename some runtime libraries; -dev names stayed.
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=() all=()
for package in "${libraries[@]}"; do
  all+=("$package")
  installed "$package" || missing+=("$package")
done
for tool in "${tools[@]}"; do
  all+=("${tool#*:}")
  command -v "${tool%%:*}" >/dev/null 2>&1 || missing+=("${tool#*:}")
done
# A virtual environment needs ensurepip, which Debian ships apart from python3.
all+=(python3-venv)
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)

if [ "$print_only" = 1 ]; then
  echo "needed on $id $version: ${all[*]}"
  echo "missing: ${missing[*]:-nothing}"
  exit 0
fi
if [ "${#missing[@]}" -eq 0 ]; then
  echo "Packages: all ${#all[@]} present."
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install_dependencies.sh: no apt-get here. Install these by hand: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_dependencies.sh: run as root, or install sudo, to install: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Packages: installing ${#missing[@]} of ${#all[@]}: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 -qq "$@" </dev/null
}
started=$SECONDS
if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "install_dependencies.sh: apt-get could not install: ${missing[*]} (its last lines are above)" >&2
  exit 1
fi
echo "Packages: installed in $((SECONDS - started)) s."
