// SPDX-License-Identifier: Apache-2.0
// The linears of the decoder, named by the axis along which ranks share them. Column parallel: each
// rank has some outputs and needs nothing from its peers. Row parallel: each rank has some inputs,
// and the outputs are summed over ranks. AWQ or dense, as the checkpoint has it.
//
// Immutable after Load.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/thread_pool.h"
#include "worker/model/load_context.h"
#include "worker/model/tensor_names.h"
#include "worker/parallel/communicator.h"

namespace sluice::worker {

// Several linears over one input, side by side: q, k, v, or gate and up. Their local outputs follow
// each other.
class ColumnParallelLinear {
 public:
  static ColumnParallelLinear Load(const LoadContext& context,
                                   const std::vector<LinearShape>& linears);

  int64_t local_outputs() const { return local_outputs_; }
  int64_t bytes() const;

  // x [num_rows][full inputs], y [num_rows][local_outputs()].
  void Forward(const float* x, int64_t num_rows, float* y, kernels::cpu::ThreadPool& pool) const;

 private:
  // Neighbours of one format are packed as one weight; usually there is one part.
  std::vector<kernels::cpu::LinearWeight> parts_;
  int64_t local_outputs_ = 0;
};

// o or down.
class RowParallelLinear {
 public:
  static RowParallelLinear Load(const LoadContext& context, const LinearShape& linear);

  int64_t bytes() const { return weight_.bytes(); }

  // x [num_rows][local inputs], y [num_rows][full outputs], summed over ranks.
  absl::Status Forward(const float* x, int64_t num_rows, float* y, kernels::cpu::ThreadPool& pool,
                       Communicator& communicator) const;

 private:
  kernels::cpu::LinearWeight weight_;
};

// Bytes of a packed linear as a rank holds it, without packing it: for sizing memory before
// anything is loaded.
int64_t PackedBytes(kernels::cpu::LinearWeight::Format format, int64_t outputs, int64_t inputs);

}  // namespace sluice::worker
