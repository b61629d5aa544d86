// SPDX-License-Identifier: Apache-2.0
#include "worker/model/kv_cache.h"

#include <sys/mman.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice::worker {

static_assert(kPageTokens == kernels::cpu::kKvPageSlots);

int64_t KvCache::BytesPerPage(const Qwen3Config& config, int tp_size) {
  return int64_t{2} * config.num_layers * (config.num_kv_heads / tp_size) * kPageTokens * kHeadDim *
         static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const Qwen3Config& config, int tp_size,
                                                         int num_pages) {
  const int64_t bytes = BytesPerPage(config, tp_size) * num_pages;
  void* memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", num_pages, " KV pages of ",
                                                     BytesPerPage(config, tp_size),
                                                     " bytes; lower --kv-cache-memory"));
  }
  return std::unique_ptr<KvCache>(new KvCache(static_cast<float*>(memory), bytes, config.num_layers,
                                              num_pages, config.num_kv_heads / tp_size));
}

KvCache::~KvCache() { munmap(memory_, static_cast<size_t>(bytes_)); }

kernels::cpu::KvPages KvCache::Layer(int layer) const {
  kernels::cpu::KvPages pages;
  pages.num_kv_heads = local_kv_heads_;
  pages.head_dim = kHeadDim;
  const int64_t floats = pages.page_floats() * num_pages_;
  pages.keys = memory_ + 2 * layer * floats;
  pages.values = pages.keys + floats;
  return pages;
}

void KvCache::CopyPage(PageId from, PageId to) const {
  for (int layer = 0; layer < num_layers_; ++layer) {
    const kernels::cpu::KvPages pages = Layer(layer);
    const int64_t floats = pages.page_floats();
    const auto bytes = static_cast<size_t>(floats) * sizeof(float);
    std::memcpy(pages.keys + to * floats, pages.keys + from * floats, bytes);
    std::memcpy(pages.values + to * floats, pages.values + from * floats, bytes);
  }
}

}  // namespace sluice::worker
