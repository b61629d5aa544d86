// SPDX-License-Identifier: Apache-2.0
// RMSNorm in float32, as Transformers' Qwen3RMSNorm: y = weight * (x * (1 / sqrt(mean(x^2) +
// eps))). The sum of squares has one fixed order: lane j of 16 accumulates fma(x, x, lane) over i =
// j, j + 16, ... ascending, then lanes are added as l[i] += l[i + 8], + 4, + 2, + 1. Rows are
// independent.
#pragma once

#include <cstdint>

#include "kernels/cpu/thread_pool.h"

namespace sluice::kernels::cpu {

// x, y [num_rows][width] f32 (y may be x); weight [width] f32.
void RmsNorm(const float* x, const float* weight, float eps, int64_t num_rows, int64_t width,
             float* y, ThreadPool& pool);

// residual += delta, elementwise, then y = RmsNorm(residual). All [num_rows][width]; y must not
// overlap.
void AddRmsNorm(float* residual, const float* delta, const float* weight, float eps,
                int64_t num_rows, int64_t width, float* y, ThreadPool& pool);

// residual += delta over num values.
void AddInPlace(float* residual, const float* delta, int64_t num, ThreadPool& pool);

}  // namespace sluice::kernels::cpu
