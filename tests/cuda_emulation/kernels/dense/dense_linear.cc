// SPDX-License-Identifier: Apache-2.0
// The emulator's twin of kernels/dense/cublaslt_linear.cc: one thread that multiplies, in the order
// of the inputs.
#include "kernels/dense/dense_linear.h"

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/device/launch.cuh"

namespace sluice::kernels::dense {
namespace {

void DenseKernel(DenseProduct product) {
  const DenseShape& shape = product.shape;
  const auto outputs = static_cast<size_t>(shape.outputs);
  const auto inputs = static_cast<size_t>(shape.inputs);
  std::vector<float> weight(inputs * outputs);  // [inputs][outputs], for the innermost loop
  for (size_t n = 0; n < outputs; ++n) {
    for (size_t k = 0; k < inputs; ++k) {
      weight[k * outputs + n] = __bfloat162float(product.weight[n * inputs + k]);
    }
  }
  std::vector<float> sums(outputs);
  for (size_t row = 0; row < static_cast<size_t>(shape.rows); ++row) {
    sums.assign(outputs, 0.0f);
    for (size_t k = 0; k < inputs; ++k) {
      const float x = __bfloat162float(product.x[row * inputs + k]);
      const float* from = weight.data() + k * outputs;
      for (size_t n = 0; n < outputs; ++n) sums[n] += x * from[n];
    }
    for (size_t n = 0; n < outputs; ++n) {
      if (shape.output_type == OutputType::kFloat) {
        static_cast<float*>(product.out)[row * outputs + n] = sums[n];
      } else {
        static_cast<__nv_bfloat16*>(product.out)[row * outputs + n] = __float2bfloat16(sums[n]);
      }
    }
  }
}

}  // namespace

struct DenseLinear::State {};

DenseLinear::DenseLinear(std::unique_ptr<State> state) : state_(std::move(state)) {}

DenseLinear::~DenseLinear() = default;

DenseLinear::Opened DenseLinear::Open(const DenseOptions&) {
  return {std::unique_ptr<DenseLinear>(new DenseLinear(std::make_unique<State>())), ""};
}

LaunchResult DenseLinear::Prepare(const DenseShape& shape) {
  if (shape.rows < 1 || shape.outputs < 1 || shape.inputs < 1 || shape.inputs % 8 != 0) {
    return InvalidArguments("dense linear: the inputs must be a multiple of 8, nothing below 1");
  }
  return {};
}

LaunchResult DenseLinear::Run(const DenseProduct& product, cudaStream_t stream) {
  if (product.shape.rows == 0) return {};
  for (const void* matrix :
       {static_cast<const void*>(product.x), static_cast<const void*>(product.weight),
        static_cast<const void*>(product.out)}) {
    if (reinterpret_cast<uintptr_t>(matrix) % 16 != 0) {
      return InvalidArguments("dense linear: a matrix is not aligned to 16 bytes");
    }
  }
  const LaunchResult prepared = Prepare(product.shape);
  if (!prepared.ok()) return prepared;
  return AfterLaunch(device::Launch(DenseKernel, 1, 1, 0, stream, product), "dense linear");
}

}  // namespace sluice::kernels::dense
