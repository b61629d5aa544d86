// SPDX-License-Identifier: Apache-2.0
#include "kernels/sampling/set_rows.h"

#include "kernels/device/launch.cuh"
#include "kernels/host/is_aligned.h"
#include "kernels/sampling/row_upload.h"

namespace sluice::kernels::sampling {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kBlocksPerRow = 16;

__device__ const UploadedRow& RecordOf(const SetRows& set, unsigned i) {
  return static_cast<const UploadedRow*>(set.upload)[i];
}

__device__ bool IsRow(const SetRows& set, int row) { return row >= 0 && row < set.state.max_rows; }

// The parameters of row blockIdx.y, and its planes before any list is applied.
__global__ void __launch_bounds__(kThreads) BeginRowsKernel(SetRows set) {
  const UploadedRow& record = RecordOf(set, blockIdx.y);
  if (!IsRow(set, record.row)) return;
  const int64_t stride = PlaneStride(set.state.vocab);
  const int64_t plane = record.row * stride;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    set.state.params[record.row] = record.params;
    set.state.num_outputs[record.row] = record.params.num_outputs;
  }
  const uint32_t mark = record.params.has_allowed != 0 ? kMarkNotAllowed : 0;
  for (int64_t i = 4 * (blockIdx.x * kThreads + threadIdx.x); i < stride;
       i += 4 * kBlocksPerRow * kThreads) {
    if (record.params.uses_marks != 0) {
      *reinterpret_cast<uint4*>(set.state.marks + plane + i) = {mark, mark, mark, mark};
    }
    if (record.params.uses_bias != 0) {
      *reinterpret_cast<float4*>(set.state.bias + plane + i) = {0.0f, 0.0f, 0.0f, 0.0f};
    }
  }
}

// One entry of the row's lists. What it does commutes with every other entry.
__device__ void ApplyEntry(const SetRows& set, const UploadedRow& record, const uint32_t* words,
                           uint32_t entry) {
  const int64_t plane = record.row * PlaneStride(set.state.vocab);
  // The values of the biases lie between their ids and the other lists.
  const bool is_bias = entry < record.num_bias;
  const uint32_t id = words[is_bias ? entry : entry + record.num_bias];
  if (id >= static_cast<uint32_t>(set.state.vocab)) return;
  if (is_bias) {
    set.state.bias[plane + id] = __uint_as_float(words[record.num_bias + entry]);
    return;
  }
  uint32_t* mark = set.state.marks + plane + id;
  entry -= record.num_bias;
  if (entry < record.num_allowed) {
    atomicAnd(mark, ~kMarkNotAllowed);
    return;
  }
  entry -= record.num_allowed;
  if (entry < record.num_banned) {
    atomicOr(mark, kMarkBanned);
    return;
  }
  entry -= record.num_banned;
  if (entry < record.num_stop) {
    atomicOr(mark, kMarkStop);
    return;
  }
  entry -= record.num_stop;
  if (entry < record.num_prompt) {
    atomicOr(mark, kMarkPrompt);
  } else {
    atomicAdd(mark, 1u);
  }
}

// The lists of row blockIdx.y.
__global__ void __launch_bounds__(kThreads) FillRowsKernel(SetRows set) {
  const UploadedRow& record = RecordOf(set, blockIdx.y);
  if (!IsRow(set, record.row)) return;
  const uint32_t* words = reinterpret_cast<const uint32_t*>(
                              static_cast<const UploadedRow*>(set.upload) + set.num_rows) +
                          record.first_word;
  const uint32_t num_entries = record.num_bias + record.num_allowed + record.num_banned +
                               record.num_stop + record.num_prompt + record.num_output;
  for (uint32_t entry = blockIdx.x * kThreads + threadIdx.x; entry < num_entries;
       entry += kBlocksPerRow * kThreads) {
    ApplyEntry(set, record, words, entry);
  }
}

}  // namespace

LaunchResult RunSetRows(const SetRows& set, cudaStream_t stream) {
  if (set.num_rows == 0) return {};
  if (set.num_rows < 0 || set.num_rows > set.state.max_rows || set.num_rows > 65535 ||
      set.upload == nullptr || !IsAligned(set.upload, 8)) {
    return InvalidArguments("rows of the sampler: no upload, or more rows than the state has");
  }
  if (!IsAligned(set.state.marks, 16) || !IsAligned(set.state.bias, 16)) {
    return InvalidArguments("rows of the sampler: marks and bias must be aligned to 16 bytes");
  }
  const dim3 grid(kBlocksPerRow, static_cast<unsigned>(set.num_rows));
  const LaunchResult result =
      AfterLaunch(device::Launch(BeginRowsKernel, grid, kThreads, 0, stream, set),
                  "first values of the sampler's rows");
  if (!result.ok()) return result;
  return AfterLaunch(device::Launch(FillRowsKernel, grid, kThreads, 0, stream, set),
                     "lists of the sampler's rows");
}

}  // namespace sluice::kernels::sampling
