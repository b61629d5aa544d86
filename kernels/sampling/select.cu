// SPDX-License-Identifier: Apache-2.0
#include "kernels/device/launch.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_logits.cuh"
#include "kernels/sampling/row_scan.cuh"
#include "kernels/sampling/row_task.cuh"
#include "kernels/sampling/selection.cuh"

namespace sluice::kernels::sampling {
namespace {

// The id of a row of logits, and with processed log probabilities those.
__device__ void SelectDrawn(const Passes& p, int l, const RowScan& scan,
                            SelectionScratch& scratch) {
  Picked picked = {0, SampleStatus::kSampled};
  if (scan.bad) {
    picked.status = SampleStatus::kBadLogits;
  } else if (scan.argmax < 0) {
    picked.status = SampleStatus::kNothingAllowed;
  } else {
    picked.id = scan.argmax;
    const Task task = TaskOf(p, kDrawn, l, scan);
    if (task.needed()) {
      Selection selection(p, kDrawn, l, task, scratch);
      if (task.random) picked.id = selection.Draw();
      if (task.normalized) {
        const Normalizer normalizer = selection.Normalize();
        Logprobs* out = p.logprobs + l;
        if (threadIdx.x == 0) {
          out->finite = 1;
          out->chosen = selection.LogprobOf(picked.id, normalizer);
        }
        selection.ListTop(normalizer, out);
      }
    }
  }
  if (threadIdx.x == 0) p.workspace.picked[l] = picked;
}

// Log probabilities of the raw logits. The sampled id is not known yet: its own comes later.
__device__ void SelectRaw(const Passes& p, int l, const RowScan& scan, SelectionScratch& scratch) {
  const bool scores = p.rows == nullptr;
  const Task task = TaskOf(p, kRaw, l, scan);
  if (!task.needed()) {
    if (scores && threadIdx.x == 0) p.logprobs[l] = Logprobs{};
    return;
  }
  Selection selection(p, kRaw, l, task, scratch);
  const Normalizer normalizer = selection.Normalize();
  Logprobs* out = p.logprobs + l;
  if (threadIdx.x == 0) {
    p.workspace.raw[l] = normalizer;
    out->finite = 1;
    if (scores) out->chosen = selection.LogprobOf(p.chosen[l], normalizer);
  }
  selection.ListTop(normalizer, out);
}

// A block: row blockIdx.x in domain blockIdx.y. Two a multiprocessor: aiming at more, the compiler
// spills.
__global__ void __launch_bounds__(kDescendThreads, 2)
    SelectKernel(const __grid_constant__ Passes p) {
  __shared__ SelectionScratch scratch;
  device::BeginChained();
  const int l = static_cast<int>(blockIdx.x);
  if (l >= NumValid(p)) return;
  const auto domain = static_cast<Domain>(p.first_domain + static_cast<int>(blockIdx.y));
  const RowScan scan = ScanOf(p, l, scratch.scan);
  if (domain == kDrawn) {
    SelectDrawn(p, l, scan, scratch);
  } else {
    SelectRaw(p, l, scan, scratch);
  }
}

}  // namespace

LaunchResult RunSelect(const Passes& passes, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(passes.num_logits),
                  static_cast<unsigned>(passes.num_domains));
  return AfterLaunch(device::LaunchChained(SelectKernel, grid, kDescendThreads, 0, stream, passes),
                     "selection of ids");
}

}  // namespace sluice::kernels::sampling
