// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/bf16.cuh"
#include "kernels/device/launch.cuh"
#include "kernels/embedding/embedding_gather.h"

namespace sluice::kernels::embedding {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) EmbeddingGatherKernel(EmbeddingGather gather) {
  device::LetNextStart();
  const int row = static_cast<int>(blockIdx.x);
  int id = gather.ids[row];
  if (id < 0) id = gather.last_ids[-1 - id];
  const int64_t place = int64_t{id} - gather.first_id;
  const bool here = place >= 0 && place < gather.vocab_rows;
  const __nv_bfloat16* from = gather.table + (here ? place * gather.width : 0);
  float* to = gather.out + int64_t{row} * gather.width;
  for (int column = 4 * static_cast<int>(threadIdx.x); column < gather.width;
       column += 4 * kThreads) {
    const float4 zeros = {0.0f, 0.0f, 0.0f, 0.0f};
    *reinterpret_cast<float4*>(to + column) = here ? device::Load4Bf16(from + column) : zeros;
  }
}

}  // namespace

LaunchResult RunEmbeddingGather(const EmbeddingGather& gather, cudaStream_t stream) {
  if (gather.width % 4 != 0)
    return InvalidArguments("embedding: the width must be a multiple of 4");
  if (gather.rows == 0) return {};
  return AfterLaunch(device::Launch(EmbeddingGatherKernel, static_cast<unsigned>(gather.rows),
                                    kThreads, 0, stream, gather),
                     "embedding");
}

}  // namespace sluice::kernels::embedding
