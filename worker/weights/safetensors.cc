// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/weights/json_document.h"

namespace sluice::worker {
namespace {

constexpr uint64_t kSizeBytes = 8;
// The bound of the format's own reader.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct DTypeEntry {
  DType dtype;
  const char* name;
  int64_t bytes;
};
constexpr DTypeEntry kDTypes[] = {
    {DType::kBool, "BOOL", 1},      {DType::kU8, "U8", 1},          {DType::kI8, "I8", 1},
    {DType::kF8E5M2, "F8_E5M2", 1}, {DType::kF8E4M3, "F8_E4M3", 1}, {DType::kI16, "I16", 2},
    {DType::kU16, "U16", 2},        {DType::kF16, "F16", 2},        {DType::kBF16, "BF16", 2},
    {DType::kI32, "I32", 4},        {DType::kU32, "U32", 4},        {DType::kF32, "F32", 4},
    {DType::kI64, "I64", 8},        {DType::kU64, "U64", 8},        {DType::kF64, "F64", 8},
};

const DTypeEntry& EntryOf(DType dtype) {
  return *std::find_if(std::begin(kDTypes), std::end(kDTypes),
                       [dtype](const DTypeEntry& entry) { return entry.dtype == dtype; });
}

template <typename... Args>
absl::Status Broken(const std::string& file, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", args...));
}

absl::StatusOr<uint64_t> HeaderBytes(std::span<const std::byte> prefix, uint64_t file_bytes,
                                     const std::string& file) {
  if (file_bytes < kSizeBytes || prefix.size() < kSizeBytes) {
    return Broken(file, "the file has ", file_bytes,
                  " bytes, fewer than the 8 of a safetensors header size");
  }
  uint64_t size = 0;
  std::memcpy(&size, prefix.data(), kSizeBytes);  // little endian, as every host we build for
  if (size > kMaxHeaderBytes) {
    return Broken(file, "the safetensors header claims ", size, " bytes; at most ", kMaxHeaderBytes,
                  " are accepted");
  }
  if (size > file_bytes - kSizeBytes || size > prefix.size() - kSizeBytes) {
    return Broken(file, "the safetensors header claims ", size, " bytes, but only ",
                  file_bytes - kSizeBytes,
                  " follow its size: the file is truncated, download it again");
  }
  return size;
}

absl::Status ParseShape(const nlohmann::json& value, const std::string& file, TensorInfo* tensor) {
  if (!value.is_array()) {
    return Broken(file, "tensor ", tensor->name, " has a shape that is not a list");
  }
  for (const nlohmann::json& dim : value) {
    if (!dim.is_number_unsigned() || dim.get<uint64_t>() > (uint64_t{1} << 48)) {
      return Broken(file, "tensor ", tensor->name, " has the size ", dim.dump(),
                    " in its shape; sizes are whole numbers up to 2^48");
    }
    tensor->shape.push_back(static_cast<int64_t>(dim.get<uint64_t>()));
  }
  return absl::OkStatus();
}

// Sets begin and end, relative to the data section, after checking them against the section and the
// shape.
absl::Status ParseOffsets(const nlohmann::json& value, uint64_t data_bytes, const std::string& file,
                          TensorInfo* tensor) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number_unsigned() ||
      !value[1].is_number_unsigned()) {
    return Broken(file, "tensor ", tensor->name,
                  " has data_offsets that are not two whole numbers");
  }
  tensor->begin = value[0].get<uint64_t>();
  tensor->end = value[1].get<uint64_t>();
  if (tensor->begin > tensor->end) {
    return Broken(file, "tensor ", tensor->name, " begins at ", tensor->begin,
                  " and ends before it, at ", tensor->end);
  }
  if (tensor->end > data_bytes) {
    return Broken(file, "tensor ", tensor->name, " ends at byte ", tensor->end,
                  " of the data, which has only ", data_bytes,
                  ": the file is truncated, download it again");
  }
  int64_t want = DTypeBytes(tensor->dtype);
  bool overflow = false;
  for (const int64_t dim : tensor->shape) overflow |= __builtin_mul_overflow(want, dim, &want);
  // A zero anywhere makes the product zero, however far the other sizes overflow.
  if (std::find(tensor->shape.begin(), tensor->shape.end(), 0) != tensor->shape.end()) {
    want = 0;
    overflow = false;
  }
  if (overflow || static_cast<uint64_t>(want) != tensor->num_bytes()) {
    return Broken(file, "tensor ", tensor->name, " is ", DTypeName(tensor->dtype), " ",
                  ShapeString(tensor->shape), ", which takes ",
                  overflow ? std::string("more than 2^63") : absl::StrCat(want),
                  " bytes, but its data_offsets span ", tensor->num_bytes());
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorInfo> ParseTensor(const std::string& name, const nlohmann::json& value,
                                       uint64_t data_bytes, const std::string& file) {
  TensorInfo tensor;
  tensor.name = name;
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets")) {
    return Broken(file, "tensor ", name, " lacks dtype, shape or data_offsets");
  }
  const nlohmann::json& dtype = value["dtype"];
  const auto* entry = std::find_if(
      std::begin(kDTypes), std::end(kDTypes),
      [&dtype](const DTypeEntry& known) { return dtype.is_string() && dtype == known.name; });
  if (entry == std::end(kDTypes)) {
    return Broken(file, "tensor ", name, " has the unknown dtype ", dtype.dump());
  }
  tensor.dtype = entry->dtype;
  SLUICE_RETURN_IF_ERROR(ParseShape(value["shape"], file, &tensor));
  SLUICE_RETURN_IF_ERROR(ParseOffsets(value["data_offsets"], data_bytes, file, &tensor));
  return tensor;
}

