// SPDX-License-Identifier: Apache-2.0
#include "worker/weights/weight_reader.h"

#include <numeric>
#include <utility>

#include "worker/weights/dummy_tensor.h"

namespace sluice::worker {
namespace {

int64_t NumElements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

kernels::cpu::FloatType TensorView::float_type() const {
  switch (dtype) {
    case DType::kF16:
      return kernels::cpu::FloatType::kF16;
    case DType::kBF16:
      return kernels::cpu::FloatType::kBf16;
    default:
      return kernels::cpu::FloatType::kF32;
  }
}

std::vector<float> TensorView::ToFloats(int64_t count) const {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    values[static_cast<size_t>(i)] = kernels::cpu::LoadFloat(data, float_type(), i);
  }
  return values;
}

int64_t StoredBytes(const Checkpoint* checkpoint, const ExpectedTensor& tensor) {
  if (checkpoint == nullptr) return NumElements(tensor.shape) * DTypeBytes(DummyDType(tensor));
  const TensorInfo* info = checkpoint->Find(tensor.name);
  return info == nullptr ? 0 : static_cast<int64_t>(info->num_bytes());
}

WeightReader::WeightReader(std::shared_ptr<const Checkpoint> checkpoint, int64_t total_bytes,
                           Progress on_progress)
    : checkpoint_(std::move(checkpoint)),
      total_bytes_(total_bytes),
      on_progress_(std::move(on_progress)) {}

DType WeightReader::StoredDType(const ExpectedTensor& tensor) const {
  return checkpoint_ == nullptr ? DummyDType(tensor) : checkpoint_->Find(tensor.name)->dtype;
}

TensorView WeightReader::Read(const ExpectedTensor& tensor) const {
  return ReadRows(tensor, 0, tensor.shape[0]);
}

TensorView WeightReader::ReadRows(const ExpectedTensor& tensor, int64_t begin,
                                  int64_t count) const {
  const int64_t row = NumElements(tensor.shape) / tensor.shape[0];
  const DType dtype = StoredDType(tensor);
  if (checkpoint_ == nullptr) {
    auto drawn = std::make_shared<const std::vector<std::byte>>(
        DrawDummyTensor(tensor, begin * row, count * row));
    return {drawn->data(), dtype, drawn};
  }
  return {checkpoint_->Data(tensor.name).data() + begin * row * DTypeBytes(dtype), dtype,
          checkpoint_};
}

void WeightReader::Release(const ExpectedTensor& tensor) const {
  if (checkpoint_ != nullptr) checkpoint_->Release(tensor.name);
}

void WeightReader::Done(const ExpectedTensor& tensor) {
  Release(tensor);
  Advance(tensor);
}

void WeightReader::Keep(const ExpectedTensor& tensor) { Advance(tensor); }

void WeightReader::Advance(const ExpectedTensor& tensor) {
  done_bytes_ += StoredBytes(checkpoint_.get(), tensor);
  if (on_progress_) on_progress_(done_bytes_, total_bytes_);
}

}  // namespace sluice::worker
