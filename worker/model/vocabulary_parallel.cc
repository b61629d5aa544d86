// SPDX-License-Identifier: Apache-2.0
#include "worker/model/vocabulary_parallel.h"

#include "kernels/cpu/embedding.h"
#include "kernels/cpu/linear_pack.h"
#include "proto/wire/status_macros.h"
#include "worker/model/tensor_names.h"
#include "worker/parallel/shard_plan.h"

namespace sluice::worker {
namespace {

using Format = kernels::cpu::LinearWeight::Format;

Format DenseFormat(kernels::cpu::FloatType type) {
  switch (type) {
    case kernels::cpu::FloatType::kBf16:
      return Format::kBf16;
    case kernels::cpu::FloatType::kF16:
      return Format::kF16;
    default:
      return Format::kF32;
  }
}

ExpectedTensor Table(const Qwen3Config& config, const char* name) {
  return FloatTensor(name, {config.vocab_size, config.hidden_size});
}

}  // namespace

VocabularyParallelEmbedding VocabularyParallelEmbedding::Load(const LoadContext& context) {
  const ExpectedTensor table = Table(context.config, kEmbeddingName);
  const Slice rows = ShardOf(context.config.vocab_size, context.rank, context.world_size);
  VocabularyParallelEmbedding result;
  result.rows_ = context.reader.ReadRows(table, rows.begin, rows.size);
  result.vocab_begin_ = rows.begin;
  result.local_vocab_ = rows.size;
  result.hidden_ = context.config.hidden_size;
  context.reader.Keep(table);
  return result;
}

absl::Status VocabularyParallelEmbedding::Forward(const StepContext& step,
                                                  std::span<const TokenId> ids, float* out) const {
  kernels::cpu::EmbeddingGather({.rows = rows_.data,
                                 .type = rows_.float_type(),
                                 .num_rows = local_vocab_,
                                 .width = hidden_,
                                 .vocab_begin = vocab_begin_},
                                ids, out, step.pool);
  return step.communicator.AllReduceSum({out, ids.size() * static_cast<size_t>(hidden_)});
}

VocabularyParallelHead VocabularyParallelHead::Load(const LoadContext& context) {
  const bool tied = context.config.tie_word_embeddings;
  const ExpectedTensor table = Table(context.config, tied ? kEmbeddingName : kLmHeadName);
  const Slice rows = ShardOf(context.config.vocab_size, context.rank, context.world_size);
  const TensorView view = context.reader.ReadRows(table, rows.begin, rows.size);
  VocabularyParallelHead result;
  result.weight_ = kernels::cpu::LinearWeight({.format = DenseFormat(view.float_type()),
                                               .outputs = rows.size,
                                               .inputs = context.config.hidden_size,
                                               .full_inputs = context.config.hidden_size});
  kernels::cpu::PackDense(
      {.data = view.data, .type = view.float_type(), .row_stride = context.config.hidden_size}, 0,
      rows.size, context.pool, &result.weight_);
  if (tied) {
    context.reader.Release(table);  // the embedding keeps it
  } else {
    context.reader.Done(table);
  }
  return result;
}

absl::Status VocabularyParallelHead::Forward(kernels::cpu::ThreadPool& pool,
                                             Communicator& communicator, const float* x,
                                             int64_t num_rows, float* scratch,
                                             std::span<float> logits) const {
  const auto local = static_cast<size_t>(local_vocab());
  const auto full = local * static_cast<size_t>(communicator.world_size());
  kernels::cpu::Linear(weight_, x, weight_.spec().inputs, num_rows, scratch, local_vocab(), pool);
  // Row by row, a gather puts the shards side by side and makes the row whole without a
  // transposition.
  for (size_t row = 0; row < static_cast<size_t>(num_rows); ++row) {
    const std::span<float> out = logits.empty() ? logits : logits.subspan(row * full, full);
    SLUICE_RETURN_IF_ERROR(communicator.Gather({scratch + row * local, local}, out));
  }
  return absl::OkStatus();
}

}  // namespace sluice::worker
