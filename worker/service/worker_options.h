// SPDX-License-Identifier: Apache-2.0
// What a worker process was asked to be, as plain data: worker/config fills it from flags and the
// YAML file, the launcher, the leader and the ranks read it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "worker/parallel/all_reduce_path.h"

namespace sluice::worker {

// kAuto is settled by ResolveDevice (device_choice.h); nothing behind it sees it.
enum class Device { kAuto, kCpu, kCuda };
// As --device takes it, and GetModelInfo tells it.
inline const char* DeviceName(Device device) {
  return device == Device::kCuda ? "cuda" : device == Device::kCpu ? "cpu" : "auto";
}

struct WorkerOptions {
  std::string model;              // Hugging Face folder
  std::string served_model_name;  // empty: the folder's name
  std::string rope_scaling;       // JSON in place of config.json's; empty: as it says
  bool dummy_weights = false;
  Device device = Device::kCpu;
  int max_model_len = 0;  // tokens; 0: the model's

  int rank = -1;  // below 0: the launcher
  int tp_size = 1;
  std::string leader;  // host:port, for ranks above 0
  AllReduceMode all_reduce = AllReduceMode::kAuto;

  std::string listen = "127.0.0.1";
  int grpc_port = 50061;    // 0: any free one
  int metrics_port = 9100;  // this process's own; 0: any free one

  // Until ResolveDevice, 0 stands for what the device likes.
  int max_num_seqs = 64;
  int max_batched_tokens = 128;
  int max_prefill_tokens = 128;  // of a step in which nothing decodes; at least max_batched_tokens
  int max_queued_requests = 512;
  int64_t max_queued_tokens = 4'000'000;
  int speculative_tokens = 8;    // most drafts of a sequence in a step; 0: no speculation
  int speculation_max_rows = 1;  // none while more sequences run
  int64_t kv_cache_bytes = 0;    // of one rank; 0: chosen from the context length and the memory
  double gpu_memory_utilization = 0.90;  // of a GPU's memory, weights and workspace included
  bool prefix_cache = true;
  int threads = 0;  // per rank; 0: the machine's divided by tp_size
  // Log probabilities are of what was drawn from; else of the raw logits.
  bool processed_logprobs = false;

  std::chrono::milliseconds drain_timeout{30'000};
  std::chrono::milliseconds step_timeout{5'000};  // floor of the hang bound

  // Descriptor on which a leader tells its launcher the ports, and that it is ready; below 0: none.
  int announce_fd = -1;
};

// Of making an executor: the flags, the model or the machine are at fault, and would be again.
inline bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsResourceExhausted(status);
}

// Of every worker process. A configuration error is not worth restarting for.
enum ExitCode { kExitOk = 0, kExitFailure = 1, kExitConfiguration = 2 };

}  // namespace sluice::worker
