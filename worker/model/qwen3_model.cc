// SPDX-License-Identifier: Apache-2.0
#include "worker/model/qwen3_model.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/norm.h"
#include "proto/wire/status_macros.h"
#include "worker/model/norm_weight.h"
#include "worker/model/rope_frequencies.h"

namespace sluice::worker {
namespace {

void Grow(std::vector<float>* buffer, int64_t size) {
  if (buffer->size() < static_cast<size_t>(size)) buffer->resize(static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Qwen3Model>> Qwen3Model::Load(const ModelFolder& folder,
                                                             Communicator* communicator,
                                                             kernels::cpu::ThreadPool* pool,
                                                             WeightReader::Progress on_progress) {
  auto model = std::unique_ptr<Qwen3Model>(new Qwen3Model(folder.config(), communicator, pool));
  WeightReader reader(folder.checkpoint(), folder.BytesToRead(), std::move(on_progress));
  const LoadContext context = {.config = model->config_,
                               .reader = reader,
                               .pool = *pool,
                               .rank = communicator->rank(),
                               .world_size = communicator->world_size()};
  try {
    model->rope_ = RopeFrequenciesOf(model->config_);
    // The head first: where it is tied, packing it releases the embedding's pages and lookups map
    // few of them again.
    model->head_ = VocabularyParallelHead::Load(context);
    model->embedding_ = VocabularyParallelEmbedding::Load(context);
    model->layers_.reserve(static_cast<size_t>(model->config_.num_layers));
    for (int layer = 0; layer < model->config_.num_layers; ++layer) {
      model->layers_.push_back(DecoderLayer::Load(context, layer));
    }
    model->final_norm_ = LoadNorm(context, kFinalNormName, model->config_.hidden_size);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("not enough memory for this rank's ", folder.WeightBytesPerRank(),
                     " bytes of weights; use more ranks (--tp-size) or a smaller model"));
  }
  return model;
}

int64_t Qwen3Model::weight_bytes() const {
  int64_t bytes = head_.bytes() + static_cast<int64_t>(final_norm_.size() * sizeof(float));
  for (const DecoderLayer& layer : layers_) bytes += layer.bytes();
  return bytes;
}

void Qwen3Model::ReserveWorkspace(int64_t tokens) {
  const int64_t hidden = config_.hidden_size;
  for (auto* buffer : {&workspace_.residual, &workspace_.delta, &workspace_.normed}) {
    Grow(buffer, tokens * hidden);
  }
  Grow(&workspace_.cos, tokens * kHeadDim / 2);
  Grow(&workspace_.sin, tokens * kHeadDim / 2);
  Grow(&workspace_.layer, layers_.front().ScratchFloats(tokens));
}

absl::Status Qwen3Model::Forward(const ForwardBatch& batch, const KvCache& cache,
                                 std::span<float> logits) {
  const auto tokens = static_cast<int64_t>(batch.ids.size());
  if (tokens == 0) return absl::OkStatus();
  ReserveWorkspace(tokens);
  kernels::cpu::RopeAngles(rope_, batch.positions, workspace_.cos.data(), workspace_.sin.data(),
                           pool_);
  const StepContext step = {.pool = pool_,
                            .communicator = communicator_,
                            .num_tokens = tokens,
                            .places = batch.places.data(),
                            .cos = workspace_.cos.data(),
                            .sin = workspace_.sin.data()};
  SLUICE_RETURN_IF_ERROR(embedding_.Forward(step, batch.ids, workspace_.residual.data()));
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    SLUICE_RETURN_IF_ERROR(layers_[layer].Forward(
        step, cache.Layer(static_cast<int>(layer)), layer > 0, workspace_.residual.data(),
        workspace_.delta.data(), workspace_.normed.data(), workspace_.layer.data()));
  }
  return MoreLogits(batch.logits_of, logits);
}

absl::Status Qwen3Model::MoreLogits(std::span<const int32_t> logits_of, std::span<float> logits) {
  const int64_t hidden = config_.hidden_size;
  const auto rows = static_cast<int64_t>(logits_of.size());
  if (rows == 0) return absl::OkStatus();
  for (auto* buffer :
       {&workspace_.last_residual, &workspace_.last_delta, &workspace_.last_normed}) {
    Grow(buffer, rows * hidden);
  }
  Grow(&workspace_.local_logits, rows * head_.local_vocab());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t token = logits_of[static_cast<size_t>(row)];
    std::copy_n(workspace_.residual.data() + token * hidden, hidden,
                workspace_.last_residual.data() + row * hidden);
    std::copy_n(workspace_.delta.data() + token * hidden, hidden,
                workspace_.last_delta.data() + row * hidden);
  }
  kernels::cpu::AddRmsNorm(workspace_.last_residual.data(), workspace_.last_delta.data(),
                           final_norm_.data(), static_cast<float>(config_.rms_norm_eps), rows,
                           hidden, workspace_.last_normed.data(), pool_);
  return head_.Forward(pool_, communicator_, workspace_.last_normed.data(), rows,
                       workspace_.local_logits.data(), logits);
}

}  // namespace sluice::worker