// Tensors are sorted by begin. The format wants the data section covered exactly once.
absl::Status CheckCoverage(const std::vector<TensorInfo>& tensors, uint64_t data_bytes,
                           const std::string& file) {
  uint64_t covered = 0;
  const TensorInfo* previous = nullptr;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.begin < covered) {
      return Broken(file, "tensor ", tensor.name, " begins at byte ", tensor.begin,
                    " of the data and overlaps ", previous->name, ", which ends at ", covered);
    }
    if (tensor.begin > covered) {
      return Broken(file, "bytes ", covered, " to ", tensor.begin, " of the data, before tensor ",
                    tensor.name, ", belong to no tensor");
    }
    covered = tensor.end;
    previous = &tensor;
  }
  if (covered != data_bytes) {
    return Broken(file, "the tensors end at byte ", covered, " of the data, which has ", data_bytes,
                  ": the header does not belong to this file");
  }
  return absl::OkStatus();
}

absl::Status CheckMetadata(const nlohmann::json& metadata, const std::string& file) {
  if (!metadata.is_object()) return Broken(file, "__metadata__ is not an object");
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) {
      return Broken(file, "__metadata__ has a value for '", key, "' that is not a string");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view DTypeName(DType dtype) { return EntryOf(dtype).name; }
int64_t DTypeBytes(DType dtype) { return EntryOf(dtype).bytes; }

std::string ShapeString(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ", "), "]");
}

absl::StatusOr<std::vector<TensorInfo>> ParseSafetensorsHeader(std::span<const std::byte> prefix,
                                                               uint64_t file_bytes,
                                                               const std::string& file) {
  SLUICE_ASSIGN_OR_RETURN(const uint64_t header_bytes, HeaderBytes(prefix, file_bytes, file));
  const absl::string_view text(reinterpret_cast<const char*>(prefix.data()) + kSizeBytes,
                               header_bytes);
  SLUICE_ASSIGN_OR_RETURN(const nlohmann::json header,
                          ParseJsonObject(text, absl::StrCat(file, "'s safetensors header")));
  const uint64_t data_begin = kSizeBytes + header_bytes;
  const uint64_t data_bytes = file_bytes - data_begin;
  std::vector<TensorInfo> tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      SLUICE_RETURN_IF_ERROR(CheckMetadata(value, file));
      continue;
    }
    SLUICE_ASSIGN_OR_RETURN(TensorInfo tensor, ParseTensor(name, value, data_bytes, file));
    tensors.push_back(std::move(tensor));
  }
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  SLUICE_RETURN_IF_ERROR(CheckCoverage(tensors, data_bytes, file));
  for (TensorInfo& tensor : tensors) {
    tensor.begin += data_begin;
    tensor.end += data_begin;
  }
  return tensors;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path,
                                                                       const std::string& file) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string message =
        absl::StrCat(path, " cannot be opened: ", std::generic_category().message(errno));
    return errno == ENOENT ? absl::NotFoundError(message) : absl::InvalidArgumentError(message);
  }
  struct stat info = {};
  const bool regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const auto size = static_cast<size_t>(info.st_size);
  void* data = MAP_FAILED;
  if (regular && size >= kSizeBytes) data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_error = errno;
  close(fd);
  if (!regular) return Broken(path, "this is not a regular file");
  if (size < kSizeBytes) return HeaderBytes({}, size, file).status();
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, " cannot be mapped: ", std::generic_category().message(map_error)));
  }
  auto result = std::unique_ptr<SafetensorsFile>(
      new SafetensorsFile(file, static_cast<const std::byte*>(data), size));
  SLUICE_ASSIGN_OR_RETURN(result->tensors_,
                          ParseSafetensorsHeader({result->data_, size}, size, file));
  return result;
}

SafetensorsFile::SafetensorsFile(std::string file, const std::byte* data, size_t size)
    : file_(std::move(file)), data_(data), size_(size) {}

SafetensorsFile::~SafetensorsFile() { munmap(const_cast<std::byte*>(data_), size_); }

absl::string_view SafetensorsFile::header() const {
  uint64_t size = 0;
  std::memcpy(&size, data_, kSizeBytes);
  return {reinterpret_cast<const char*>(data_), kSizeBytes + size};
}

std::span<const std::byte> SafetensorsFile::Data(const TensorInfo& tensor) const {
  return {data_ + tensor.begin, tensor.num_bytes()};
}

void SafetensorsFile::Release(const TensorInfo& tensor, uint64_t first_byte,
                              uint64_t num_bytes) const {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // Only whole pages inside: the edges are shared with neighbours.
  const uint64_t begin = (tensor.begin + first_byte + page - 1) / page * page;
  const uint64_t end = (tensor.begin + first_byte + num_bytes) / page * page;
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void SafetensorsFile::Prefetch(const TensorInfo& tensor, uint64_t first_byte,
                               uint64_t num_bytes) const {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = (tensor.begin + first_byte) / page * page;
  const uint64_t end = tensor.begin + first_byte + num_bytes;
  if (begin < end) madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_WILLNEED);
}

}  // namespace sluice::worker
