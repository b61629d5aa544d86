// SPDX-License-Identifier: Apache-2.0
// The GPU's sampler beside the CPU's, row by row and step by step: SamplerPair keeps the state of
// both, runs a step on both and compares everything they say.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/sampling/logprobs.h"
#include "kernels/cpu/sampling/sampling.h"
#include "kernels/sampling/row_upload.h"
#include "kernels/sampling/sample.h"
#include "kernels/sampling/set_rows.h"
#include "tests/kernels/cuda/device_array.h"

namespace sluice::kernels::sampling {

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Owns what the two samplers' parameters only point to.
struct RowCase {
  cpu::SamplerParams params;
  std::vector<cpu::LogitBias> bias;
  std::vector<int32_t> allowed, banned, stop, prompt, output;
  int logprobs = -1;

  cpu::SamplerParams CpuParams() const {
    cpu::SamplerParams p = params;
    p.logit_bias = bias;
    p.allowed_ids = allowed;
    p.banned_ids = banned;
    p.stop_ids = stop;
    return p;
  }

  void AddTo(int row, RowUpload* upload) const {
    std::vector<LogitBias> biases;
    for (const cpu::LogitBias& b : bias) biases.push_back({b.id, b.bias});
    const RowInit init = {.row = row,
                          .temperature = params.temperature,
                          .top_k = params.top_k,
                          .top_p = params.top_p,
                          .min_p = params.min_p,
                          .repetition_penalty = params.repetition_penalty,
                          .presence_penalty = params.presence_penalty,
                          .frequency_penalty = params.frequency_penalty,
                          .logit_bias = biases,
                          .allowed_ids = allowed,
                          .banned_ids = banned,
                          .stop_ids = stop,
                          .min_tokens = params.min_tokens,
                          .seed = params.seed,
                          .choice = params.choice,
                          .logprobs = logprobs,
                          .prompt = prompt,
                          .output = output,
                          .num_outputs = static_cast<int64_t>(output.size())};
    const size_t before = upload->bytes();
    upload->Add(init);
    EXPECT_EQ(upload->bytes() - before, RowUpload::BytesOf(init));
  }
};

struct Shape {
  int vocab = 0;
  int num_token_ids = 0;
  int world = 1;
  int num_sms = 4;
};

// Rows of logits in the order of a group's gathered shards.
inline std::vector<float> Sharded(const std::vector<float>& logits, const Shape& shape) {
  const auto vocab = static_cast<size_t>(shape.vocab);
  const size_t rows = logits.size() / vocab, width = vocab / static_cast<size_t>(shape.world);
  std::vector<float> out(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const size_t row = i / vocab, id = i % vocab;
    out[id / width * rows * width + row * width + id % width] = logits[i];
  }
  return out;
}

inline LogitsView ViewOf(const DeviceArray<float>& logits, const Shape& shape) {
  return {.base = logits.get(),
          .world = shape.world,
          .shard_width = shape.vocab / shape.world,
          .shard_stride = static_cast<int64_t>(logits.size()) / shape.world};
}

inline void ExpectSameLogprobs(const Logprobs& got, const cpu::Logprobs& expected) {
  EXPECT_EQ(got.finite != 0, expected.finite);
  if (!expected.finite) return;
  EXPECT_NEAR(got.chosen, expected.chosen, 4e-6);
  ASSERT_EQ(got.num_top, expected.num_top);
  for (int i = 0; i < got.num_top; ++i) {
    EXPECT_EQ(got.top_ids[i], expected.top_ids[i]) << "place " << i;
    EXPECT_NEAR(got.top_logprobs[i], expected.top_logprobs[i], 4e-6) << "place " << i;
  }
}

class SamplerPair {
 public:
  // A row of a step: so many drafts after its own logits.
  struct RowRun {
    int row = 0;
    std::vector<int32_t> drafts;
  };
  struct Options {
    bool processed_logprobs = false;
    bool any_random = true;
    bool any_broad = true;
    bool any_broad_cut = true;
    bool any_logprobs = true;
    int num_padded = 0;     // rows of logits beyond the valid ones
    bool in_graph = false;  // captured and replayed
  };

  SamplerPair(const Shape& shape, int max_rows)
      : shape_(shape),
        params_(Count(max_rows)),
        num_outputs_(Count(max_rows)),
        last_ids_(Count(max_rows)),
        marks_(Count(max_rows) * static_cast<size_t>(PlaneStride(shape.vocab))),
        bias_(Count(max_rows) * static_cast<size_t>(PlaneStride(shape.vocab))) {
    state_ = {.params = params_.get(),
              .num_outputs = num_outputs_.get(),
              .last_ids = last_ids_.get(),
              .marks = marks_.get(),
              .bias = bias_.get(),
              .max_rows = max_rows,
              .vocab = shape.vocab};
  }

