// SPDX-License-Identifier: Apache-2.0
// What decode attention counts its work in, units of 16 slots, and the order in which blocks share
// them out: row after row, of each its KV heads.
#pragma once

#include <cstdint>

#include "kernels/attention/decode_attention.h"

namespace sluice::kernels::attention {

// Of one row and KV head, neighbouring ones.
constexpr int kUnitSlots = 16;
static_assert(kPageSlots % kUnitSlots == 0);

__device__ inline int UnitsOf(int length) { return (length + kUnitSlots - 1) / kUnitSlots; }

// All units of a row for one KV head, in the order of all units.
struct Segment {
  int row, kv_head;
  int begin;             // the number of its first unit
  int units, length;     // of the row
  const int32_t* pages;  // the row's

  __device__ int end() const { return begin + units; }
  __device__ void LoadRow(const DecodeAttention& p) {
    length = __ldg(p.lengths + row);
    units = UnitsOf(length);
    pages = p.page_tables + int64_t{__ldg(p.table_rows + row)} * p.max_pages;
  }
  // Whether the step writes no slot of the unit: so of all but the row's last.
  __device__ bool IsOld(int unit) const { return (unit - begin + 1) * kUnitSlots < length; }
  // REQUIRES: there is another unit.
  __device__ void Next(const DecodeAttention& p) {
    begin += units;
    if (++kv_head < p.pages.num_kv_heads) return;
    kv_head = 0;
    do {
      ++row;
      LoadRow(p);
    } while (units == 0);
  }
};

// That of the share's first unit.
__device__ inline Segment FirstSegment(const DecodeAttention& p, const DecodeShare& share) {
  Segment segment;
  segment.row = share.row;
  segment.LoadRow(p);
  segment.kv_head = (share.begin - share.first_of_row) / segment.units;
  segment.begin = share.first_of_row + segment.kv_head * segment.units;
  return segment;
}

}  // namespace sluice::kernels::attention
