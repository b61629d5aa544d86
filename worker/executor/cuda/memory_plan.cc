// SPDX-License-Identifier: Apache-2.0
#include "worker/executor/cuda/memory_plan.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/base/ids.h"

namespace sluice::worker {
namespace {

constexpr int64_t kBf16Bytes = 2;
constexpr int64_t kMostPages = int64_t{1} << 24;

std::string Gib(int64_t bytes) {
  return absl::StrFormat("%.2f GiB", static_cast<double>(bytes) / (int64_t{1} << 30));
}

std::string WorkspaceItems(const WorkspaceSizes& sizes) {
  const std::vector<std::pair<const char*, int64_t>> items = {
      {"activations", sizes.activations},
      {"logits", sizes.logits},
      {"dequantized linear", sizes.dequantized_linear},
      {"cuBLASLt", sizes.matmul},
      {"attention", sizes.attention},
      {"sampling", sizes.sampler},
      {"graphs and kernels", sizes.graphs}};
  return absl::StrJoin(items, ", ", [](std::string* out, const auto& item) {
    absl::StrAppend(out, item.first, " ", Gib(item.second));
  });
}

int64_t PagesNeeded(int max_model_len) {
  return (int64_t{max_model_len} + kPageTokens - 1) / kPageTokens + 1;  // and the scratch page
}

// "--gpu-memory-utilization 0.90 of 79.10 GiB is ...": what leaves so much for pages.
std::string Arithmetic(const MemoryDemand& demand, const MemoryPlan& plan, int64_t left) {
  return absl::StrFormat(
      "--gpu-memory-utilization %.2f of the GPU's %s is %s; %s in use already, %s of weights and "
      "%s of workspace (%s) leave %s for the KV cache",
      demand.utilization, Gib(demand.total_bytes), Gib(plan.budget_bytes), Gib(plan.in_use_bytes),
      Gib(demand.weight_bytes), Gib(demand.workspace.total()), WorkspaceItems(demand.workspace),
      Gib(std::max<int64_t>(left, 0)));
}

// What would make one sequence fit.
std::string Remedies(const MemoryDemand& demand, int64_t pages) {
  std::string text = "lower --max-model-len";
  if (pages >= 2) absl::StrAppend(&text, " to ", (pages - 1) * kPageTokens, " or less");
  absl::StrAppend(&text, ", lower --max-batched-tokens or --max-num-seqs");
  if (demand.utilization < 0.95) absl::StrAppend(&text, ", raise --gpu-memory-utilization");
  return absl::StrCat(text, ", or share the model over more GPUs with a larger --tp-size");
}

}  // namespace

int64_t KvPageBytes(const Qwen3Config& config, int tp_size) {
  return int64_t{config.num_layers} * 2 * (config.num_kv_heads / tp_size) * kPageTokens * kHeadDim *
         kBf16Bytes;
}

absl::StatusOr<MemoryPlan> PlanMemory(const MemoryDemand& demand) {
  MemoryPlan plan;
  plan.budget_bytes =
      static_cast<int64_t>(demand.utilization * static_cast<double>(demand.total_bytes));
  plan.in_use_bytes = demand.total_bytes - demand.free_bytes;
  const int64_t left =
      plan.budget_bytes - plan.in_use_bytes - demand.weight_bytes - demand.workspace.total();
  const int64_t room = std::max<int64_t>(left, 0) / demand.page_bytes;
  const int64_t needed = PagesNeeded(demand.max_model_len);
  if (room < needed) {
    return absl::ResourceExhaustedError(absl::StrCat(
        Arithmetic(demand, plan, left), ", but one sequence of --max-model-len ",
        demand.max_model_len, " tokens takes ", Gib(needed * demand.page_bytes), " (", needed,
        " pages of ", demand.page_bytes >> 10, " KiB); ", Remedies(demand, room)));
  }
  int64_t pages = room;
  if (demand.kv_cache_bytes > 0) {
    pages = demand.kv_cache_bytes / demand.page_bytes;
    if (pages > room) {
      return absl::ResourceExhaustedError(
          absl::StrCat(Arithmetic(demand, plan, left), ", less than --kv-cache-memory ",
                       demand.kv_cache_bytes, " (", Gib(demand.kv_cache_bytes), "); lower it to ",
                       room * demand.page_bytes >> 20, "MiB or less, or leave it out"));
    }
    if (pages < needed) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "--kv-cache-memory ", demand.kv_cache_bytes, ": one sequence of --max-model-len ",
          demand.max_model_len, " tokens takes ", needed * demand.page_bytes,
          " bytes of KV cache on each rank; raise it, or lower --max-model-len"));
    }
  }
  plan.num_pages = static_cast<int>(std::min(pages, kMostPages));
  plan.kv_bytes = plan.num_pages * demand.page_bytes;
  return plan;
}

std::string MemoryPlan::Describe(const MemoryDemand& demand) const {
  return absl::StrFormat(
      "GPU memory: %s, of which --gpu-memory-utilization %.2f allows %s\n"
      "  in use already: %s\n"
      "  weights: %s\n"
      "  workspace: %s (%s)\n"
      "  KV cache: %s, %d pages of %d KiB, %d tokens\n",
      Gib(demand.total_bytes), demand.utilization, Gib(budget_bytes), Gib(in_use_bytes),
      Gib(demand.weight_bytes), Gib(demand.workspace.total()), WorkspaceItems(demand.workspace),
      Gib(kv_bytes), num_pages, demand.page_bytes >> 10, int64_t{num_pages - 1} * kPageTokens);
}

}  // namespace sluice::worker
