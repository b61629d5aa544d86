// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/device/launch.cuh"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_values.cuh"

namespace sluice::kernels::sampling {
namespace {

constexpr int kWarps = 4;

// Bins and lists begin the step empty.
__device__ void ClearRow(const Passes& p, int l) {
  const int stride = static_cast<int>(gridDim.x * blockDim.x);
  const int first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  for (int domain = 0; domain < kNumDomains; ++domain) {
    const int64_t at = int64_t{domain} * p.num_logits + l;
    for (int i = first; i < kBins; i += stride) {
      p.workspace.bin_weights[at * kBins + i] = 0;
      p.workspace.bin_counts[at * kBins + i] = 0;
    }
    if (first == 0) p.workspace.list_counts[at] = 0;
  }
}

// A warp: one segment after the other of row blockIdx.y.
__global__ void __launch_bounds__(kWarps* device::kWarpSize) ScanKernel(Passes p) {
  const int l = static_cast<int>(blockIdx.y);
  if (l >= NumValid(p)) return;
  ClearRow(p, l);
  const bool sampled = p.rows != nullptr;
  const ShapedRow shaped = sampled ? ShapedRowOf(p, l) : ShapedRow{};
  const int warp =
      static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / device::kWarpSize;
  for (int segment = warp; segment < p.num_segments;
       segment += static_cast<int>(gridDim.x) * kWarps) {
    float max = MinusInfinity(), raw_max = MinusInfinity();
    int argmax = 0x7fffffff;
    bool bad = false;
    ForSegment(p, l, segment, [&](int id, float x) {
      bad = bad || !IsFinite(x);
      raw_max = fmaxf(raw_max, x);
      if (sampled) KeepLarger(shaped(id, x), id, &max, &argmax);
    });
    for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, max, offset);
      const int other_argmax = __shfl_xor_sync(0xffffffffu, argmax, offset);
      KeepLarger(other, other_argmax, &max, &argmax);
      raw_max = fmaxf(raw_max, __shfl_xor_sync(0xffffffffu, raw_max, offset));
    }
    bad = __ballot_sync(0xffffffffu, bad) != 0;
    if (threadIdx.x % device::kWarpSize == 0) {
      p.workspace.scans[int64_t{l} * p.num_segments + segment] = {max, argmax, raw_max,
                                                                  bad ? 1 : 0};
    }
  }
}

}  // namespace

const char* PreparePasses(const LogitsView& logits, int num_token_ids, int num_logits,
                          const int32_t* num_valid, int num_sms, void* workspace, Passes* passes) {
  if (logits.world < 1 || logits.shard_width < 1 || logits.vocab() > kMaxVocab) {
    return "sampling: the vocabulary must have 1 to 262144 ids";
  }
  if (num_token_ids < 1 || num_token_ids > logits.vocab()) {
    return "sampling: more token ids than logits";
  }
  if (num_logits < 0 || num_logits > 65535) return "sampling: at most 65535 rows of logits";
  if (num_sms < 1 || workspace == nullptr || reinterpret_cast<uintptr_t>(workspace) % 16 != 0) {
    return "sampling: no workspace, or one that is not aligned to 16 bytes";
  }
  passes->logits = logits;
  passes->aligned = logits.shard_width % 4 == 0 &&
                    (logits.world == 1 || logits.shard_stride % 4 == 0) &&
                    reinterpret_cast<uintptr_t>(logits.base) % 16 == 0;
  passes->num_segments = NumSegments(logits.vocab());
  passes->num_token_ids = num_token_ids;
  passes->num_logits = num_logits;
  passes->num_valid = num_valid;
  passes->num_sms = num_sms;
  DivideWorkspace(static_cast<char*>(workspace), num_logits, logits.vocab(), &passes->workspace);
  return nullptr;
}

LaunchResult RunScan(const Passes& passes, cudaStream_t stream) {
  // Enough warps to keep the memory busy; each looks at several segments when there are many rows.
  const int blocks = std::clamp(16 * passes.num_sms / passes.num_logits, 1,
                                (passes.num_segments + kWarps - 1) / kWarps);
  return AfterLaunch(
      device::Launch(ScanKernel,
                     dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(passes.num_logits)),
                     kWarps * device::kWarpSize, 0, stream, passes),
      "scan of logits");
}

}  // namespace sluice::kernels::sampling