  void Add(const std::map<int, RowCase>& rows) {
    RowUpload upload;
    for (const auto& [row, c] : rows) {
      c.AddTo(row, &upload);
      CpuRow& r = rows_[row] = CpuRow{.c = c};
      r.history.AddPrompt(c.prompt);
      r.history.AddOutput(c.output);
      r.num_outputs = static_cast<int64_t>(c.output.size());
    }
    std::vector<char> bytes(upload.bytes());
    upload.CopyTo(bytes.data());
    const DeviceArray<char> device(bytes);
    ExpectOk(RunSetRows({device.get(), upload.num_rows(), state_}, nullptr));
  }

  // What the CPU would sample next, were these the logits of one position after the other.
  std::vector<int32_t> Foresee(int row, const std::vector<float>& logits) {
    CpuRow r = rows_.at(row);
    std::vector<int32_t> ids;
    for (size_t i = 0; i < logits.size() / Count(shape_.vocab); ++i) {
      ids.push_back(SampleOnCpu(r, RowOf(logits, i)).id);
      Append(&r, ids.back());
    }
    return ids;
  }

  // logits [positions of all runs, in order][vocab]. Returns the GPU's ids.
  std::vector<int32_t> Step(const std::vector<RowRun>& runs, const std::vector<float>& logits,
                            const Options& options) {
    std::vector<int32_t> rows, indices, drafts;
    for (const RowRun& run : runs) {
      for (size_t i = 0; i <= run.drafts.size(); ++i) {
        rows.push_back(run.row);
        indices.push_back(static_cast<int32_t>(i));
        drafts.push_back(i < run.drafts.size() ? run.drafts[i] : -1);
      }
    }
    const auto num_valid = static_cast<int32_t>(rows.size());
    EXPECT_EQ(logits.size(), rows.size() * Count(shape_.vocab));
    std::vector<float> all = logits;
    all.resize(all.size() + Count(options.num_padded) * Count(shape_.vocab), kNan);
    for (int i = 0; i < options.num_padded; ++i) {
      rows.push_back(0);
      indices.push_back(0);
      drafts.push_back(-1);
    }
    const DeviceArray<float> device_logits(Sharded(all, shape_));
    const DeviceArray<int32_t> device_rows(rows), device_indices(indices), device_drafts(drafts);
    const DeviceArray<int32_t> valid(std::vector<int32_t>{num_valid});
    const DeviceArray<int32_t> ids(rows.size());
    const DeviceArray<SampleStatus> status(rows.size());
    const DeviceArray<Logprobs> logprobs(rows.size());
    const auto total = static_cast<int>(rows.size());
    const DeviceArray<char> workspace(SamplerWorkspaceBytes(total, shape_.vocab));
    Launch({.logits = ViewOf(device_logits, shape_),
            .state = state_,
            .num_token_ids = shape_.num_token_ids,
            .rows = device_rows.get(),
            .indices = device_indices.get(),
            .drafts = device_drafts.get(),
            .num_valid = options.num_padded > 0 ? valid.get() : nullptr,
            .num_logits = total,
            .any_random = options.any_random,
            .any_broad = options.any_broad,
            .any_broad_cut = options.any_broad_cut,
            .any_logprobs = options.any_logprobs,
            .processed_logprobs = options.processed_logprobs,
            .num_sms = shape_.num_sms,
            .workspace = workspace.get(),
            .ids = ids.get(),
            .status = status.get(),
            .logprobs = options.any_logprobs ? logprobs.get() : nullptr},
           options.in_graph);
    ids_ = ids.ToHost();
    status_ = status.ToHost();
    logprobs_ = logprobs.ToHost();
    size_t at = 0;
    for (const RowRun& run : runs) {
      SCOPED_TRACE("row " + std::to_string(run.row));
      CheckRun(run, logits, at, options);
      at += run.drafts.size() + 1;
    }
    for (; at < ids_.size(); ++at) {
      EXPECT_EQ(ids_[at], -1);
      EXPECT_EQ(status_[at], SampleStatus::kNotReached);
    }
    CheckState();
    CheckTakeSamples(device_rows, device_indices, ids);
    return ids_;
  }
  std::vector<int32_t> Step(const std::vector<RowRun>& runs, const std::vector<float>& logits) {
    return Step(runs, logits, Options{});
  }

  const std::vector<SampleStatus>& status() const { return status_; }
  const std::vector<Logprobs>& logprobs() const { return logprobs_; }

 private:
  struct CpuRow {
    RowCase c;
    cpu::TokenHistory history{};
    int64_t num_outputs = 0;
    int32_t last = -1;
  };

  static void Launch(const Sample& sample, bool in_graph) {
    if (!in_graph) {
      ExpectOk(RunSample(sample, nullptr));
      return;
    }
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CheckCuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CheckCuda(cudaDeviceSynchronize());  // arrays were filled on a stream that this one passes
    CheckCuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    const LaunchResult result = RunSample(sample, stream);
    EXPECT_TRUE(result.ok()) << result.problem;
    CheckCuda(cudaStreamEndCapture(stream, &graph));
    CheckCuda(cudaGraphInstantiate(&executable, graph, 0));
    CheckCuda(cudaGraphLaunch(executable, stream));
    CheckCuda(cudaStreamSynchronize(stream));
    CheckCuda(cudaGraphExecDestroy(executable));
    CheckCuda(cudaGraphDestroy(graph));
    CheckCuda(cudaStreamDestroy(stream));
  }

