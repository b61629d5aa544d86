// SPDX-License-Identifier: Apache-2.0
// safetensors: an 8-byte little-endian header size, a JSON header, and the tensors' bytes. The
// header comes from strangers, so every number in it is checked before it is used: a parsed header
// is safe to follow.
//
// ParseSafetensorsHeader is pure and thread safe. SafetensorsFile is immutable after Open; any
// thread may read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::worker {

enum class DType {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64
};
// "BF16" and so on, as the format spells it.
absl::string_view DTypeName(DType dtype);
int64_t DTypeBytes(DType dtype);

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // Of the file, header included: [begin, end).
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t num_bytes() const { return end - begin; }
};
// "[5120, 640]".
std::string ShapeString(std::span<const int64_t> shape);

// prefix: the file's first bytes, at least 8 + header size of them if the file has as many.
// Guarantees: each tensor lies in the file, its size is dtype times shape, tensors neither overlap
// nor leave holes, names are unique. Sorted by begin. Errors name the file, the tensor and the
// numbers.
absl::StatusOr<std::vector<TensorInfo>> ParseSafetensorsHeader(std::span<const std::byte> prefix,
                                                               uint64_t file_bytes,
                                                               const std::string& file);

class SafetensorsFile {
 public:
  // Maps the file and checks its header. path is opened, file names it in messages.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path,
                                                               const std::string& file);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& file() const { return file_; }
  uint64_t file_bytes() const { return size_; }
  // The 8 size bytes and the JSON: what the checkpoint's digest covers.
  absl::string_view header() const;
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  std::span<const std::byte> Data(const TensorInfo& tensor) const;
  // Lets the kernel forget the tensor's pages, once they were copied: loading holds one copy of the
  // weights.
  void Release(const TensorInfo& tensor) const { Release(tensor, 0, tensor.num_bytes()); }
  // Bytes [first_byte, first_byte + num_bytes) of the tensor.
  void Release(const TensorInfo& tensor, uint64_t first_byte, uint64_t num_bytes) const;
  // Has the kernel read them into the page cache, and returns before it has.
  void Prefetch(const TensorInfo& tensor, uint64_t first_byte, uint64_t num_bytes) const;

 private:
  SafetensorsFile(std::string file, const std::byte* data, size_t size);

  const std::string file_;
  const std::byte* const data_;  // the mapping
  const size_t size_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace sluice::worker
