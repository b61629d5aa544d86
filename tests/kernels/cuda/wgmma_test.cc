// SPDX-License-Identifier: Apache-2.0
// The products of kernels/device/wgmma.cuh against a plain loop: every number of columns, A in
// shared memory and in registers, B K-major and MN-major. Values are small integers, so all sums
// are exact and every misplaced value shows.
#include <random>
#include <vector>

#include "tests/kernels/cuda/device_array.h"
#include "tests/kernels/device/wgmma_product.h"

namespace sluice::kernels::device {
namespace {

std::vector<__nv_bfloat16> Integers(std::mt19937& rng, size_t size) {
  std::uniform_int_distribution<int> integer(-9, 9);
  std::vector<__nv_bfloat16> values(size);
  for (__nv_bfloat16& value : values) value = __float2bfloat16(static_cast<float>(integer(rng)));
  return values;
}

class WgmmaTest : public CudaTest {
 protected:
  void Multiply(int columns, bool mn_major, bool a_in_registers) {
    SCOPED_TRACE(::testing::Message() << columns << " columns, MN-major " << mn_major
                                      << ", A in registers " << a_in_registers);
    std::mt19937 rng(static_cast<unsigned>(columns));
    const std::vector<__nv_bfloat16> a = Integers(rng, kProductRows * kProductDepth);
    const std::vector<__nv_bfloat16> b =
        Integers(rng, static_cast<size_t>(columns) * kProductDepth);
    const std::vector<float> a_floats = ToFloats(a), b_floats = ToFloats(b);
    const DeviceArray<__nv_bfloat16> a_device(a), b_device(b);
    DeviceArray<float> out(static_cast<size_t>(kProductRows) * static_cast<size_t>(columns));
    WgmmaProduct product;
    product.a = a_device.get();
    product.b = b_device.get();
    product.columns = columns;
    product.mn_major = mn_major;
    product.a_in_registers = a_in_registers;
    product.out = out.get();
    ExpectOk(RunWgmmaProduct(product, nullptr));
    const std::vector<float> actual = out.ToHost();
    for (int row = 0; row < kProductRows; ++row) {
      for (int column = 0; column < columns; ++column) {
        float sum = 0.0f;
        for (int k = 0; k < kProductDepth; ++k) {
          sum += a_floats[static_cast<size_t>(row * kProductDepth + k)] *
                 b_floats[static_cast<size_t>(mn_major ? k * columns + column
                                                       : column * kProductDepth + k)];
        }
        ASSERT_EQ(actual[static_cast<size_t>(row * columns + column)], sum)
            << "row " << row << " column " << column;
      }
    }
  }
};

TEST_F(WgmmaTest, MultipliesFromSharedMemory) {
  for (const int columns : {8, 16, 24, 32, 48, 64, 96, 128, 192, 256}) {
    Multiply(columns, false, false);
  }
}
TEST_F(WgmmaTest, MultipliesFromRegisters) {
  for (const int columns : {8, 16, 24, 32, 48, 64, 96, 128, 192, 256}) {
    Multiply(columns, false, true);
  }
}
TEST_F(WgmmaTest, MultipliesWithATransposedB) {
  for (const int columns : {64, 128, 192, 256}) {
    for (const bool a_in_registers : {false, true}) Multiply(columns, true, a_in_registers);
  }
}

}  // namespace
}  // namespace sluice::kernels::device
