// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/page_copy.h"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kThreads = 256;

// One block a page's keys or values in one layer, [copy][layer, keys or values].
__global__ void __launch_bounds__(kThreads) CopyPagesKernel(KvCache cache, const PageCopy* copies) {
  const PageCopy copy = copies[blockIdx.x];
  const int64_t plane = int64_t{blockIdx.y} * cache.num_pages;
  const auto* from =
      reinterpret_cast<const uint4*>(cache.memory + (plane + copy.from) * cache.page_values());
  auto* to = reinterpret_cast<uint4*>(cache.memory + (plane + copy.to) * cache.page_values());
  const int vectors = static_cast<int>(cache.page_values() / 8);
  for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kThreads) to[i] = from[i];
}

}  // namespace

LaunchResult CopyPages(const KvCache& cache, const PageCopy* copies, int num_copies,
                       cudaStream_t stream) {
  if (num_copies == 0) return {};
  if (cache.num_layers < 1 || 2 * cache.num_layers > 65535) {
    return InvalidArguments("page copy: 1 to 32,767 layers");
  }
  const dim3 grid(static_cast<unsigned>(num_copies), static_cast<unsigned>(2 * cache.num_layers));
  return AfterLaunch(device::Launch(CopyPagesKernel, grid, kThreads, 0, stream, cache, copies),
                     "page copy");
}

}  // namespace sluice::kernels::attention
