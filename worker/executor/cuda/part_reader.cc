// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/part_reader.h"

#include <cstdint>
#include <cstring>

#include "kernels/cpu/float_type.h"
#include "worker/weights/dummy_tensor.h"

namespace sluice::worker {
namespace {

using kernels::cpu::FloatType;

FloatType FloatTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return FloatType::kF16;
    case DType::kBF16:
      return FloatType::kBf16;
    default:
      return FloatType::kF32;
  }
}

// REQUIRES: the types differ, and both are of floats; to is BF16 (F16 is staged only from F16).
void RoundToBf16(const std::byte* from, DType stored, int64_t count, std::byte* out) {
  const FloatType type = FloatTypeOf(stored);
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = kernels::cpu::FloatToBf16(kernels::cpu::LoadFloat(from, type, i));
    std::memcpy(out + 2 * i, &bits, 2);
  }
}

// Calls run(first, count, offset) for each run of elements that are neighbours where they are
// stored and where they are staged; offset counts staged elements from the part's beginning.
template <typename Run>
void ForRuns(const TensorPart& part, const Run& run) {
  if (part.num_columns == part.full_columns() && part.row_stride == 1) {
    run(part.first_row * part.num_columns, part.num_rows * part.num_columns, int64_t{0});
    return;
  }
  for (int64_t row = 0; row < part.num_rows; ++row) {
    run((part.first_row + row) * part.full_columns() + part.first_column, part.num_columns,
        row * part.row_stride * part.num_columns);
  }
}

struct ByteRange {
  uint64_t begin;  // of the tensor
  uint64_t size;
};

// Whole rows: a page holds several, or a row several pages, and the next rank or piece wants the
// others.
ByteRange TouchedBytes(const Checkpoint& checkpoint, const TensorPart& part) {
  const int64_t row_bytes =
      part.full_columns() * DTypeBytes(checkpoint.Find(part.tensor.name)->dtype);
  return {static_cast<uint64_t>(part.first_row * row_bytes),
          static_cast<uint64_t>(part.num_rows * row_bytes)};
}

}  // namespace

void ReadPart(const Checkpoint* checkpoint, const TensorPart& part, std::byte* out) {
  const int64_t staged_bytes = DTypeBytes(part.staged);
  if (checkpoint == nullptr) {  // dummies are drawn as they are staged: I32 and BF16
    ForRuns(part, [&](int64_t first, int64_t count, int64_t offset) {
      DrawDummyTensor(part.tensor, first,
                      {out + offset * staged_bytes, static_cast<size_t>(count * staged_bytes)});
    });
    return;
  }
  const std::byte* data = checkpoint->Data(part.tensor.name).data();
  const DType stored = checkpoint->Find(part.tensor.name)->dtype;
  const int64_t stored_bytes = DTypeBytes(stored);
  ForRuns(part, [&](int64_t first, int64_t count, int64_t offset) {
    const std::byte* from = data + first * stored_bytes;
    std::byte* to = out + offset * staged_bytes;
    if (stored == part.staged) {
      std::memcpy(to, from, static_cast<size_t>(count * stored_bytes));
    } else {
      RoundToBf16(from, stored, count, to);
    }
  });
}

void PrefetchPart(const Checkpoint* checkpoint, const TensorPart& part) {
  if (checkpoint == nullptr) return;
  const ByteRange range = TouchedBytes(*checkpoint, part);
  checkpoint->Prefetch(part.tensor.name, range.begin, range.size);
}

void ReleasePart(const Checkpoint* checkpoint, const TensorPart& part) {
  if (checkpoint == nullptr) return;
  const ByteRange range = TouchedBytes(*checkpoint, part);
  checkpoint->Release(part.tensor.name, range.begin, range.size);
}

}  // namespace sluice::worker
