// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/page_table.h"
#include "kernels/device/launch.cuh"

namespace sluice::kernels::attention {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    WritePageTablesKernel(const PageTableEntry* entries, int num_entries, int max_pages,
                          int32_t* page_tables) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= num_entries) return;
  const PageTableEntry entry = entries[i];
  page_tables[int64_t{entry.row} * max_pages + entry.index] = entry.page;
}

}  // namespace

LaunchResult WritePageTables(const PageTableEntry* entries, int num_entries, int max_pages,
                             int32_t* page_tables, cudaStream_t stream) {
  if (num_entries == 0) return {};
  const int blocks = (num_entries + kThreads - 1) / kThreads;
  return AfterLaunch(device::Launch(WritePageTablesKernel, static_cast<unsigned>(blocks), kThreads,
                                    0, stream, entries, num_entries, max_pages, page_tables),
                     "page tables");
}

}  // namespace sluice::kernels::attention
