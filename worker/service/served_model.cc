// SPDX-License-Identifier: Apache-2.0
#include "worker/service/served_model.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/wire/status_macros.h"
#include "worker/base/sha256.h"
#include "worker/cache/page_pool.h"

namespace sluice::worker {
namespace {

constexpr int64_t kDefaultKvBytes = int64_t{1} << 30;  // of all ranks together

std::string Bytes(int64_t bytes) {
  if (bytes < (int64_t{1} << 20)) return absl::StrCat(bytes >> 10, " KiB");
  if (bytes < (int64_t{1} << 30)) return absl::StrCat(bytes >> 20, " MiB");
  return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (int64_t{1} << 30));
}

absl::StatusOr<int> MaxModelLen(const WorkerOptions& options, const Qwen3Config& config) {
  if (options.max_model_len == 0) return config.max_position_embeddings;
  if (options.max_model_len < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-model-len ", options.max_model_len, ": must be at least 2"));
  }
  if (options.max_model_len <= config.max_position_embeddings) return options.max_model_len;
  return absl::InvalidArgumentError(
      absl::StrCat("--max-model-len ", options.max_model_len, ": the model's context is ",
                   config.max_position_embeddings,
                   " tokens; lower the flag, or extend the context with --rope-scaling"));
}

// All ranks run on this machine and share its memory. A cache that cannot fit would fail only while
// the group loads, or later when its pages fill.
absl::Status CheckCacheFits(const WorkerOptions& options, int64_t kv_bytes, int64_t least_kv_bytes,
                            int64_t weight_bytes) {
  const int64_t machine = MachineMemory();
  const int64_t most = (machine - weight_bytes) / options.tp_size;
  if (kv_bytes <= most) return absl::OkStatus();
  const std::string remedy =
      most >= least_kv_bytes
          ? absl::StrCat("lower --kv-cache-memory to ", most >> 20, "MiB or less")
          : "lower --max-model-len and --kv-cache-memory, or use a machine with more memory";
  return absl::InvalidArgumentError(absl::StrCat(
      "--kv-cache-memory ", options.kv_cache_bytes, ": weights (", Bytes(weight_bytes),
      ") and KV cache (", options.tp_size, options.tp_size == 1 ? " rank" : " ranks", " x ",
      Bytes(kv_bytes), ") do not fit this machine's ", Bytes(machine), "; ", remedy));
}

// Pages of one rank, scratch included. At least one sequence of full length must fit, or it could
// never end.
absl::StatusOr<int> NumPages(const WorkerOptions& options, const ModelFolder& folder,
                             int max_model_len) {
  const int64_t page_bytes = folder.KvBytesPerPagePerRank();
  const int64_t needed = PagesFor(max_model_len) + 1;
  if (options.kv_cache_bytes > 0) {
    const int64_t pages = options.kv_cache_bytes / page_bytes;
    if (pages < needed) {
      return absl::InvalidArgumentError(
          absl::StrCat("--kv-cache-memory ", options.kv_cache_bytes, ": one context of ",
                       max_model_len, " tokens needs ", needed * page_bytes,
                       " bytes of KV cache on each rank; raise it, or lower --max-model-len"));
    }
    SLUICE_RETURN_IF_ERROR(CheckCacheFits(options, pages * page_bytes, needed * page_bytes,
                                          options.tp_size * folder.WeightBytesPerRank()));
    return static_cast<int>(std::min<int64_t>(pages, 1 << 24));
  }
  const int64_t machine = MachineMemory();
  const int64_t room = machine - options.tp_size * folder.WeightBytesPerRank();
  const int64_t least = needed * page_bytes * options.tp_size;
  if (least > room) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--max-model-len: weights (", Bytes(options.tp_size * folder.WeightBytesPerRank()),
        ") and the KV cache of one context of ", max_model_len, " tokens (", Bytes(least),
        ") do not fit this machine's ", Bytes(machine), "; lower --max-model-len"));
  }
  const int64_t wanted = kDefaultKvBytes / options.tp_size / page_bytes;
  return static_cast<int>(std::clamp<int64_t>(wanted, needed, room / options.tp_size / page_bytes));
}

absl::Status ReadVocabulary(const WorkerOptions& options, ServedModel& model) {
  const std::string path = options.model + "/tokenizer.json";
  const Qwen3Config& config = model.folder->config();
  std::error_code error;
  if (options.dummy_weights && !std::filesystem::exists(path, error)) {
    model.limits.vocab_size = config.vocab_size;
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<const Vocabulary> vocabulary,
                          Vocabulary::Load(path));
  if (vocabulary->size() > config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has ", vocabulary->size(),
                                                   " ids, but config.json's vocab_size is ",
                                                   config.vocab_size));
  }
  model.limits.vocab_size = vocabulary->size();
  model.tokenizer_sha256 = vocabulary->sha256();
  return absl::OkStatus();
}

