// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/model/model_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <thread>

#include "tests/support/source_dirs.h"
#include "worker/model/qwen3_model.h"
#include "worker/parallel/shared_memory_communicator.h"

namespace sluice::worker {
namespace {

// One step over all prompts: of each, the tokens from `begin` on.
struct Chunk {
  std::vector<TokenId> ids;
  std::vector<int32_t> positions;
  std::vector<kernels::cpu::TokenPlace> places;
  std::vector<int32_t> logits_of;
  std::vector<std::pair<size_t, size_t>> origin;  // prompt and token
};

void RunRank(const ModelRun& run, const ModelFolder& folder, Communicator* communicator,
             std::vector<std::vector<float>>* logits) {
  kernels::cpu::ThreadPool pool(run.threads);
  auto model = Qwen3Model::Load(folder, communicator, &pool, nullptr);
  ASSERT_TRUE(model.ok()) << model.status();
  // Pages are dealt to prompts in turn, so that tables are not contiguous.
  size_t longest = 0;
  for (const auto& prompt : run.prompts) longest = std::max(longest, prompt.size());
  const size_t rows = run.prompts.size();
  const size_t pages_per_row = (longest + kPageTokens - 1) / kPageTokens;
  auto cache = KvCache::Create(folder.config(), folder.tp_size(),
                               static_cast<int>(1 + rows * pages_per_row));
  ASSERT_TRUE(cache.ok()) << cache.status();
  std::vector<std::vector<PageId>> tables(rows);
  for (size_t page = 0; page < pages_per_row; ++page) {
    for (size_t row = 0; row < rows; ++row) {
      tables[row].push_back(static_cast<PageId>(1 + page * rows + row));
    }
  }
  const auto vocab = static_cast<size_t>(folder.config().vocab_size);
  size_t begin = 0;
  for (size_t step = 0; begin < longest; ++step) {
    const size_t size =
        run.chunks.empty() ? longest
                           : static_cast<size_t>(run.chunks[std::min(step, run.chunks.size() - 1)]);
    Chunk chunk;
    for (size_t row = 0; row < rows; ++row) {
      const std::vector<TokenId>& prompt = run.prompts[row];
      for (size_t i = begin; i < std::min(begin + size, prompt.size()); ++i) {
        chunk.logits_of.push_back(static_cast<int32_t>(chunk.ids.size()));
        chunk.ids.push_back(prompt[i]);
        chunk.positions.push_back(run.first_position + static_cast<int32_t>(i));
        chunk.places.push_back({tables[row].data(), static_cast<int32_t>(i)});
        chunk.origin.emplace_back(row, i);
      }
    }
    begin += size;
    std::vector<float> out(communicator->rank() == 0 ? chunk.ids.size() * vocab : 0);
    const absl::Status status = (*model)->Forward(
        {chunk.ids, chunk.positions, chunk.places, chunk.logits_of}, **cache, out);
    ASSERT_TRUE(status.ok()) << status;
    if (communicator->rank() != 0) continue;
    for (size_t i = 0; i < chunk.origin.size(); ++i) {
      const auto [row, token] = chunk.origin[i];
      std::copy_n(out.data() + i * vocab, vocab, (*logits)[row].data() + token * vocab);
    }
  }
}

}  // namespace

std::vector<std::vector<float>> RunModel(const ModelRun& run) {
  const auto folder = ModelFolder::Open({.dir = run.dir,
                                         .tp_size = run.tp_size,
                                         .rope_scaling = run.rope_scaling,
                                         .dummy_weights = run.dummy_weights});
  EXPECT_TRUE(folder.ok()) << folder.status();
  if (!folder.ok()) return {};
  std::vector<std::vector<float>> logits;
  for (const auto& prompt : run.prompts) {
    logits.emplace_back(prompt.size() * static_cast<size_t>((*folder)->config().vocab_size));
  }
  if (run.tp_size == 1) {
    SingleRankCommunicator communicator;
    RunRank(run, **folder, &communicator, &logits);
    return logits;
  }
  auto leader = SharedMemoryCommunicator::Create(run.tp_size, {});
  EXPECT_TRUE(leader.ok()) << leader.status();
  if (!leader.ok()) return {};
  std::vector<std::thread> threads;
  for (int rank = 1; rank < run.tp_size; ++rank) {
    threads.emplace_back([&, rank] {
      auto peer = SharedMemoryCommunicator::Open((*leader)->segment_name(), rank, run.tp_size, {});
      ASSERT_TRUE(peer.ok()) << peer.status();
      RunRank(run, **folder, peer->get(), &logits);
    });
  }
  RunRank(run, **folder, leader->get(), &logits);
  for (std::thread& thread : threads) thread.join();
  return logits;
}

std::vector<TokenId> RandomIds(uint64_t seed, int count, int vocab_size) {
  std::mt19937_64 random(seed);
  std::vector<TokenId> ids;
  for (int i = 0; i < count; ++i) {
    ids.push_back(static_cast<TokenId>(random() % static_cast<uint64_t>(vocab_size)));
  }
  return ids;
}

int ArgMax(const float* logits, int vocab_size) {
  return static_cast<int>(std::max_element(logits, logits + vocab_size) - logits);
}

std::string ParityDir(const std::string& name) {
  return BinaryDir() + "/parity/" + name;
}

std::string DemoModelDir() {
  return SourceDir() + "/deploy/demo_model/sluice-demo";
}

}  // namespace sluice::worker
