// SPDX-License-Identifier: Apache-2.0
// How fast a rank's share of a checkpoint, or of dummy weights, reaches staging buffers: the host's
// side of loading onto a GPU, without one.
//
//   build/bench/weight_read_bench MODEL_DIR [dummy] [tp_size] [readers]
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "worker/executor/cuda/load_plan.h"
#include "worker/executor/cuda/part_reader.h"
#include "worker/model/model_folder.h"

namespace sluice::worker {
namespace {

constexpr int64_t kSlotBytes = int64_t{32} << 20;

int Main(const std::string& dir, bool dummy, int tp_size, int num_readers) {
  const auto folder = ModelFolder::Open({.dir = dir, .tp_size = tp_size, .dummy_weights = dummy});
  if (!folder.ok()) {
    std::fprintf(stderr, "%s\n", folder.status().ToString().c_str());
    return 1;
  }
  const Checkpoint* checkpoint = (*folder)->checkpoint().get();
  const auto layout = LayOutWeights((*folder)->config(), tp_size, checkpoint);
  if (!layout.ok()) return 1;
  const std::vector<LoadPiece> pieces =
      PlanLoad((*folder)->config(), *layout, 0, tp_size, kSlotBytes);
  int64_t bytes = 0;
  for (const LoadPiece& piece : pieces) bytes += piece.staged_bytes();

  std::atomic<size_t> next{0};
  std::vector<std::thread> readers;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < num_readers; ++i) {
    readers.emplace_back([&] {
      std::vector<std::byte> slot(kSlotBytes);
      for (size_t index = next++; index < pieces.size(); index = next++) {
        const size_t ahead = index + static_cast<size_t>(num_readers);  // as LoadWeights does
        if (ahead < pieces.size()) {
          for (const TensorPart& part : pieces[ahead].parts) PrefetchPart(checkpoint, part);
        }
        for (const TensorPart& part : pieces[index].parts) {
          ReadPart(checkpoint, part, slot.data() + part.staged_offset);
          ReleasePart(checkpoint, part);
        }
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf(
      "{\"dummy\": %s, \"tp_size\": %d, \"readers\": %d, \"bytes\": %lld, \"seconds\": %.3f, "
      "\"gb_per_s\": %.2f}\n",
      dummy ? "true" : "false", tp_size, num_readers, static_cast<long long>(bytes), took.count(),
      static_cast<double>(bytes) * 1e-9 / took.count());
  return 0;
}

}  // namespace
}  // namespace sluice::worker

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: weight_read_bench MODEL_DIR [dummy] [tp_size] [readers]\n");
    return 2;
  }
  int next = 2;
  const bool dummy = argc > next && std::string(argv[next]) == "dummy";
  if (dummy) ++next;
  const int tp_size = argc > next ? std::atoi(argv[next++]) : 1;
  const int readers = argc > next ? std::atoi(argv[next]) : 2;
  return sluice::worker::Main(argv[1], dummy, tp_size, readers);
}
