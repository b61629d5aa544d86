// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/device/launch.cuh"
#include "kernels/host/is_aligned.h"
#include "kernels/sampling/passes.h"
#include "kernels/sampling/row_logits.cuh"
#include "kernels/sampling/row_scan.cuh"
#include "kernels/sampling/shaped_row.cuh"

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

// The smallest of the warp's; every lane gets it.
__device__ int WarpMin(int value) {
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    value = min(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  return value;
}

// A lane's part of a segment, all of it on its way at once.
struct SegmentLogits {
  static constexpr int kStride = 4 * device::kWarpSize;
  static constexpr int kLoads = kSegment / kStride;
  float4 x[kLoads];

  // Nothing, when the segment is not whole or cannot be loaded by fours.
  __device__ void Load(const Passes& p, int l, int segment) {
    if (!p.aligned || (segment + 1) * kSegment > p.logits.vocab()) return;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      x[i] = *reinterpret_cast<const float4*>(p.logits.At(l, FirstOf(segment) + i * kStride));
    }
  }

  __device__ static int FirstOf(int segment) {
    return segment * kSegment + 4 * (static_cast<int>(threadIdx.x) % device::kWarpSize);
  }
};

// A warp: a segment of ids that all keep their logits.
__device__ SegmentScan ScanPlain(const SegmentLogits& logits, int segment) {
  constexpr int kLoads = SegmentLogits::kLoads;
  const auto& x = logits.x;
  const int first = SegmentLogits::FirstOf(segment);
  float max = MinusInfinity();
  float zero = 0.0f;  // NaN as soon as one is an infinity or NaN
#pragma unroll
  for (int i = 0; i < kLoads; ++i) {
    max = fmaxf(max, fmaxf(fmaxf(x[i].x, x[i].y), fmaxf(x[i].z, x[i].w)));
    zero = fmaf(x[i].x, 0.0f, fmaf(x[i].y, 0.0f, zero));
    zero = fmaf(x[i].z, 0.0f, fmaf(x[i].w, 0.0f, zero));
  }
  const float own = max;
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, offset));
  }
  int argmax = 0x7fffffff;
  if (own == max) {
#pragma unroll
    for (int i = kLoads - 1; i >= 0; --i) {
      const int id = first + i * SegmentLogits::kStride;
      argmax = x[i].w == max ? id + 3 : argmax;
      argmax = x[i].z == max ? id + 2 : argmax;
      argmax = x[i].y == max ? id + 1 : argmax;
      argmax = x[i].x == max ? id : argmax;
    }
  }
  argmax = WarpMin(argmax);
  const bool bad = __ballot_sync(0xffffffffu, zero != 0.0f) != 0;
  return {max, argmax, max, bad ? 1 : 0};
}

// What a lane has seen of a segment, in the order of its ids.
struct Largest {
  float max = MinusInfinity(), raw_max = MinusInfinity();
  int argmax = 0x7fffffff;
  float zero = 0.0f;  // NaN as soon as one is an infinity or NaN

  // Four logits that stay as they are.
  __device__ void AddPlain(int first, const float4& x) {
    const float most = fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w));
    raw_max = fmaxf(raw_max, most);
    zero = fmaf(x.x, 0.0f, fmaf(x.y, 0.0f, fmaf(x.z, 0.0f, fmaf(x.w, 0.0f, zero))));
    if (most > max) {
      max = most;
      argmax = first + (x.x == most ? 0 : x.y == most ? 1 : x.z == most ? 2 : 3);
    }
  }

  __device__ void Add(int id, float x, float value) {
    raw_max = fmaxf(raw_max, x);
    zero = fmaf(x, 0.0f, zero);
    KeepLarger(value, id, &max, &argmax);
  }
};

