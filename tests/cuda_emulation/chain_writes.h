// SPDX-License-Identifier: Apache-2.0
// ChainWrites: what the kernels of a chain have written: those that run one behind the other in a
// stream, chained, so that on a GPU the beginnings of the later ones overlap with all before them.
// Of writes that fall into one place of its table the last is known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::cuda_emulation {

class ChainWrites {
 public:
  static constexpr size_t kLineBytes = 16;

  void Note(uint64_t chain, const uint8_t* at, size_t bytes) {
    ForLines(at, bytes, [&](uintptr_t line) { Of(line) = {line, chain}; });
  }
  bool Has(uint64_t chain, const uint8_t* at, size_t bytes) {
    bool has = false;
    ForLines(at, bytes,
             [&](uintptr_t line) { has |= Of(line).line == line && Of(line).chain == chain; });
    return has;
  }

 private:
  struct Write {
    uintptr_t line = 0;
    uint64_t chain = 0;
  };

  template <typename F>
  static void ForLines(const uint8_t* at, size_t bytes, F f) {
    const auto first = reinterpret_cast<uintptr_t>(at) / kLineBytes;
    const auto last = (reinterpret_cast<uintptr_t>(at) + bytes - 1) / kLineBytes;
    for (uintptr_t line = first; line <= last; ++line) f(line);
  }
  Write& Of(uintptr_t line) { return table_[line % table_.size()]; }

  std::vector<Write> table_ = std::vector<Write>(size_t{1} << 18);
};

}  // namespace sluice::cuda_emulation
