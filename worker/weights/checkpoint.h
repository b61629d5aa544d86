// SPDX-License-Identifier: Apache-2.0
// Checkpoint: all tensors of a model folder, wherever they lie: one model.safetensors, or shards
// named by model.safetensors.index.json. Opening reads headers only.
//
// Immutable after Open; any thread may read it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/weights/safetensors.h"

namespace sluice::worker {

// A tensor that a model wants, for checking a checkpoint before anything is loaded.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<DType> dtypes;  // any of them will do
  bool optional = false;      // may be absent
};

class Checkpoint {
 public:
  // Fails when there are no weights, a shard is missing or broken, the index and the shards
  // disagree, or two shards hold one name.
  static absl::StatusOr<std::unique_ptr<const Checkpoint>> Open(const std::string& dir);

  // OK when the checkpoint holds exactly the expected tensors: each present with its shape and a
  // dtype it may have, and nothing left over. Errors name file, tensor and numbers.
  absl::Status Check(std::span<const ExpectedTensor> expected) const;

  // nullptr when there is none.
  const TensorInfo* Find(const std::string& name) const;
  // REQUIRES: Find(name) != nullptr.
  std::span<const std::byte> Data(const std::string& name) const;
  // See SafetensorsFile.
  void Release(const std::string& name) const;
  void Release(const std::string& name, uint64_t first_byte, uint64_t num_bytes) const;
  void Prefetch(const std::string& name, uint64_t first_byte, uint64_t num_bytes) const;

  // Bytes of all tensors, from their headers (an index's total_size is not trusted: published ones
  // are wrong).
  int64_t tensor_bytes() const { return tensor_bytes_; }
  int num_tensors() const { return static_cast<int>(tensors_.size()); }
  int num_files() const { return static_cast<int>(files_.size()); }

  // Header bytes, names and sizes of the files, in order of their names: feeds the model's digest.
  std::string DigestInput() const;

 private:
  struct Entry {
    const SafetensorsFile* file;
    const TensorInfo* tensor;
  };

  Checkpoint() = default;

  std::vector<std::unique_ptr<SafetensorsFile>> files_;  // by name
  std::map<std::string, Entry> tensors_;
  int64_t tensor_bytes_ = 0;
};

}  // namespace sluice::worker
