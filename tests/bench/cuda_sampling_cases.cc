// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cuda_sampling_cases.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

#include "kernels/sampling/row_upload.h"
#include "kernels/sampling/sample.h"
#include "kernels/sampling/set_rows.h"

namespace sluice::kernels {
namespace {

constexpr int kVocabulary = 151936, kTokenIds = 151669;

struct Way {
  const char* name;
  sampling::RowInit init;
};

std::vector<Way> Ways() {
  sampling::RowInit greedy, plain, top_k, top_p, penalties;
  greedy.temperature = 0.0f;
  top_k.temperature = 0.6f;
  top_k.top_k = 20;
  top_k.top_p = 0.95f;
  top_p.top_p = 0.95f;
  penalties = top_k;
  penalties.presence_penalty = 1.0f;
  sampling::RowInit logprobs = greedy;
  logprobs.logprobs = 20;
  return {{"greedy", greedy}, {"greedy, 20 log probabilities", logprobs},
          {"all ids", plain}, {"top-k 20 and top-p", top_k},
          {"top-p", top_p},   {"top-k 20, top-p, penalty", penalties}};
}

// A wide bulk, and a few dozen ids that stand out; rows repeat.
std::vector<float> Logits(int rows) {
  std::mt19937 rng(5);
  std::normal_distribution<float> bulk(0.0f, 2.5f);
  std::exponential_distribution<float> head(0.4f);
  constexpr size_t kDistinct = 8;
  std::vector<float> logits(static_cast<size_t>(rows) * kVocabulary);
  const size_t made = std::min(logits.size(), kDistinct * kVocabulary);
  for (size_t i = 0; i < made; ++i) {
    logits[i] = rng() % 4000 == 0 ? 8.0f + head(rng) : bulk(rng);
  }
  for (size_t i = made; i < logits.size(); ++i) logits[i] = logits[i - made];
  return logits;
}

// The sampler's memory for so many rows, each of which samples once a step.
class Sampler {
 public:
  Sampler(int rows, const Gpu& gpu)
      : bytes_(sampling::BytesOfSamplerState(rows, kVocabulary)),
        params_(bytes_.params / sizeof(sampling::RowParams)),
        num_outputs_(static_cast<size_t>(rows)),
        last_ids_(static_cast<size_t>(rows)),
        marks_(bytes_.marks / sizeof(uint32_t)),
        bias_(bytes_.bias / sizeof(float)),
        logits_(static_cast<size_t>(rows) * kVocabulary),
        rows_(static_cast<size_t>(rows)),
        indices_(static_cast<size_t>(rows)),
        drafts_(static_cast<size_t>(rows)),
        ids_(static_cast<size_t>(rows)),
        status_(static_cast<size_t>(rows)),
        logprobs_(static_cast<size_t>(rows)),
        workspace_(sampling::SamplerWorkspaceBytes(rows, kVocabulary)) {
    std::vector<int32_t> all(static_cast<size_t>(rows));
    std::iota(all.begin(), all.end(), 0);
    rows_.Fill(all);
    drafts_.Fill(std::vector<int32_t>(static_cast<size_t>(rows), -1));
    logits_.Fill(Logits(rows));
    step_.logits = {.base = logits_.get(), .world = 1, .shard_width = kVocabulary};
    step_.state = {params_.get(), num_outputs_.get(), last_ids_.get(), marks_.get(), bias_.get(),
                   rows,          kVocabulary};
    step_.num_token_ids = kTokenIds;
    step_.rows = rows_.get();
    step_.indices = indices_.get();
    step_.drafts = drafts_.get();
    step_.num_logits = rows;
    step_.num_sms = gpu.num_sms;
    step_.workspace = workspace_.get();
    step_.ids = ids_.get();
    step_.status = status_.get();
    step_.logprobs = logprobs_.get();
  }

  void SetRows(sampling::RowInit init) {
    sampling::RowUpload upload;
    for (int row = 0; row < step_.num_logits; ++row) {
      init.row = row;
      init.seed = static_cast<uint64_t>(row);
      upload.Add(init);
    }
    std::vector<char> packed(upload.bytes());
    upload.CopyTo(packed.data());
    Memory<char> device(packed.size());
    device.Fill(packed);
    Check(sampling::RunSetRows({device.get(), upload.num_rows(), step_.state}, nullptr));
    Check(cudaDeviceSynchronize());
    step_.any_random = init.temperature > 0.0f;
    step_.any_broad = step_.any_random && sampling::IsBroad(init.top_k);
    step_.any_broad_cut = step_.any_broad && (init.top_k > 0 || init.top_p < 1.0f);
    step_.any_logprobs = init.logprobs >= 0;
  }

  double Microseconds() const {
    return GraphMicroseconds(
        20, [&](int, cudaStream_t stream) { Check(sampling::RunSample(step_, stream)); });
  }

 private:
  const sampling::SamplerStateBytes bytes_;
  const Memory<sampling::RowParams> params_;
  const Memory<int32_t> num_outputs_, last_ids_;
  const Memory<uint32_t> marks_;
  const Memory<float> bias_;
  Memory<float> logits_;
  Memory<int32_t> rows_, indices_, drafts_;
  const Memory<int32_t> ids_;
  const Memory<sampling::SampleStatus> status_;
  const Memory<sampling::Logprobs> logprobs_;
  const Memory<char> workspace_;
  sampling::Sample step_;
};

}  // namespace

void BenchSampling(const std::vector<int>& row_counts, const Gpu& gpu, Report& report) {
  for (const int rows : row_counts) {
    Sampler sampler(rows, gpu);
    for (const Way& way : Ways()) {
      sampler.SetRows(way.init);
      report.Case(std::string("sampling, ") + way.name + ", rows " + std::to_string(rows),
                  sampler.Microseconds(), 4.0 * kVocabulary * rows);
    }
  }
}

}  // namespace sluice::kernels
