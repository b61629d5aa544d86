// SPDX-License-Identifier: Apache-2.0
// Copies whole pages within a rank's KV cache, in all layers: what several choices of one prompt
// need for the page that their prompt ends in.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/attention/kv_cache.h"
#include "kernels/host/launch_result.h"

namespace sluice::kernels::attention {

struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
};

// copies: num_copies of them, device memory, in no particular order: no page is the target of two,
// and none is both a target and a source. The caller has checked that the pages exist.
LaunchResult CopyPages(const KvCache& cache, const PageCopy* copies, int num_copies,
                       cudaStream_t stream);

}  // namespace sluice::kernels::attention