  static size_t Count(int value) { return static_cast<size_t>(value); }

  std::span<const float> RowOf(const std::vector<float>& logits, size_t i) const {
    return std::span(logits).subspan(i * Count(shape_.vocab), Count(shape_.vocab));
  }

  cpu::SampleResult SampleOnCpu(const CpuRow& r, std::span<const float> logits) {
    return sampler_.Sample(logits, shape_.num_token_ids, r.c.CpuParams(), &r.history,
                           r.num_outputs);
  }

  static void Append(CpuRow* r, int32_t id) {
    r->history.AddOutput(std::vector<int32_t>{id});
    ++r->num_outputs;
    r->last = id;
  }

  void CheckRun(const RowRun& run, const std::vector<float>& logits, size_t first,
                const Options& options) {
    CpuRow& r = rows_.at(run.row);
    bool reached = true;
    for (size_t i = 0; i <= run.drafts.size(); ++i) {
      const size_t at = first + i;
      SCOPED_TRACE("position " + std::to_string(i));
      if (!reached) {
        EXPECT_EQ(ids_[at], -1);
        EXPECT_EQ(status_[at], SampleStatus::kNotReached);
        continue;
      }
      const cpu::SampleResult expected = SampleOnCpu(r, RowOf(logits, at));
      const bool sampled = expected.outcome == cpu::SampleOutcome::kSampled;
      EXPECT_EQ(static_cast<int>(status_[at]), static_cast<int>(expected.outcome));
      const int32_t id = sampled ? expected.id : 0;
      EXPECT_EQ(ids_[at], id);
      if (sampled && options.any_logprobs && r.c.logprobs >= 0) {
        ExpectSameLogprobs(logprobs_[at],
                           options.processed_logprobs
                               ? sampler_.ProcessedLogprobs(id, r.c.logprobs)
                               : cpu::RawLogprobs(RowOf(logits, at).data(), shape_.vocab,
                                                  shape_.num_token_ids, id, r.c.logprobs));
      }
      Append(&r, id);
      reached = sampled && i < run.drafts.size() && run.drafts[i] == id;
    }
  }

  void CheckState() {
    const std::vector<int32_t> last = last_ids_.ToHost(), outputs = num_outputs_.ToHost();
    for (const auto& [row, r] : rows_) {
      EXPECT_EQ(outputs[Count(row)], r.num_outputs) << "row " << row;
      if (r.last < 0) continue;  // it has not sampled yet
      EXPECT_EQ(last[Count(row)], r.last) << "row " << row;
    }
  }

  // Another rank, told the ids, must come to the same last ids.
  void CheckTakeSamples(const DeviceArray<int32_t>& rows, const DeviceArray<int32_t>& indices,
                        const DeviceArray<int32_t>& ids) {
    const std::vector<int32_t> here = last_ids_.ToHost();
    std::vector<int32_t> before = here;
    for (size_t i = 0; i < ids_.size(); ++i) {
      if (ids_[i] >= 0) before[Count(rows.ToHost()[i])] = -7;
    }
    const DeviceArray<int32_t> there(before);
    ExpectOk(RunTakeSamples({.ids = ids.get(),
                             .rows = rows.get(),
                             .indices = indices.get(),
                             .num_logits = static_cast<int>(ids_.size()),
                             .last_ids = there.get()},
                            nullptr));
    EXPECT_EQ(there.ToHost(), here);
  }

  const Shape shape_;
  const DeviceArray<RowParams> params_;
  const DeviceArray<int32_t> num_outputs_, last_ids_;
  const DeviceArray<uint32_t> marks_;
  const DeviceArray<float> bias_;
  SamplerState state_;
  std::map<int, CpuRow> rows_;
  cpu::Sampler sampler_;
  std::vector<int32_t> ids_;
  std::vector<SampleStatus> status_;
  std::vector<Logprobs> logprobs_;
};

// Logits as models make them, more or less: a few ids stand out from a wide bulk.
inline std::vector<float> RandomLogits(std::mt19937& rng, int rows, int vocab, float deviation) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::uniform_int_distribution<int> any(0, vocab - 1);
  std::vector<float> logits(static_cast<size_t>(rows) * static_cast<size_t>(vocab));
  for (float& x : logits) x = normal(rng);
  for (int row = 0; row < rows; ++row) {
    float* values = logits.data() + static_cast<size_t>(row) * static_cast<size_t>(vocab);
    for (int i = 0; i < 8; ++i) values[any(rng)] += 3.0f * deviation;
    // Equals, some of them likely.
    for (int i = 0; i < 20; ++i) values[any(rng)] = values[any(rng)];
  }
  return logits;
}

}  // namespace sluice::kernels::sampling
