// SPDX-License-Identifier: Apache-2.0
// The page tables of all rows live in device memory, and a step tells only what was appended.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/host/launch_result.h"

namespace sluice::kernels::attention {

struct PageTableEntry {
  int32_t row = 0;
  int32_t index = 0;  // position / kPageSlots
  int32_t page = 0;
};

// page_tables [rows][max_pages]; entries: num_entries of them, device memory, no place named twice.
// The caller has checked that they lie inside.
LaunchResult WritePageTables(const PageTableEntry* entries, int num_entries, int max_pages,
                             int32_t* page_tables, cudaStream_t stream);

}  // namespace sluice::kernels::attention
