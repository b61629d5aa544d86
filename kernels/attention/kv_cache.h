// SPDX-License-Identifier: Apache-2.0
// KvCache: a rank's keys and values of all layers, one array [layer][keys, values][page][kv_head]
// [kPageSlots][kHeadDim] of bf16. The executor allocates it, bytes() of it, as one piece.
#pragma once

#include "kernels/attention/kv_pages.h"

namespace sluice::kernels::attention {

struct KvCache {
  __nv_bfloat16* memory = nullptr;  // aligned to 16 bytes
  int num_layers = 0;
  int num_pages = 0;
  int num_kv_heads = 0;

  // Values of a page's keys (or values) in one layer: they lie in a row.
  SLUICE_HOST_DEVICE int64_t page_values() const {
    return int64_t{num_kv_heads} * kPageSlots * kHeadDim;
  }
  SLUICE_HOST_DEVICE int64_t bytes() const {
    return int64_t{num_layers} * 2 * num_pages * page_values() *
           static_cast<int64_t>(sizeof(__nv_bfloat16));
  }
  SLUICE_HOST_DEVICE KvPages Layer(int layer) const {
    __nv_bfloat16* keys = memory + int64_t{layer} * 2 * num_pages * page_values();
    return {keys, keys + num_pages * page_values(), num_kv_heads};
  }
};

}  // namespace sluice::kernels::attention
