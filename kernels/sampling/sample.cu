// SPDX-License-Identifier: Apache-2.0
#include "kernels/sampling/sample.h"

#include "kernels/device/launch.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_logits.cuh"

namespace sluice::kernels::sampling {
namespace {

constexpr int kThreads = 128;

struct Results {
  int32_t* ids;
  SampleStatus* status;
};

// The log probability of a sampled id among the raw logits, which select has normalized.
__device__ void FillChosen(const Passes& p, int l, int row, int id) {
  if (p.processed_logprobs || p.state.params[row].logprobs < 0) return;
  const Normalizer normalizer = p.workspace.raw[l];
  p.logprobs[l].chosen =
      static_cast<float>(static_cast<double>(*p.logits.At(l, id)) -
                         static_cast<double>(normalizer.max) - normalizer.log_total);
}

// A thread: one run, from its first row of logits on.
__global__ void __launch_bounds__(kThreads)
    AcceptKernel(Passes p, Results results, bool any_logprobs) {
  device::BeginChained();
  const int first = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (first >= p.num_logits) return;
  const int num_valid = NumValid(p);
  if (first >= num_valid) {
    results.ids[first] = -1;
    results.status[first] = SampleStatus::kNotReached;
    return;
  }
  if (p.indices[first] != 0) return;
  const int row = p.rows[first];
  uint32_t* marks = p.state.params[row].uses_history != 0
                        ? p.state.marks + row * PlaneStride(p.logits.vocab())
                        : nullptr;
  bool reached = true;
  int count = 0, last = 0;
  for (int l = first; l < num_valid && (l == first || p.indices[l] != 0); ++l) {
    if (!reached) {
      results.ids[l] = -1;
      results.status[l] = SampleStatus::kNotReached;
      continue;
    }
    // A failed row goes on with the id 0 until it is released: any valid id will do.
    const Picked picked = p.workspace.picked[l];
    const bool sampled = picked.status == SampleStatus::kSampled;
    last = sampled ? picked.id : 0;
    results.ids[l] = last;
    results.status[l] = picked.status;
    if (marks != nullptr) ++marks[last];
    if (sampled && any_logprobs) FillChosen(p, l, row, last);
    ++count;
    reached = sampled && p.drafts[l] == last;
  }
  p.state.last_ids[row] = last;
  p.state.num_outputs[row] += count;
}

// A thread: one row of logits. Its id is its row's last if none was sampled after it.
__global__ void __launch_bounds__(kThreads) TakeSamplesKernel(TakeSamples take) {
  device::BeginChained();
  const int l = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (l >= take.num_logits || take.ids[l] < 0) return;
  const bool more = l + 1 < take.num_logits && take.ids[l + 1] >= 0 && take.indices[l + 1] != 0;
  if (!more) take.last_ids[take.rows[l]] = take.ids[l];
}

__global__ void __launch_bounds__(kThreads) ReportSamplesKernel(ReportSamples report) {
  device::BeginChained();
  const int l = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (l >= report.num_logits) return;
  report.host_ids[l] = report.ids[l];
  if (report.status != nullptr) report.host_status[l] = report.status[l];
}

unsigned BlocksFor(int threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

const char* Problem(const Sample& sample) {
  if (sample.rows == nullptr || sample.indices == nullptr || sample.drafts == nullptr ||
      sample.ids == nullptr || sample.status == nullptr) {
    return "sampling: rows, indices, drafts, ids and status are needed";
  }
  if (sample.any_logprobs && sample.logprobs == nullptr) {
    return "sampling: there is no place for log probabilities";
  }
  if (sample.state.vocab != sample.logits.vocab()) {
    return "sampling: the state is for another vocabulary";
  }
  return nullptr;
}

}  // namespace

LaunchResult RunSample(const Sample& sample, cudaStream_t stream) {
  Passes passes;
  if (const char* problem = Problem(sample)) return InvalidArguments(problem);
  if (const char* problem =
          PreparePasses(sample.logits, sample.num_token_ids, sample.num_logits, sample.num_valid,
                        sample.num_sms, sample.workspace, &passes)) {
    return InvalidArguments(problem);
  }
  if (sample.num_logits == 0) return {};
  passes.state = sample.state;
  passes.rows = sample.rows;
  passes.indices = sample.indices;
  passes.drafts = sample.drafts;
  passes.processed_logprobs = sample.processed_logprobs;
  passes.logprobs = sample.logprobs;
  passes.num_domains = sample.any_logprobs && !sample.processed_logprobs ? 2 : 1;
  LaunchResult result = RunScan(passes, stream);
  // Where a vocabulary is so small that its segments do not tell where the largest ids are, they
  // are found as broad rows' are.
  const int least_maxima = sample.num_token_ids / kSegment;
  const bool small = (sample.any_random && least_maxima < kNarrowTopK) ||
                     (sample.any_logprobs && least_maxima < kMaxTopLogprobs);
  const bool broad = sample.any_random && sample.any_broad;
  const bool gathers = small || (broad && sample.any_broad_cut);
  if (result.ok() && (small || broad || sample.any_logprobs)) result = RunWeigh(passes, stream);
  if (result.ok() && gathers) result = RunGather(passes, stream);
  if (result.ok()) result = RunSelect(passes, stream);
  if (!result.ok()) return result;
  const Results results = {sample.ids, sample.status};
  return AfterLaunch(device::LaunchChained(AcceptKernel, BlocksFor(sample.num_logits), kThreads, 0,
                                           stream, passes, results, sample.any_logprobs),
                     "accepting drafts");
}

LaunchResult RunTakeSamples(const TakeSamples& take, cudaStream_t stream) {
  if (take.num_logits == 0) return {};
  if (take.num_logits < 0 || take.ids == nullptr || take.rows == nullptr ||
      take.indices == nullptr || take.last_ids == nullptr) {
    return InvalidArguments("taking samples: ids, rows, indices and last_ids are needed");
  }
  return AfterLaunch(device::LaunchChained(TakeSamplesKernel, BlocksFor(take.num_logits), kThreads,
                                           0, stream, take),
                     "taking samples");
}

LaunchResult RunReportSamples(const ReportSamples& report, cudaStream_t stream) {
  if (report.num_logits == 0) return {};
  if (report.num_logits < 0 || report.ids == nullptr || report.host_ids == nullptr ||
      (report.status != nullptr && report.host_status == nullptr)) {
    return InvalidArguments(
        "reporting samples: ids and places for all that is reported are needed");
  }
  return AfterLaunch(device::LaunchChained(ReportSamplesKernel, BlocksFor(report.num_logits),
                                           kThreads, 0, stream, report),
                     "reporting samples");
}

}  // namespace sluice::kernels::sampling
