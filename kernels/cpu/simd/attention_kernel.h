// SPDX-License-Identifier: Apache-2.0
// Paged attention on the including file's Vec. Formula and order: attention.h. One call is a tile
// of queries that share pages (the heads of one KV head's group, for some neighbouring tokens), so
// a page is loaded once for all of them: scores have slots as lanes, outputs have head_dim as
// lanes. Decode is bound by reading KV (8 bytes per slot and dimension), prefill by FMA.
#pragma once

namespace sluice::kernels::cpu::simd {
namespace {

// Brings the slab that the next pass reads (32 KiB at head_dim 128) into the second-level cache, as
// the current pass goes: keys and values are walked in strides that the hardware does not foresee.
struct Prefetch {
  const char* next = nullptr;
  const char* end = nullptr;

  // Takes the slab, which only the first rows of a page find set: later ones find it in the cache.
  void Begin(const float*& slab, int head_dim) {
    if (slab == nullptr) return;
    next = reinterpret_cast<const char*>(slab);
    end = next + int64_t{4} * kPageSlots * head_dim;
    slab = nullptr;
  }
  // Called once per iteration of an inner loop over two vectors; a pass has as many as the slab has
  // lines.
  void Advance() {
    constexpr int kLines = Vec::kLanes > 8 ? Vec::kLanes / 8 : 1;
    for (int i = 0; i < kLines && next != end; ++i, next += 64) __builtin_prefetch(next, 0, 2);
  }
};

struct AttentionState {
  alignas(64) float out[kMaxTileRows][kMaxDim];
  alignas(64) float p[kMaxTileRows][kPageSlots];  // scores, then probabilities
  float max[kMaxTileRows];
  float sum[kMaxTileRows];
  int valid[kMaxTileRows];  // slots of the current page that the row attends to
  Prefetch ahead;
  const float* upcoming_values;  // this page's
  const float* upcoming_keys;    // the next page's; null on the last
};

// scores[r][slot] of kRows rows for two vectors of slots.
template <int kRows>
inline void ScoreRows(const AttentionArgs& a, const float* keys, int row, int slot,
                      AttentionState& st) {
  Vec::F s[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) s[r][0] = s[r][1] = Vec::Zero();
  const float* const* q = a.q + row;
  const float* k = keys + slot;
  Prefetch ahead = st.ahead;
  for (int d = 0; d < a.head_dim; ++d, k += kPageSlots) {
    const Vec::F k0 = Vec::Load(k);
    const Vec::F k1 = Vec::Load(k + Vec::kLanes);
    ahead.Advance();
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec::F qd = Vec::Set(q[r][d]);
      s[r][0] = Vec::Fma(qd, k0, s[r][0]);
      s[r][1] = Vec::Fma(qd, k1, s[r][1]);
    }
  }
  st.ahead = ahead;
  const Vec::F scale = Vec::Set(a.scale);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    Vec::Store(st.p[row + r] + slot, Vec::Mul(s[r][0], scale));
    Vec::Store(st.p[row + r] + slot + Vec::kLanes, Vec::Mul(s[r][1], scale));
  }
}

// out[r][d..] = fma(p[r][t], v[t][d..], out) for t in [t_begin, t_end), kWide vectors of d.
template <int kRows, int kWide>
inline void MixRows(const AttentionArgs& a, const float* values, int row, int d, int t_begin,
                    int t_end, AttentionState& st) {
  Vec::F o[kRows][kWide];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kWide; ++i) o[r][i] = Vec::Load(st.out[row + r] + d + i * Vec::kLanes);
  }
  const float* v = values + t_begin * a.head_dim + d;
  Prefetch ahead = st.ahead;
  for (int t = t_begin; t < t_end; ++t, v += a.head_dim) {
    Vec::F vt[kWide];
    for (int i = 0; i < kWide; ++i) vt[i] = Vec::Load(v + i * Vec::kLanes);
    ahead.Advance();
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec::F pt = Vec::Set(st.p[row + r][t]);
      for (int i = 0; i < kWide; ++i) o[r][i] = Vec::Fma(pt, vt[i], o[r][i]);
    }
  }
  st.ahead = ahead;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kWide; ++i) Vec::Store(st.out[row + r] + d + i * Vec::kLanes, o[r][i]);
  }
}

template <int kRows>
inline void MixAllDims(const AttentionArgs& a, const float* values, int row, int t_begin, int t_end,
                       AttentionState& st) {
  if (t_begin >= t_end) return;
  int d = 0;
  for (; d + 2 * Vec::kLanes <= a.head_dim; d += 2 * Vec::kLanes) {
    MixRows<kRows, 2>(a, values, row, d, t_begin, t_end, st);
  }
  if (d < a.head_dim) MixRows<kRows, 1>(a, values, row, d, t_begin, t_end, st);
}

