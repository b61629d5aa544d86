// SPDX-License-Identifier: Apache-2.0
// DenseLinear where CUDA is emulated and cuBLASLt cannot run: the same contract with a plain loop,
// as a kernel, so that streams and graphs see it as they see the real one.
#include <cstdint>
#include <utility>

#include "kernels/dense/dense_linear.h"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::dense {
namespace {

constexpr int kThreads = 128;

// One output of one row a thread; sums in the order of the inputs.
__global__ void DenseLinearKernel(DenseProduct p) {
  const int output = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (output >= p.shape.outputs) return;
  const int64_t row = blockIdx.y;
  const __nv_bfloat16* x = p.x + row * p.shape.inputs;
  const __nv_bfloat16* weight = p.weight + int64_t{output} * p.shape.inputs;
  float sum = 0.0f;
  for (int i = 0; i < p.shape.inputs; ++i) {
    sum += __bfloat162float(x[i]) * __bfloat162float(weight[i]);
  }
  const int64_t at = row * p.shape.outputs + output;
  if (p.shape.output_type == OutputType::kFloat) {
    static_cast<float*>(p.out)[at] = sum;
  } else {
    static_cast<__nv_bfloat16*>(p.out)[at] = __float2bfloat16(sum);
  }
}

bool IsAligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace

struct DenseLinear::State {};

DenseLinear::DenseLinear(std::unique_ptr<State> state) : state_(std::move(state)) {}

DenseLinear::~DenseLinear() = default;

DenseLinear::Opened DenseLinear::Open(const DenseOptions& /*options*/) {
  Opened opened;
  opened.linear.reset(new DenseLinear(std::make_unique<State>()));
  return opened;
}

LaunchResult DenseLinear::Prepare(const DenseShape& shape) {
  if (shape.rows < 1 || shape.outputs < 1 || shape.inputs < 1 || shape.inputs % 8 != 0) {
    return InvalidArguments("dense linear: the inputs must be a multiple of 8, nothing below 1");
  }
  return {};
}

LaunchResult DenseLinear::Run(const DenseProduct& product, cudaStream_t stream) {
  if (product.shape.rows == 0) return {};
  if (!IsAligned(product.x) || !IsAligned(product.weight) || !IsAligned(product.out)) {
    return InvalidArguments("dense linear: a matrix is not aligned to 16 bytes");
  }
  if (const LaunchResult prepared = Prepare(product.shape); !prepared.ok()) return prepared;
  const dim3 grid(static_cast<unsigned>((product.shape.outputs + kThreads - 1) / kThreads),
                  static_cast<unsigned>(product.shape.rows));
  return AfterLaunch(device::Launch(DenseLinearKernel, grid, kThreads, 0, stream, product),
                     "dense linear");
}

}  // namespace sluice::kernels::dense
