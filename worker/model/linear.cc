// SPDX-License-Identifier: Apache-2.0
#include "worker/model/linear.h"

#include "kernels/cpu/linear_pack.h"
#include "worker/parallel/shard_plan.h"

namespace sluice::worker {
namespace {

using kernels::cpu::LinearWeight;
using Format = kernels::cpu::LinearWeight::Format;

Format FormatOf(const LoadContext& context, const LinearShape& linear) {
  if (IsAwq(context.config, linear.module)) return Format::kAwq4;
  switch (context.reader.StoredDType(LinearTensors(context.config, linear)[0])) {
    case DType::kBF16:
      return Format::kBf16;
    case DType::kF16:
      return Format::kF16;
    default:
      return Format::kF32;
  }
}

// Packs outputs `out` and, from column `in_begin` on, the weight's number of inputs.
void Pack(const LoadContext& context, const LinearShape& linear, Slice out, int64_t in_begin,
          int64_t output_begin, LinearWeight* weight) {
  const std::vector<ExpectedTensor> tensors = LinearTensors(context.config, linear);
  if (weight->spec().format == Format::kAwq4) {
    const TensorView qweight = context.reader.Read(tensors[0]);
    const TensorView qzeros = context.reader.Read(tensors[1]);
    const TensorView scales = context.reader.Read(tensors[2]);
    kernels::cpu::PackAwq({.qweight = qweight.data,
                           .qzeros = qzeros.data,
                           .scales = scales.data,
                           .scales_type = scales.float_type(),
                           .full_outputs = linear.full_outputs,
                           .out_begin = out.begin,
                           .in_begin = in_begin},
                          output_begin, out.size, context.pool, weight);
  } else {
    const TensorView view = context.reader.Read(tensors[0]);
    kernels::cpu::PackDense({.data = view.data,
                             .type = view.float_type(),
                             .row_stride = linear.full_inputs,
                             .out_begin = out.begin,
                             .in_begin = in_begin},
                            output_begin, out.size, context.pool, weight);
  }
  for (const ExpectedTensor& tensor : tensors) context.reader.Done(tensor);
}

}  // namespace

ColumnParallelLinear ColumnParallelLinear::Load(const LoadContext& context,
                                                const std::vector<LinearShape>& linears) {
  ColumnParallelLinear result;
  for (size_t first = 0; first < linears.size();) {
    const Format format = FormatOf(context, linears[first]);
    size_t last = first;
    int64_t outputs = 0;
    for (; last < linears.size() && FormatOf(context, linears[last]) == format; ++last) {
      outputs += linears[last].full_outputs / context.world_size;
    }
    const int64_t inputs = linears[first].full_inputs;
    LinearWeight weight({.format = format,
                         .outputs = outputs,
                         .inputs = inputs,
                         .full_inputs = inputs,
                         .group_size = kGroupSize});
    int64_t output_begin = 0;
    for (; first < last; ++first) {
      const Slice out = ShardOf(linears[first].full_outputs, context.rank, context.world_size);
      Pack(context, linears[first], out, 0, output_begin, &weight);
      output_begin += out.size;
    }
    result.local_outputs_ += outputs;
    result.parts_.push_back(std::move(weight));
  }
  return result;
}

int64_t ColumnParallelLinear::bytes() const {
  int64_t sum = 0;
  for (const LinearWeight& part : parts_) sum += part.bytes();
  return sum;
}

void ColumnParallelLinear::Forward(const float* x, int64_t num_rows, float* y,
                                   kernels::cpu::ThreadPool& pool) const {
  for (const LinearWeight& part : parts_) {
    kernels::cpu::Linear(part, x, part.spec().inputs, num_rows, y, local_outputs_, pool);
    y += part.spec().outputs;
  }
}

RowParallelLinear RowParallelLinear::Load(const LoadContext& context, const LinearShape& linear) {
  const Slice in = ShardOf(linear.full_inputs, context.rank, context.world_size);
  // The ranks' partial sums continue the tree of the full dot product where its slices divide among
  // them. Else (three ranks, say) a shard is a dot product of its own and results depend on tp-size
  // in the last bits.
  const bool whole_slices = kernels::cpu::NumSlices(linear.full_inputs) % context.world_size == 0;
  RowParallelLinear result;
  result.weight_ = LinearWeight({.format = FormatOf(context, linear),
                                 .outputs = linear.full_outputs,
                                 .inputs = in.size,
                                 .full_inputs = whole_slices ? linear.full_inputs : in.size,
                                 .group_size = kGroupSize});
  Pack(context, linear, {0, linear.full_outputs}, in.begin, 0, &result.weight_);
  return result;
}

absl::Status RowParallelLinear::Forward(const float* x, int64_t num_rows, float* y,
                                        kernels::cpu::ThreadPool& pool,
                                        Communicator& communicator) const {
  const int64_t outputs = weight_.spec().outputs;
  kernels::cpu::Linear(weight_, x, weight_.spec().inputs, num_rows, y, outputs, pool);
  return communicator.AllReduceSum({y, static_cast<size_t>(num_rows * outputs)});
}

int64_t PackedBytes(Format format, int64_t outputs, int64_t inputs) {
  constexpr int64_t kBlock = kernels::cpu::kBlockOutputs;
  const int64_t padded = (outputs + kBlock - 1) / kBlock * kBlock;
  switch (format) {
    case Format::kAwq4:  // 4-bit values; a float scale and a byte of zero point a group
      return padded * (inputs / 2 + inputs / kGroupSize * 5);
    case Format::kF32:
      return padded * inputs * 4;
    default:
      return padded * inputs * 2;
  }
}

}  // namespace sluice::worker
