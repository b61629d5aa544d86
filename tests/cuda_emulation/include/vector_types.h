// SPDX-License-Identifier: Apache-2.0
// The toolkit's small vectors, with its alignments.
#pragma once

#include <cstdint>

#define SLUICE_VECTORS(type, name)                                                        \
  struct name##1 { type x; };                                                             \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                \
  struct name##3 { type x, y, z; };                                                       \
  struct alignas(sizeof(type) == 8 ? 16 : 4 * sizeof(type)) name##4 { type x, y, z, w; }; \
  constexpr name##1 make_##name##1(type x) { return {x}; }                                \
  constexpr name##2 make_##name##2(type x, type y) { return {x, y}; }                     \
  constexpr name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }          \
  constexpr name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
// clang-format off
SLUICE_VECTORS(int8_t, char)
SLUICE_VECTORS(uint8_t, uchar)
SLUICE_VECTORS(int16_t, short)
SLUICE_VECTORS(uint16_t, ushort)
SLUICE_VECTORS(int32_t, int)
SLUICE_VECTORS(uint32_t, uint)
SLUICE_VECTORS(long long, longlong)
SLUICE_VECTORS(unsigned long long, ulonglong)
SLUICE_VECTORS(float, float)
SLUICE_VECTORS(double, double)
// clang-format on
#undef SLUICE_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1)
      : x(width), y(height), z(depth) {}
};
