// SPDX-License-Identifier: Apache-2.0
// KvCache: one rank's KV pages of all layers, in float32. Which page belongs to whom is the
// scheduler's business; this is the memory. Pages cost memory once they are written, not before.
//
// Owned by the executor; its step thread uses it.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cpu/attention.h"
#include "worker/base/ids.h"
#include "worker/model/qwen3_config.h"

namespace sluice::worker {

class KvCache {
 public:
  // RESOURCE_EXHAUSTED when the machine does not have the address space.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const Qwen3Config& config, int tp_size,
                                                         int num_pages);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  int num_pages() const { return num_pages_; }
  kernels::cpu::KvPages Layer(int layer) const;

  // Copies the keys and values of all layers. REQUIRES: both below num_pages(), and different.
  void CopyPage(PageId from, PageId to) const;

  // Of one page over all layers, keys and values, on one rank.
  static int64_t BytesPerPage(const Qwen3Config& config, int tp_size);

 private:
  KvCache(float* memory, int64_t bytes, int num_layers, int num_pages, int local_kv_heads)
      : memory_(memory),
        bytes_(bytes),
        num_layers_(num_layers),
        num_pages_(num_pages),
        local_kv_heads_(local_kv_heads) {}

  float* const memory_;  // [layers][keys, values][num_pages][page]
  const int64_t bytes_;
  const int num_layers_;
  const int num_pages_;
  const int local_kv_heads_;
};

}  // namespace sluice::worker
