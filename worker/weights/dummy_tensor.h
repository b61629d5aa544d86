// SPDX-License-Identifier: Apache-2.0
// Random weights for --load-format dummy: benchmarks need a model's shapes, not its sense. Every
// element is a function of the tensor's name and the element's global index, so ranks that draw
// parts of a tensor agree with one that draws all of it; magnitudes keep activations of order 1
// through any depth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/weights/checkpoint.h"

namespace sluice::worker {

// What a dummy tensor is stored as: I32 for packed integers, else BF16.
DType DummyDType(const ExpectedTensor& tensor);

// Elements [first, first + count) of the tensor in row-major order. Pure; thread safe.
std::vector<std::byte> DrawDummyTensor(const ExpectedTensor& tensor, int64_t first, int64_t count);
// The same into out, whose size says how many.
void DrawDummyTensor(const ExpectedTensor& tensor, int64_t first, std::span<std::byte> out);

}  // namespace sluice::worker