// A warp: any segment.
__device__ SegmentScan ScanShaped(const Passes& p, const ShapedRow& shaped, int l, int segment) {
  constexpr int kAtOnce = 2;  // times four ids
  constexpr int kStride = SegmentLogits::kStride;
  const int vocab = p.logits.vocab();
  Largest largest;
#pragma unroll 1
  for (int turn = 0; turn < SegmentLogits::kLoads; turn += kAtOnce) {
    const int begin = SegmentLogits::FirstOf(segment) + turn * kStride;
    float4 x[kAtOnce];
    uint4 marks[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      x[i] = LoadFour(p, l, begin + i * kStride);
      marks[i] = shaped.MarksOfFour(begin + i * kStride);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int first = begin + i * kStride;
      if (shaped.KeepsFour(first, marks[i])) {
        largest.AddPlain(first, x[i]);
        continue;
      }
#pragma unroll 1
      for (int id = first; id < min(first + 4, vocab); ++id) {
        largest.Add(id, x[i].x, shaped(id, x[i].x));
        x[i] = {x[i].y, x[i].z, x[i].w, 0.0f};
      }
    }
  }
  float max = largest.max, raw_max = largest.raw_max;
  int argmax = largest.argmax;
  for (int offset = device::kWarpSize / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(0xffffffffu, max, offset);
    const int other_argmax = __shfl_xor_sync(0xffffffffu, argmax, offset);
    KeepLarger(other, other_argmax, &max, &argmax);
    raw_max = fmaxf(raw_max, __shfl_xor_sync(0xffffffffu, raw_max, offset));
  }
  const bool bad = __ballot_sync(0xffffffffu, largest.zero != 0.0f) != 0;
  return {max, argmax, raw_max, bad ? 1 : 0};
}

// A warp: one segment after the other of row blockIdx.y.
__global__ void __launch_bounds__(kWarps* device::kWarpSize, 5) ScanKernel(Passes p) {
  device::BeginChained();
  const int l = static_cast<int>(blockIdx.y);
  if (l >= NumValid(p)) return;
  const int stride = static_cast<int>(gridDim.x) * kWarps;
  int segment =
      static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / device::kWarpSize;
  // Asked for before it is known whether they will do: what tells takes as long to arrive.
  SegmentLogits logits;
  if (segment < p.num_segments) logits.Load(p, l, segment);
  ClearRow(p, l);
  ShapedRow shaped;
  shaped.num_ids = p.num_token_ids;
  if (p.rows != nullptr) shaped = ShapedRowOf(p, l);
  while (segment < p.num_segments) {
    const bool plain = p.aligned && shaped.plain() && (segment + 1) * kSegment <= shaped.num_ids;
    const SegmentScan scan = plain ? ScanPlain(logits, segment) : ScanShaped(p, shaped, l, segment);
    if (threadIdx.x % device::kWarpSize == 0) {
      p.workspace.scans[int64_t{l} * p.num_segments + segment] = scan;
    }
    segment += stride;
    if (segment < p.num_segments) logits.Load(p, l, segment);
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
  if (num_sms < 1 || workspace == nullptr || !IsAligned(workspace, 16)) {
    return "sampling: no workspace, or one that is not aligned to 16 bytes";
  }
  passes->logits = logits;
  passes->aligned = logits.shard_width % 4 == 0 &&
                    (logits.world == 1 || logits.shard_stride % 4 == 0) &&
                    IsAligned(logits.base, 16);
  passes->num_segments = NumSegments(logits.vocab());
  passes->num_token_ids = num_token_ids;
  passes->num_logits = num_logits;
  passes->num_valid = num_valid;
  passes->num_sms = num_sms;
  DivideWorkspace(static_cast<char*>(workspace), num_logits, logits.vocab(), &passes->workspace);
  return nullptr;
}

LaunchResult RunScan(const Passes& passes, cudaStream_t stream) {
  // A segment for each warp, or two when that is more than the GPU holds at once.
  const int at_once = passes.num_segments * passes.num_logits > 32 * passes.num_sms ? 2 : 1;
  const int blocks = (passes.num_segments + kWarps * at_once - 1) / (kWarps * at_once);
  return AfterLaunch(
      device::LaunchChained(
          ScanKernel, dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(passes.num_logits)),
          kWarps * device::kWarpSize, 0, stream, passes),
      "scan of logits");
}

}  // namespace sluice::kernels::sampling
