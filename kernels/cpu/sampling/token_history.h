// SPDX-License-Identifier: Apache-2.0
// What penalties need to know about one row: which ids its prompt holds, and how often each was
// generated. Sparse, since a row touches a small part of the vocabulary. Kept by the executor on
// the rank that samples, for rows whose parameters use a penalty; rebuilt from the ids when a row
// resumes. Not thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace sluice::kernels::cpu {

class TokenHistory {
 public:
  struct Entry {
    int32_t id = 0;
    int32_t output_count = 0;
    bool in_prompt = false;
  };

  void AddPrompt(std::span<const int32_t> ids);
  void AddOutput(std::span<const int32_t> ids);

  // One entry per distinct id, in order of first appearance.
  std::span<const Entry> entries() const { return entries_; }

 private:
  Entry& At(int32_t id);

  std::vector<Entry> entries_;
  std::unordered_map<int32_t, int32_t> index_;  // id -> index into entries_
};

}  // namespace sluice::kernels::cpu
