// SPDX-License-Identifier: Apache-2.0
#include "worker/model/model_folder.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/wire/status_macros.h"
#include "worker/base/sha256.h"
#include "worker/model/kv_cache.h"
#include "worker/model/linear.h"
#include "worker/model/tensor_names.h"
#include "worker/weights/dummy_tensor.h"
#include "worker/weights/json_document.h"
#include "worker/weights/weight_reader.h"

namespace sluice::worker {
namespace {

using Format = kernels::cpu::LinearWeight::Format;

constexpr uint64_t kMaxConfigBytes = 4 << 20;

Format DenseFormat(const Checkpoint* checkpoint, const ExpectedTensor& tensor) {
  const DType dtype =
      checkpoint == nullptr ? DummyDType(tensor) : checkpoint->Find(tensor.name)->dtype;
  return dtype == DType::kF32 ? Format::kF32 : Format::kBf16;  // F16 takes what BF16 takes
}

absl::Status CheckEosIds(const Qwen3Config& config, const GenerationConfig& generation) {
  for (const TokenId id : generation.eos_ids) {
    if (id >= config.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "eos_token_id ", id, " is not below config.json's vocab_size ", config.vocab_size));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadOptional(const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path, kMaxConfigBytes);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

std::string Gigabytes(int64_t bytes) {
  return absl::StrFormat("%.2f GB", static_cast<double>(bytes) * 1e-9);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ModelFolder>> ModelFolder::Open(
    const ModelFolderOptions& options) {
  auto folder = std::shared_ptr<ModelFolder>(new ModelFolder());
  folder->options_ = options;
  SLUICE_ASSIGN_OR_RETURN(const std::string config_json,
                          ReadTextFile(absl::StrCat(options.dir, "/config.json"), kMaxConfigBytes));
  SLUICE_ASSIGN_OR_RETURN(folder->config_, ParseQwen3Config(config_json, options.rope_scaling));
  SLUICE_RETURN_IF_ERROR(CheckTpSize(folder->config_, options.tp_size));
  SLUICE_ASSIGN_OR_RETURN(const std::string generation_json,
                          ReadOptional(absl::StrCat(options.dir, "/generation_config.json")));
  SLUICE_ASSIGN_OR_RETURN(folder->generation_, ParseGenerationConfig(generation_json, config_json));
  SLUICE_RETURN_IF_ERROR(CheckEosIds(folder->config_, folder->generation_));
  Sha256 sha256;
  sha256.Update(config_json);
  sha256.Update(folder->config_.RopeScalingJson());
  if (options.dummy_weights) {
    sha256.Update("dummy weights");
  } else {
    SLUICE_ASSIGN_OR_RETURN(folder->checkpoint_, Checkpoint::Open(options.dir));
    const std::vector<ExpectedTensor> tensors = AllTensors(folder->config_);
    SLUICE_RETURN_IF_ERROR(folder->checkpoint_->Check(tensors));
    sha256.Update(folder->checkpoint_->DigestInput());
  }
  folder->digest_ = sha256.Finish();
  return std::shared_ptr<const ModelFolder>(std::move(folder));
}

int64_t ModelFolder::BytesToRead() const {
  int64_t bytes = 0;
  for (const ExpectedTensor& tensor : AllTensors(config_)) {
    const bool unused = config_.tie_word_embeddings && tensor.name == kLmHeadName;
    if (!unused) bytes += StoredBytes(checkpoint_.get(), tensor);
  }
  return bytes;
}

int64_t ModelFolder::WeightBytesPerRank() const {
  const int64_t hidden = config_.hidden_size;
  const int64_t norm_floats = config_.num_layers * (2 * hidden + 2 * kHeadDim) + hidden;
  const ExpectedTensor head = FloatTensor(
      config_.tie_word_embeddings ? kEmbeddingName : kLmHeadName, {config_.vocab_size, hidden});
  int64_t bytes = norm_floats * static_cast<int64_t>(sizeof(float)) +
                  PackedBytes(DenseFormat(checkpoint_.get(), head),
                              config_.vocab_size / options_.tp_size, hidden);
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    for (const LinearShape& linear : LayerLinears(config_, layer)) {
      const Format format = IsAwq(config_, linear.module)
                                ? Format::kAwq4
                                : DenseFormat(checkpoint_.get(), LinearTensors(config_, linear)[0]);
      // Outputs or inputs are cut; the product is the same, and both cuts are multiples of a block.
      bytes += PackedBytes(format, linear.full_outputs, linear.full_inputs) / options_.tp_size;
    }
  }
  return bytes;
}

int64_t ModelFolder::KvBytesPerPagePerRank() const {
  return KvCache::BytesPerPage(config_, options_.tp_size);
}

std::string ModelFolder::Summary() const {
  std::string text = absl::StrFormat(
      "architecture: Qwen3, %d layers, hidden size %d, %d query heads and %d key-value heads of "
      "%d, feed-forward size %d\n"
      "vocabulary: %d rows, %s lm_head\n"
      "parameters: %.2f million\n",
      config_.num_layers, config_.hidden_size, config_.num_heads, config_.num_kv_heads, kHeadDim,
      config_.intermediate_size, config_.vocab_size,
      config_.tie_word_embeddings ? "tied" : "untied",
      static_cast<double>(NumParameters(config_)) * 1e-6);
  absl::StrAppend(&text, "quantization: ",
                  config_.quantization.has_value() ? "AWQ gemm, 4 bits, groups of 128" : "none",
                  "\ncontext: ", config_.max_position_embeddings, " tokens");
  if (config_.yarn.has_value()) absl::StrAppend(&text, ", YaRN ", config_.RopeScalingJson());
  if (checkpoint_ == nullptr) {
    absl::StrAppend(&text, "\nweights: dummy");
  } else {
    absl::StrAppend(&text, "\nweights: ", checkpoint_->num_tensors(), " tensors in ",
                    checkpoint_->num_files(), " files, ", Gigabytes(checkpoint_->tensor_bytes()));
  }
  absl::StrAppend(&text, "\nmemory per rank on the CPU, tp-size ", options_.tp_size, ": ",
                  Gigabytes(WeightBytesPerRank()), " weights and ", KvBytesPerTokenPerRank(),
                  " bytes of KV cache per token\ndigest: ", digest_, "\n");
  return text;
}

}  // namespace sluice::worker