std::string FolderName(const std::string& dir) {
  std::filesystem::path path = std::filesystem::path(dir).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

int64_t MachineMemory() {
  const int64_t physical = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  // Absent outside a container, and "max" without a limit: neither reads as a number.
  int64_t limit = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit) return std::min(physical, limit);
  return physical;
}

absl::StatusOr<ServedModel> OpenModel(const WorkerOptions& options) {
  ServedModel model;
  SLUICE_ASSIGN_OR_RETURN(model.folder,
                          ModelFolder::Open({.dir = options.model,
                                             .tp_size = options.tp_size,
                                             .rope_scaling = options.rope_scaling,
                                             .dummy_weights = options.dummy_weights}));
  model.name =
      options.served_model_name.empty() ? FolderName(options.model) : options.served_model_name;
  SLUICE_RETURN_IF_ERROR(ReadVocabulary(options, model));
  SLUICE_ASSIGN_OR_RETURN(model.limits.max_model_len, MaxModelLen(options, model.folder->config()));
  for (const TokenId id : model.folder->generation().eos_ids) {
    if (id >= model.limits.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(options.model, ": eos_token_id ", id,
                                                     " is not an id of tokenizer.json (0 to ",
                                                     model.limits.vocab_size - 1, ")"));
    }
    model.limits.eos_ids.push_back(id);
  }
  if (options.device == Device::kCpu) {
    SLUICE_ASSIGN_OR_RETURN(model.num_pages,
                            NumPages(options, *model.folder, model.limits.max_model_len));
  }
  return model;
}

std::string ServedModel::Summary(const WorkerOptions& options) const {
  const int64_t tokens = int64_t{num_pages - 1} * kPageTokens;
  std::string text = folder->Summary();
  if (!text.empty() && text.back() != '\n') text += '\n';
  absl::StrAppend(&text, "served as: ", name, "\ncontext: ", limits.max_model_len, " tokens\n");
  if (options.device == Device::kCuda) return text;
  absl::StrAppend(&text, "KV cache: ", tokens, " tokens (", num_pages, " pages, ",
                  Bytes(num_pages * folder->KvBytesPerPagePerRank()), " on each of ",
                  options.tp_size, options.tp_size == 1 ? " rank" : " ranks", ")\n");
  return text;
}

v1::ModelInfo MakeModelInfo(const ServedModel& model, const WorkerOptions& options) {
  v1::ModelInfo info;
  info.set_model(model.name);
  info.set_max_model_len(static_cast<uint32_t>(model.limits.max_model_len));
  info.set_vocab_size(static_cast<uint32_t>(model.limits.vocab_size));
  info.mutable_eos_ids()->Add(model.limits.eos_ids.begin(), model.limits.eos_ids.end());
  const GenerationConfig& generation = model.folder->generation();
  v1::SamplingParams& defaults = *info.mutable_sampling_defaults();
  if (generation.temperature) defaults.set_temperature(*generation.temperature);
  if (generation.do_sample.has_value() && !*generation.do_sample) defaults.set_temperature(0);
  if (generation.top_k) defaults.set_top_k(static_cast<uint32_t>(std::max(0, *generation.top_k)));
  if (generation.top_p) defaults.set_top_p(*generation.top_p);
  if (generation.min_p) defaults.set_min_p(*generation.min_p);
  if (generation.repetition_penalty) {
    defaults.set_repetition_penalty(*generation.repetition_penalty);
  }
  info.set_tokenizer_sha256(model.tokenizer_sha256);
  info.set_tp_size(static_cast<uint32_t>(options.tp_size));
  info.set_device(DeviceName(options.device));
  info.set_rope_scaling(model.folder->config().RopeScalingJson());
  info.set_max_num_seqs(static_cast<uint32_t>(options.max_num_seqs));
  info.set_page_size(kPageTokens);
  info.set_num_pages(static_cast<uint32_t>(model.num_pages));
  return info;
}

std::string BuildId() {
  Sha256 digest;
  std::ifstream executable("/proc/self/exe", std::ios::binary);
  std::vector<char> buffer(1 << 16);
  while (executable.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         executable.gcount() > 0) {
    digest.Update({buffer.data(), static_cast<size_t>(executable.gcount())});
  }
  return absl::StrCat(SLUICE_VERSION, "+", digest.Finish().substr(0, 16));
}

}  // namespace sluice::worker
