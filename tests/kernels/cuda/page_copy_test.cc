// SPDX-License-Identifier: Apache-2.0
// Copies of pages in all layers, bit for bit, against the same copies on the host.
#include "kernels/attention/page_copy.h"

#include <algorithm>

#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::attention {
namespace {

class PageCopyTest : public CudaTest {};

TEST_F(PageCopyTest, CopiesInAllLayersAndNothingElse) {
  KvCache cache = {nullptr, 3, 7, 2};
  std::vector<uint16_t> memory(static_cast<size_t>(cache.bytes()) / 2);
  std::mt19937 rng(1);
  for (uint16_t& value : memory) value = static_cast<uint16_t>(rng());
  const DeviceArray<uint16_t> device(memory);
  cache.memory = reinterpret_cast<__nv_bfloat16*>(device.get());
  const std::vector<PageCopy> copies = {{1, 4}, {1, 6}, {3, 0}};
  const DeviceArray<PageCopy> copies_device(copies);
  ExpectOk(CopyPages(cache, copies_device.get(), 3, nullptr));
  const int64_t page = cache.page_values();
  EXPECT_EQ(page, 2 * 64 * 128);
  for (int plane = 0; plane < 2 * 3; ++plane) {  // keys and values of each layer
    for (const PageCopy& copy : copies) {
      const auto first = memory.begin() + plane * 7 * page;
      std::copy_n(first + copy.from * page, page, first + copy.to * page);
    }
  }
  EXPECT_EQ(device.ToHost(), memory);
}

TEST_F(PageCopyTest, LayersLieBehindEachOther) {
  __nv_bfloat16* memory = nullptr;
  const DeviceArray<__nv_bfloat16> device(16);
  memory = device.get();
  const KvCache cache = {memory, 3, 7, 2};
  EXPECT_EQ(cache.bytes(), 3 * 2 * 7 * 2 * 64 * 128 * 2);
  EXPECT_EQ(cache.Layer(0).keys, memory);
  EXPECT_EQ(cache.Layer(2).keys - memory, 2 * 2 * 7 * 2 * 64 * 128);
  EXPECT_EQ(cache.Layer(2).values - cache.Layer(2).keys, 7 * 2 * 64 * 128);
  EXPECT_EQ(cache.Layer(1).num_kv_heads, 2);
}

TEST_F(PageCopyTest, NoCopies) { ExpectOk(CopyPages({nullptr, 3, 7, 2}, nullptr, 0, nullptr)); }

}  // namespace
}  // namespace sluice::kernels::attention
