// SPDX-License-Identifier: Apache-2.0
// KvPages: one layer's keys and values of one rank, in pages of 64 tokens, bf16. A page's part of a
// head is 16 KB in a row, in the order in which tensor cores and bulk copies like it.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/host/host_device.h"

namespace sluice::kernels::attention {

inline constexpr int kPageSlots = 64;
inline constexpr int kHeadDim = 128;

struct KvPages {
  // [num_pages][num_kv_heads][kPageSlots][kHeadDim], aligned to 16 bytes
  __nv_bfloat16* keys = nullptr;
  __nv_bfloat16* values = nullptr;  // the same
  int num_kv_heads = 0;

  // Of the first element of a slot. page may be any page, slot below kPageSlots.
  SLUICE_HOST_DEVICE int64_t Offset(int page, int kv_head, int slot) const {
    return ((int64_t{page} * num_kv_heads + kv_head) * kPageSlots + slot) * kHeadDim;
  }
};

}  // namespace sluice::kernels::attention
