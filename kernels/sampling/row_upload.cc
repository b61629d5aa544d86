// SPDX-License-Identifier: Apache-2.0
#include "kernels/sampling/row_upload.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace sluice::kernels::sampling {
namespace {

bool UsesHistory(const RowInit& init) {
  return init.repetition_penalty != 1.0f || init.presence_penalty != 0.0f ||
         init.frequency_penalty != 0.0f;
}

// Stop ids that can never be masked are left out.
std::span<const int32_t> StopIds(const RowInit& init) {
  return init.num_outputs < init.min_tokens ? init.stop_ids : std::span<const int32_t>();
}

int32_t Clamp(int64_t value) {
  return static_cast<int32_t>(std::min<int64_t>(value, std::numeric_limits<int32_t>::max()));
}

UploadedRow RecordOf(const RowInit& init) {
  const bool history = UsesHistory(init);
  UploadedRow record;
  record.row = init.row;
  record.num_bias = static_cast<uint32_t>(init.logit_bias.size());
  record.num_allowed = static_cast<uint32_t>(init.allowed_ids.size());
  record.num_banned = static_cast<uint32_t>(init.banned_ids.size());
  record.num_stop = static_cast<uint32_t>(StopIds(init).size());
  record.num_prompt = history ? static_cast<uint32_t>(init.prompt.size()) : 0;
  record.num_output = history ? static_cast<uint32_t>(init.output.size()) : 0;
  const bool masks = record.num_allowed + record.num_banned + record.num_stop > 0;
  record.params = {.temperature = init.temperature,
                   .top_p = init.top_p,
                   .min_p = init.min_p,
                   .repetition_penalty = init.repetition_penalty,
                   .presence_penalty = init.presence_penalty,
                   .frequency_penalty = init.frequency_penalty,
                   .top_k = init.top_k,
                   .logprobs = init.logprobs < 0 ? -1 : std::min(init.logprobs, kMaxTopLogprobs),
                   .min_tokens = Clamp(init.min_tokens),
                   .choice = init.choice,
                   .seed = init.seed,
                   .num_outputs = Clamp(init.num_outputs),
                   .uses_marks = masks || history,
                   .uses_bias = record.num_bias > 0,
                   .uses_history = history,
                   .has_allowed = record.num_allowed > 0};
  return record;
}

size_t WordsOf(const UploadedRow& record) {
  return size_t{2} * record.num_bias + record.num_allowed + record.num_banned + record.num_stop +
         record.num_prompt + record.num_output;
}

}  // namespace

size_t RowUpload::BytesOf(const RowInit& init) {
  return sizeof(UploadedRow) + 4 * WordsOf(RecordOf(init));
}

void RowUpload::Add(const RowInit& init) {
  UploadedRow record = RecordOf(init);
  record.first_word = static_cast<uint32_t>(words_.size());
  words_.reserve(words_.size() + WordsOf(record));
  for (const LogitBias& bias : init.logit_bias) words_.push_back(static_cast<uint32_t>(bias.id));
  for (const LogitBias& bias : init.logit_bias) {
    words_.push_back(std::bit_cast<uint32_t>(bias.bias));
  }
  Append(init.allowed_ids);
  Append(init.banned_ids);
  Append(StopIds(init));
  if (record.params.uses_history) {
    Append(init.prompt);
    Append(init.output);
  }
  rows_.push_back(record);
}

void RowUpload::Clear() {
  rows_.clear();
  words_.clear();
}

void RowUpload::CopyTo(void* to) const {
  const size_t record_bytes = rows_.size() * sizeof(UploadedRow);
  if (!rows_.empty()) std::memcpy(to, rows_.data(), record_bytes);
  if (!words_.empty()) {
    std::memcpy(static_cast<char*>(to) + record_bytes, words_.data(), 4 * words_.size());
  }
}

void RowUpload::Append(std::span<const int32_t> ids) {
  for (const int32_t id : ids) words_.push_back(static_cast<uint32_t>(id));
}

}  // namespace sluice::kernels::sampling
