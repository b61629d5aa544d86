// SPDX-License-Identifier: Apache-2.0
// WeightReader: hands out the tensors of a checkpoint, or dummy ones, one at a time while a model
// loads. When a tensor is done its pages leave memory again, so a loading rank holds its packed
// shard and one tensor of the file.
//
// Used by the loading thread. REQUIRES: the checkpoint was checked against the tensors that are
// read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/float_type.h"
#include "worker/weights/checkpoint.h"

namespace sluice::worker {

// A tensor's elements, or a range of its rows; keeps what it points into alive.
struct TensorView {
  const void* data = nullptr;  // row major, as stored; may be unaligned
  DType dtype = DType::kF32;
  std::shared_ptr<const void> owner;

  // REQUIRES: dtype is F32, F16 or BF16.
  kernels::cpu::FloatType float_type() const;
  // Converts the first count elements.
  std::vector<float> ToFloats(int64_t count) const;
};

class WeightReader {
 public:
  using Progress = std::function<void(int64_t done_bytes, int64_t total_bytes)>;

  // checkpoint: null for dummy weights. on_progress may be empty.
  WeightReader(std::shared_ptr<const Checkpoint> checkpoint, int64_t total_bytes,
               Progress on_progress);

  DType StoredDType(const ExpectedTensor& tensor) const;
  TensorView Read(const ExpectedTensor& tensor) const;
  // Rows [begin, begin + count) of a matrix. Unlike Read, dummies of the other rows are never
  // drawn.
  TensorView ReadRows(const ExpectedTensor& tensor, int64_t begin, int64_t count) const;

  // Lets the tensor's pages leave memory; it can still be read.
  void Release(const ExpectedTensor& tensor) const;
  // The tensor was packed and will not be read again.
  void Done(const ExpectedTensor& tensor);
  // The tensor stays mapped and is read on demand.
  void Keep(const ExpectedTensor& tensor);

 private:
  void Advance(const ExpectedTensor& tensor);

  const std::shared_ptr<const Checkpoint> checkpoint_;
  const int64_t total_bytes_;
  const Progress on_progress_;
  int64_t done_bytes_ = 0;
};

// Bytes of a tensor as WeightReader counts them: as stored, or as a dummy.
int64_t StoredBytes(const Checkpoint* checkpoint, const ExpectedTensor& tensor);

}  // namespace sluice::worker
