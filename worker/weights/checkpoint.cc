// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/checkpoint.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "proto/wire/status_macros.h"
#include "worker/weights/json_document.h"

namespace sluice::worker {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 64 << 20;

using WeightMap = std::map<std::string, std::string>;  // tensor -> file

// A shard is a file of this folder: no path may lead out of it.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::StatusOr<WeightMap> ParseIndex(const std::string& text) {
  SLUICE_ASSIGN_OR_RETURN(const nlohmann::json index, ParseJsonObject(text, kIndexFile));
  const auto found = index.find("weight_map");
  if (found == index.end() || !found->is_object() || found->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kIndexFile, " has no weight_map that names a tensor"));
  }
  WeightMap map;
  for (const auto& [tensor, file] : found->items()) {
    if (!file.is_string() || !IsPlainFileName(file.get<std::string>())) {
      return absl::InvalidArgumentError(absl::StrCat(kIndexFile, ": weight_map gives tensor ",
                                                     tensor, " the file ", file.dump(),
                                                     ", which is no file name"));
    }
    map.emplace(tensor, file.get<std::string>());
  }
  return map;
}

// Empty when the folder has no index.
absl::StatusOr<WeightMap> ReadIndex(const std::string& dir) {
  const absl::StatusOr<std::string> text =
      ReadTextFile(absl::StrCat(dir, "/", kIndexFile), kMaxIndexBytes);
  if (absl::IsNotFound(text.status())) return WeightMap();
  SLUICE_RETURN_IF_ERROR(text.status());
  return ParseIndex(*text);
}

std::string DTypeNames(const std::vector<DType>& dtypes) {
  return absl::StrJoin(dtypes, " or ", [](std::string* out, DType dtype) {
    absl::StrAppend(out, DTypeName(dtype));
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Checkpoint>> Checkpoint::Open(const std::string& dir) {
  SLUICE_ASSIGN_OR_RETURN(const WeightMap map, ReadIndex(dir));
  std::set<std::string> names;
  for (const auto& [tensor, file] : map) names.insert(file);
  if (map.empty()) names.insert(kSingleFile);

  auto checkpoint = std::unique_ptr<Checkpoint>(new Checkpoint());
  for (const std::string& name : names) {
    auto file = SafetensorsFile::Open(absl::StrCat(dir, "/", name), name);
    if (absl::IsNotFound(file.status())) {
      return map.empty()
                 ? absl::NotFoundError(absl::StrCat(dir, " has neither ", kSingleFile, " nor ",
                                                    kIndexFile, ": it holds no weights"))
                 : absl::NotFoundError(absl::StrCat("the shard ", name, " that ", kIndexFile,
                                                    " names is missing from ", dir,
                                                    ": download it again"));
    }
    SLUICE_RETURN_IF_ERROR(file.status());
    for (const TensorInfo& tensor : (*file)->tensors()) {
      const auto [entry, is_new] =
          checkpoint->tensors_.emplace(tensor.name, Entry{file->get(), &tensor});
      if (!is_new) {
        return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, " is in both ",
                                                       entry->second.file->file(), " and ", name));
      }
      const auto mapped = map.find(tensor.name);
      if (!map.empty() && (mapped == map.end() || mapped->second != name)) {
        return absl::InvalidArgumentError(absl::StrCat(
            name, ": holds tensor ", tensor.name, ", which ", kIndexFile,
            mapped == map.end() ? " does not name" : absl::StrCat(" places in ", mapped->second)));
      }
      checkpoint->tensor_bytes_ += static_cast<int64_t>(tensor.num_bytes());
    }
    checkpoint->files_.push_back(*std::move(file));
  }
  for (const auto& [tensor, file] : map) {
    if (checkpoint->Find(tensor) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": lacks tensor ", tensor, ", which ", kIndexFile, " places in it"));
    }
  }
  return std::unique_ptr<const Checkpoint>(std::move(checkpoint));
}

absl::Status Checkpoint::Check(std::span<const ExpectedTensor> expected) const {
  std::set<absl::string_view> wanted;
  for (const ExpectedTensor& want : expected) {
    wanted.insert(want.name);
    const auto found = tensors_.find(want.name);
    if (found == tensors_.end()) {
      if (want.optional) continue;
      return absl::InvalidArgumentError(absl::StrCat("the checkpoint lacks tensor ", want.name,
                                                     " (", DTypeNames(want.dtypes), " ",
                                                     ShapeString(want.shape), ")"));
    }
    const TensorInfo& have = *found->second.tensor;
    const bool dtype_ok =
        std::find(want.dtypes.begin(), want.dtypes.end(), have.dtype) != want.dtypes.end();
    if (!dtype_ok || have.shape != want.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          found->second.file->file(), ": tensor ", want.name, " is ", DTypeName(have.dtype), " ",
          ShapeString(have.shape), ", but config.json makes it ", DTypeNames(want.dtypes), " ",
          ShapeString(want.shape)));
    }
  }
  for (const auto& [name, entry] : tensors_) {
    if (!wanted.contains(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          entry.file->file(), ": tensor ", name, " (", DTypeName(entry.tensor->dtype), " ",
          ShapeString(entry.tensor->shape), ") has no place in the model of config.json"));
    }
  }
  return absl::OkStatus();
}

const TensorInfo* Checkpoint::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second.tensor;
}

std::span<const std::byte> Checkpoint::Data(const std::string& name) const {
  const Entry& entry = tensors_.at(name);
  return entry.file->Data(*entry.tensor);
}

void Checkpoint::Release(const std::string& name) const {
  const Entry& entry = tensors_.at(name);
  entry.file->Release(*entry.tensor);
}

void Checkpoint::Release(const std::string& name, uint64_t first_byte, uint64_t num_bytes) const {
  const Entry& entry = tensors_.at(name);
  entry.file->Release(*entry.tensor, first_byte, num_bytes);
}

void Checkpoint::Prefetch(const std::string& name, uint64_t first_byte, uint64_t num_bytes) const {
  const Entry& entry = tensors_.at(name);
  entry.file->Prefetch(*entry.tensor, first_byte, num_bytes);
}

std::string Checkpoint::DigestInput() const {
  std::string input;
  for (const auto& file : files_) {
    absl::StrAppend(&input, file->file(), "\n", file->file_bytes(), "\n", file->header(), "\n");
  }
  return input;
}

}  // namespace sluice::worker
