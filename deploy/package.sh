#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs dist/sluice-VERSION-linux-x86_64.tar.xz: the binaries with every shared library but libc's, relocatable
# ($ORIGIN rpaths), and the bundled model; where nvcc is, also the CUDA plugin, and in libexec/ the tests and benches
# for machines with GPUs. Then unpacks it elsewhere and runs it from there.
#
#   deploy/package.sh              build, pack, check
#   deploy/package.sh --no-model   leave the bundled model out; the archive must stay within 40 MiB
set -euo pipefail

usage() { sed -n '3,9s/^# \{0,1\}//p' "$0"; }

with_model=1
for arg in "$@"; do
  case "$arg" in
    --no-model) with_model=0 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "package.sh: unknown argument '$arg' (see --help)" >&2; exit 2 ;;
  esac
done

cd "$(dirname "$0")/.."
fail() { echo "package.sh: $*" >&2; exit 1; }
max_bytes=$((40 << 20))

with_tests=OFF
if command -v nvcc >/dev/null; then with_tests=ON; fi
if [ "$with_tests" = ON ]; then
  deploy/install_dependencies.sh --package --tests
else
  deploy/install_dependencies.sh --package
fi
[ -f build/build.ninja ] || cmake --preset release "-DSLUICE_TESTS=$with_tests"
binaries=(bin/sluice bin/sluice-gateway bin/sluice-worker)
# What only a build with CUDA has. SLUICE_SOURCE_DIR and SLUICE_BINARY_DIR tell moved tests where their data is.
gpu_programs=()
for file in lib/libsluice_cuda.so tests/{kernels_cuda,cuda_weights,cuda_executor,nccl_multi_gpu,gpu_group}_test \
  bench/{cuda_kernel,cuda_step,cuda_engine,collective}_bench; do
  if ninja -C build -t query "$file" >/dev/null 2>&1; then gpu_programs+=("$file"); fi
done
ninja -C build "${binaries[@]}" "${gpu_programs[@]}"

version=$(build/bin/sluice version | awk '{print $2}')
name=sluice-$version-linux-x86_64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
mkdir -p "$root/bin" "$root/lib"

# What every Linux has and must not be shipped: libc's own libraries and the loader.
is_libc() {
  case "$1" in
    ld-linux* | linux-vdso* | libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libresolv.so* | libutil.so*)
      return 0 ;;
  esac
  return 1
}

# The CUDA plugin is opened at run time, so ldd of the worker does not name it, nor what it needs.
for file in "${binaries[@]}" "${gpu_programs[@]}"; do
  case "$file" in
    bin/*) folder=bin rpath="\$ORIGIN/../lib" ;;
    lib/*) folder=lib rpath="\$ORIGIN" ;;
    *) folder=libexec rpath="\$ORIGIN/../lib" ;;
  esac
  mkdir -p "$root/$folder"
  to=$root/$folder/${file##*/}
  install -s -m 755 "build/$file" "$to"
  patchelf --set-rpath "$rpath" "$to"
  ldd "build/$file" | awk '$2 == "=>" {print $1, $3}' >>"$work/libraries"
done
sort -u "$work/libraries" | while read -r soname path; do
  is_libc "$soname" && continue
  [ -f "$path" ] || fail "$soname is not found on this machine"
  install -m 644 "$path" "$root/lib/$soname"
  # DT_RPATH semantics differ from RUNPATH for what a library needs itself, so each gets its own.
  patchelf --set-rpath "\$ORIGIN" "$root/lib/$soname"
done

cp LICENSE "$root/"
if [ -f README.md ]; then cp README.md "$root/"; fi
if [ "$with_model" = 1 ]; then
  for config in deploy/demo_model/config.json deploy/demo_model/*/config.json; do
    [ -f "$config" ] || continue
    mkdir -p "$root/model"
    find "$(dirname "$config")" -maxdepth 1 -type f \( -name '*.json' -o -name '*.safetensors' -o -name '*.jinja' \) \
      -exec cp {} "$root/model/" \;
    break
  done
fi

mkdir -p dist
archive=dist/$name.tar.xz
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -c "$name" | xz -T0 -6 >"$archive"
bytes=$(stat -c %s "$archive")
if [ "$with_model" = 0 ] && [ "$bytes" -gt "$max_bytes" ]; then
  fail "$archive has $bytes bytes; at most $max_bytes are allowed without a model"
fi

# The check: unpacked in another folder, every library but libc's must come from the archive, and it must run.
elsewhere=$work/elsewhere
mkdir "$elsewhere"
tar -C "$elsewhere" -xf "$archive"
for file in "$elsewhere/$name"/{bin,libexec}/* "$elsewhere/$name"/lib/libsluice_cuda.so; do
  [ -f "$file" ] || continue
  strays=$(ldd "$file" | awk '$2 == "=>" {print $1, $3}' | while read -r soname path; do
    is_libc "$soname" || case "$path" in "$elsewhere"/*) ;; *) echo "$soname ($path)" ;; esac
  done)
  [ -z "$strays" ] || fail "$(basename "$file") takes libraries from this machine: $strays"
done
(cd / && "$elsewhere/$name/bin/sluice" version && "$elsewhere/$name/bin/sluice-worker" --version &&
  "$elsewhere/$name/bin/sluice-gateway" --version) || fail "the unpacked binaries do not run"
if [ -f "$root/lib/libsluice_cuda.so" ]; then
  # It loads where no driver is: the worker says so instead of not finding it.
  refusal=$("$elsewhere/$name/bin/sluice-worker" --model /nowhere --device cuda 2>&1 || true)
  case "$refusal" in
    *"no CUDA plugin"* | *"cannot be loaded"* | *"cannot be used"*) fail "the unpacked plugin: $refusal" ;;
  esac
fi
newest_glibc=$(for file in "$elsewhere/$name"/{bin,lib,libexec}/*; do
  objdump -T "$file" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' || true
done | sort -uV | tail -n 1)
echo "$archive: $bytes bytes, needs ${newest_glibc/GLIBC_/glibc } or newer"
