// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/launch.cuh"
#include "kernels/embedding/gather_rows.h"

namespace sluice::kernels::embedding {
namespace {

constexpr int kThreads = 256;
constexpr int kVector = 8;  // values of 16 bytes

// One block a row.
__global__ void __launch_bounds__(kThreads)
    GatherRowsKernel(const __nv_bfloat16* from, const int32_t* rows, int width,
                     __nv_bfloat16* out) {
  device::BeginChained();
  const int vectors = width / kVector;
  const auto* source = reinterpret_cast<const uint4*>(from + int64_t{rows[blockIdx.x]} * width);
  auto* to = reinterpret_cast<uint4*>(out + int64_t{blockIdx.x} * width);
  for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kThreads) to[i] = source[i];
}

}  // namespace

LaunchResult GatherRows(const __nv_bfloat16* from, const int32_t* rows, int num_rows, int width,
                        __nv_bfloat16* out, cudaStream_t stream) {
  if (width % kVector != 0) return InvalidArguments("gather rows: the width is no multiple of 8");
  if (num_rows == 0) return {};
  return AfterLaunch(device::LaunchChained(GatherRowsKernel, static_cast<unsigned>(num_rows),
                                           kThreads, 0, stream, from, rows, width, out),
                     "gather rows");
}

}  // namespace sluice::kernels::embedding