// The online softmax step of one row: turns its scores into probabilities and rescales what it has.
inline void SoftmaxRow(const AttentionArgs& a, int row, AttentionState& st) {
  constexpr float kNone = -__builtin_inff();
  float* p = st.p[row];
  const int valid = st.valid[row];
  Vec::F max = Vec::Set(kNone);
  for (int t = 0; t < valid; t += Vec::kLanes) {
    max = Vec::Max(Vec::SelectTail(valid - t, Vec::Load(p + t), kNone), max);
  }
  float lane[Vec::kLanes];
  Vec::Store(lane, max);
  float m = st.max[row];
  for (int i = 0; i < Vec::kLanes; ++i) m = lane[i] > m ? lane[i] : m;

  Lanes16 sum = Lanes16::Filled(0.0f);
  const Vec::F new_max = Vec::Set(m);
  for (int t = 0; t < valid; t += 16) {
    for (int j = 0; j < Lanes16::kVecs; ++j) {
      const int slot = t + j * Vec::kLanes;
      // Selected away, never multiplied: an unused slot may hold NaN.
      const Vec::F e =
          Vec::SelectTail(valid - slot, Exp(Vec::Sub(Vec::Load(p + slot), new_max)), 0.0f);
      Vec::Store(p + slot, e);
      sum.v[j] = Vec::Add(sum.v[j], e);
    }
  }
  const Vec::F correction = Exp(Vec::Sub(Vec::Set(st.max[row]), new_max));
  Vec::Store(lane, Vec::Fma(Vec::Set(st.sum[row]), correction, Vec::Set(sum.TreeSum())));
  st.sum[row] = lane[0];
  st.max[row] = m;
  Vec::Store(lane, correction);
  if (lane[0] == 1.0f) return;  // the maximum stayed: multiplying by 1 changes nothing
  for (int d = 0; d < a.head_dim; d += Vec::kLanes) {
    Vec::Store(st.out[row] + d, Vec::Mul(Vec::Load(st.out[row] + d), correction));
  }
}

template <int kRows>
inline void PageRows(const AttentionArgs& a, const float* keys, const float* values, int row,
                     AttentionState& st) {
  int least = st.valid[row];
  int most = st.valid[row];
  for (int r = 1; r < kRows; ++r) {
    least = st.valid[row + r] < least ? st.valid[row + r] : least;
    most = st.valid[row + r] > most ? st.valid[row + r] : most;
  }
  st.ahead.Begin(st.upcoming_values, a.head_dim);
  for (int slot = 0; slot < most; slot += 2 * Vec::kLanes) ScoreRows<kRows>(a, keys, row, slot, st);
  for (int r = 0; r < kRows; ++r) SoftmaxRow(a, row + r, st);
  st.ahead.Begin(st.upcoming_keys, a.head_dim);
  MixAllDims<kRows>(a, values, row, 0, least, st);
  for (int r = 0; r < kRows; ++r) MixAllDims<1>(a, values, row + r, least, st.valid[row + r], st);
}

template <int kRows>
inline void PageRowsTail(int rows, const AttentionArgs& a, const float* keys, const float* values,
                         int row, AttentionState& st) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      PageRows<kRows>(a, keys, values, row, st);
    } else {
      PageRowsTail<kRows - 1>(rows, a, keys, values, row, st);
    }
  }
}

void AttentionKernel(const AttentionArgs& a) {
  constexpr int kTile = Vec::kRowTile < 6 ? Vec::kRowTile : 6;
  AttentionState st;
  for (int r = 0; r < a.num_rows; ++r) {
    st.max[r] = -__builtin_inff();
    st.sum[r] = 0.0f;
    for (int d = 0; d < a.head_dim; d += Vec::kLanes) Vec::Store(st.out[r] + d, Vec::Zero());
  }
  const int last_page = a.position[a.num_rows - 1] / kPageSlots;
  for (int page = 0; page <= last_page; ++page) {
    const float* keys = a.keys + a.page_table[page] * a.page_floats;
    const float* values = a.values + a.page_table[page] * a.page_floats;
    st.upcoming_values = values;
    st.upcoming_keys = page < last_page ? a.keys + a.page_table[page + 1] * a.page_floats : nullptr;
    int row = 0;
    while (a.position[row] < page * kPageSlots) ++row;  // done with their last page
    for (int r = row; r < a.num_rows; ++r) {
      const int valid = a.position[r] - page * kPageSlots + 1;
      st.valid[r] = valid < kPageSlots ? valid : kPageSlots;
    }
    for (; row + kTile <= a.num_rows; row += kTile) PageRows<kTile>(a, keys, values, row, st);
    PageRowsTail<kTile - 1>(a.num_rows - row, a, keys, values, row, st);
  }
  for (int r = 0; r < a.num_rows; ++r) {
    const Vec::F sum = Vec::Set(st.sum[r]);
    for (int d = 0; d < a.head_dim; d += Vec::kLanes) {
      Vec::Store(a.out[r] + d, Vec::Div(Vec::Load(st.out[r] + d), sum));
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::cpu::simd
