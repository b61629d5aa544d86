// SPDX-License-Identifier: Apache-2.0
// Shuffles, votes and reductions of a warp (CUDA C++ Programming Guide, "Warp shuffle functions"
// and on). A value that the guide calls undefined is all ones.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "tests/cuda_emulation/simt.h"

namespace sluice::cuda_emulation {

struct Shuffle {
  uint64_t value = 0;
  int source = 0;  // the lane whose value is wanted
  uint64_t result = ~uint64_t{0};
};

[[gnu::no_sanitize_address]] inline void DoShuffle(void* const (&operands)[kWarpLanes]) {
  for (void* operand : operands) {
    if (operand == nullptr) continue;
    auto* own = static_cast<Shuffle*>(operand);
    const auto* source = static_cast<const Shuffle*>(operands[own->source]);
    if (source != nullptr) own->result = source->value;
  }
}

template <typename T>
T RunShuffle(uint32_t mask, T value, int source, Place place) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  Shuffle shuffle;
  std::memcpy(&shuffle.value, &value, sizeof(T));
  shuffle.source = source;
  WarpOperation(mask, DoShuffle, &shuffle, place);
  std::memcpy(&value, &shuffle.result, sizeof(T));
  return value;
}

// One value from each lane, one result for all.
template <typename T>
struct Reduction {
  T value = {};
  T result = {};
};

template <typename T, typename Combine>
[[gnu::no_sanitize_address]] void DoReduction(void* const (&operands)[kWarpLanes]) {
  bool first = true;
  T result = {};
  for (void* operand : operands) {
    if (operand == nullptr) continue;
    const T value = static_cast<Reduction<T>*>(operand)->value;
    result = first ? value : Combine{}(result, value);
    first = false;
  }
  for (void* operand : operands) {
    if (operand != nullptr) static_cast<Reduction<T>*>(operand)->result = result;
  }
}

template <typename T, typename Combine>
T RunReduction(uint32_t mask, T value, Place place) {
  Reduction<T> reduction = {value};
  WarpOperation(mask, DoReduction<T, Combine>, &reduction, place);
  return reduction.result;
}

struct Match {
  uint64_t value = 0;
  uint32_t result = 0;
};

inline void DoMatch(void* const (&operands)[kWarpLanes]) {
  for (void* operand : operands) {
    if (operand == nullptr) continue;
    auto* own = static_cast<Match*>(operand);
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      const auto* other = static_cast<const Match*>(operands[lane]);
      if (other != nullptr && other->value == own->value) own->result |= 1u << lane;
    }
  }
}

inline void DoNothing(void* const (&)[kWarpLanes]) {}

// What __syncthreads_or and its kin leave between two barriers.
inline int& BlockTally() {
  static int tally = 0;
  return tally;
}

}  // namespace sluice::cuda_emulation

#define SLUICE_PLACE sluice::cuda_emulation::Place place = sluice::cuda_emulation::Place::current()

inline void __syncwarp(unsigned mask = 0xffffffffu, SLUICE_PLACE) {
  int unused = 0;
  sluice::cuda_emulation::WarpOperation(mask, sluice::cuda_emulation::DoNothing, &unused, place);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SLUICE_PLACE) {
  const int first = sluice::cuda_emulation::Lane() & ~(width - 1);
  return sluice::cuda_emulation::RunShuffle(mask, value, first | (source & (width - 1)), place);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SLUICE_PLACE) {
  const int lane = sluice::cuda_emulation::Lane(), from = lane - static_cast<int>(delta);
  const int source = from < (lane & ~(width - 1)) ? lane : from;
  return sluice::cuda_emulation::RunShuffle(mask, value, source, place);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SLUICE_PLACE) {
  const int lane = sluice::cuda_emulation::Lane(), from = lane + static_cast<int>(delta);
  const int source = from > (lane | (width - 1)) ? lane : from;
  return sluice::cuda_emulation::RunShuffle(mask, value, source, place);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SLUICE_PLACE) {
  const int lane = sluice::cuda_emulation::Lane(), from = lane ^ lane_mask;
  const int source = from > (lane | (width - 1)) ? lane : from;
  return sluice::cuda_emulation::RunShuffle(mask, value, source, place);
}

#define SLUICE_REDUCTION(name, expression)                                                 \
  template <typename T>                                                                    \
  T name(unsigned mask, T value, SLUICE_PLACE) {                                           \
    const auto combine = [](T a, T b) -> T { return expression; };                         \
    return sluice::cuda_emulation::RunReduction<T, decltype(combine)>(mask, value, place); \
  }
SLUICE_REDUCTION(__reduce_add_sync, static_cast<T>(a + b))
SLUICE_REDUCTION(__reduce_min_sync, a < b ? a : b)
SLUICE_REDUCTION(__reduce_max_sync, a > b ? a : b)
SLUICE_REDUCTION(__reduce_and_sync, a& b)
SLUICE_REDUCTION(__reduce_or_sync, a | b)
SLUICE_REDUCTION(__reduce_xor_sync, a ^ b)
#undef SLUICE_REDUCTION

inline unsigned __ballot_sync(unsigned mask, int predicate, SLUICE_PLACE) {
  const unsigned bit = predicate != 0 ? 1u << sluice::cuda_emulation::Lane() : 0u;
  return __reduce_or_sync(mask, bit, place);
}
inline int __any_sync(unsigned mask, int predicate, SLUICE_PLACE) {
  return __reduce_or_sync(mask, static_cast<unsigned>(predicate != 0), place) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, SLUICE_PLACE) {
  return __reduce_and_sync(mask, static_cast<unsigned>(predicate != 0), place) != 0 ? 1 : 0;
}

template <typename T>
unsigned __match_any_sync(unsigned mask, T value, SLUICE_PLACE) {
  sluice::cuda_emulation::Match match;
  std::memcpy(&match.value, &value, sizeof(T));
  sluice::cuda_emulation::WarpOperation(mask, sluice::cuda_emulation::DoMatch, &match, place);
  return match.result;
}

inline int __syncthreads_count(int predicate, SLUICE_PLACE) {
  int& tally = sluice::cuda_emulation::BlockTally();
  sluice::cuda_emulation::BlockBarrier(place);
  tally = 0;
  sluice::cuda_emulation::BlockBarrier(place);
  tally += predicate != 0 ? 1 : 0;
  sluice::cuda_emulation::BlockBarrier(place);
  return tally;
}
inline int __syncthreads_or(int predicate, SLUICE_PLACE) {
  return __syncthreads_count(predicate, place) > 0 ? 1 : 0;
}
inline int __syncthreads_and(int predicate, SLUICE_PLACE) {
  return __syncthreads_count(predicate == 0 ? 1 : 0, place) == 0 ? 1 : 0;
}

#undef SLUICE_PLACE
