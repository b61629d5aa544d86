// SPDX-License-Identifier: Apache-2.0
// safetensors headers from strangers: what the parser accepts must be safe to follow.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "worker/weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  const auto tensors = sluice::worker::ParseSafetensorsHeader(file, size, "fuzz");
  if (!tensors.ok()) {
    if (tensors.status().message().empty()) std::abort();
    return 0;
  }
  uint64_t covered = 0;
  for (const sluice::worker::TensorInfo& tensor : *tensors) {
    if (tensor.begin > tensor.end || tensor.end > size) std::abort();
    if (covered != 0 && tensor.begin != covered) std::abort();
    covered = tensor.end;
    int64_t bytes = sluice::worker::DTypeBytes(tensor.dtype);
    for (const int64_t dim : tensor.shape) bytes *= dim;
    if (static_cast<uint64_t>(bytes) != tensor.num_bytes()) std::abort();
  }
  if (!tensors->empty() && covered != size) std::abort();
  return 0;
}
