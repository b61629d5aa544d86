// SPDX-License-Identifier: Apache-2.0
// Times the GPU kernels that read weights or KV, at the 14B's shapes, and prints one JSON object:
// for each case the time within a CUDA graph, the bytes that have to be read, and the fraction of
// this GPU's measured reading rate that makes. Every launch of a graph has weights of its own, more
// than the L2 cache holds altogether, and random data.
//
//   cuda_kernel_bench [--rows=1,8,16]
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/attention/decode_attention.h"
#include "kernels/attention/prefill_attention.h"
#include "kernels/awq/dequantize.h"
#include "kernels/awq/small_linear.h"

namespace sluice::kernels {
namespace {

void Check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "cuda_kernel_bench: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

void Check(const LaunchResult& result) {
  if (result.ok()) return;
  std::fprintf(stderr, "cuda_kernel_bench: %s: %s\n", result.problem,
               cudaGetErrorString(result.error));
  std::exit(1);
}

// Device memory of random bits; for bf16, of small finite values.
template <typename T>
class Memory {
 public:
  explicit Memory(size_t size) : size_(size) {
    Check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
    Check(cudaMemset(data_, 0, size * sizeof(T)));
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  T* get() const { return data_; }

  void FillRandomBits(std::mt19937& rng) {
    std::vector<uint32_t> block(1 << 20);
    for (uint32_t& word : block) word = rng();
    CopyRepeated(block.data(), block.size() * 4);
  }
  void FillNormal(std::mt19937& rng) {
    std::normal_distribution<float> normal;
    std::vector<__nv_bfloat16> block(1 << 20);
    for (__nv_bfloat16& value : block) value = __float2bfloat16(normal(rng));
    CopyRepeated(block.data(), block.size() * 2);
  }
  void Fill(const std::vector<T>& values) {
    Check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }

 private:
  void CopyRepeated(const void* block, size_t block_bytes) {
    auto* to = reinterpret_cast<char*>(data_);
    for (size_t done = 0, all = size_ * sizeof(T); done < all; done += block_bytes) {
      Check(
          cudaMemcpy(to + done, block, std::min(block_bytes, all - done), cudaMemcpyHostToDevice));
    }
  }

  const size_t size_;
  T* data_ = nullptr;
};

// Median microseconds of one of `launches` launches, captured in one graph.
double GraphMicroseconds(int launches, const std::function<void(int, cudaStream_t)>& launch) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  launch(0, stream);  // sets attributes outside of the capture
  Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < launches; ++i) launch(i, stream);
  Check(cudaStreamEndCapture(stream, &graph));
  Check(cudaGraphInstantiate(&executable, graph, 0));
  cudaEvent_t begin, end;
  Check(cudaEventCreate(&begin));
  Check(cudaEventCreate(&end));
  std::vector<double> times;
  for (int i = 0; i < 23; ++i) {
    Check(cudaEventRecord(begin, stream));
    Check(cudaGraphLaunch(executable, stream));
    Check(cudaEventRecord(end, stream));
    Check(cudaEventSynchronize(end));
    float milliseconds = 0.0f;
    Check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (i >= 3) times.push_back(1000.0 * milliseconds / launches);
  }
  Check(cudaGraphExecDestroy(executable));
  Check(cudaGraphDestroy(graph));
  Check(cudaEventDestroy(begin));
  Check(cudaEventDestroy(end));
  Check(cudaStreamDestroy(stream));
  std::nth_element(times.begin(), times.begin() + 10, times.end());
  return times[10];
}

struct Gpu {
  std::string name;
  int num_sms = 0;
  double copy_bytes_per_us = 0.0;  // read and written, of a large copy
};

Gpu MeasureGpu() {
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0));
  Gpu gpu = {properties.name, properties.multiProcessorCount, 0.0};
  constexpr size_t kBytes = size_t{1} << 31;
  const Memory<char> from(kBytes), to(kBytes);
  const double us = GraphMicroseconds(4, [&](int, cudaStream_t stream) {
    Check(cudaMemcpyAsync(to.get(), from.get(), kBytes, cudaMemcpyDeviceToDevice, stream));
  });
  gpu.copy_bytes_per_us = 2.0 * static_cast<double>(kBytes) / us;
  return gpu;
}

class Report {
 public:
  explicit Report(const Gpu& gpu) : gpu_(gpu) {
    std::printf("{\"gpu\": \"%s\", \"sms\": %d, \"copy_gb_per_s\": %.0f, \"cases\": [",
                gpu.name.c_str(), gpu.num_sms, gpu.copy_bytes_per_us / 1000.0);
  }
  ~Report() { std::printf("\n]}\n"); }

  void Memory(const std::string& name, double us, double bytes) {
    std::printf(
        "%s\n  {\"case\": \"%s\", \"us\": %.2f, \"mb\": %.2f, \"gb_per_s\": %.0f, \"of_copy\": "
        "%.3f}",
        separator_, name.c_str(), us, bytes / 1e6, bytes / us / 1000.0,
        bytes / us / gpu_.copy_bytes_per_us);
    separator_ = ",";
    std::fflush(stdout);
  }
  void Arithmetic(const std::string& name, double us, double flops) {
    std::printf("%s\n  {\"case\": \"%s\", \"us\": %.2f, \"tflop_per_s\": %.1f}", separator_,
                name.c_str(), us, flops / us / 1e6);
    separator_ = ",";
    std::fflush(stdout);
  }

 private:
  const Gpu gpu_;
  const char* separator_ = "";
};

void BenchLinear(Report& report, const Gpu& gpu, const char* name, int inputs, int outputs,
                 const std::vector<int>& row_counts) {
  std::mt19937 rng(1);
  const awq::PackedAwq shape = {nullptr, outputs, inputs};
  // Twice the L2 and more, so that no launch finds its weights there.
  const int copies = static_cast<int>(std::max<int64_t>(4, 400'000'000 / shape.bytes()));
  Memory<uint8_t> tiles(static_cast<size_t>(shape.bytes()) * copies);
  tiles.FillRandomBits(rng);
  Memory<__nv_bfloat16> x(size_t{16} * inputs);
  x.FillNormal(rng);
  for (const int rows : row_counts) {
    const awq::SplitPlan plan = awq::PlanSmallLinear(outputs, inputs, rows, gpu.num_sms);
    const Memory<float> partials(static_cast<size_t>(plan.PartialFloats(rows, outputs)));
    const double us = GraphMicroseconds(copies, [&](int i, cudaStream_t stream) {
      awq::SmallLinear linear;
      linear.weight = {tiles.get() + i * shape.bytes(), outputs, inputs};
      linear.x = x.get();
      linear.rows = rows;
      linear.plan = plan;
      linear.partials = partials.get();
      Check(awq::RunSmallLinear(linear, stream));
    });
    report.Memory(std::string(name) + " rows " + std::to_string(rows), us,
                  static_cast<double>(shape.bytes()));
  }
  Memory<__nv_bfloat16> dense(size_t{1} * inputs * outputs);
  const double us = GraphMicroseconds(copies, [&](int i, cudaStream_t stream) {
    Check(awq::Dequantize({tiles.get() + i * shape.bytes(), outputs, inputs}, dense.get(), stream));
  });
  report.Memory(std::string(name) + " dequantize", us,
                static_cast<double>(shape.bytes()) + 2.0 * inputs * outputs);
}

constexpr int kQueryHeads = 40, kKvHeads = 8;
using attention::kHeadDim;
using attention::kPageSlots;

// Pages of `layers` layers, and a table that names them in random order.
struct Cache {
  Cache(std::mt19937& rng, int rows, int length, int num_layers)
      : layers(num_layers),
        max_pages((length + kPageSlots - 1) / kPageSlots),
        layer_values(size_t{1} * (rows * max_pages + 1) * kKvHeads * kPageSlots * kHeadDim),
        memory(2 * layer_values * static_cast<size_t>(num_layers)),
        tables(size_t{1} * rows * max_pages) {
    memory.FillNormal(rng);
    std::vector<int32_t> order(size_t{1} * rows * max_pages);
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i + 1);
    std::shuffle(order.begin(), order.end(), rng);
    tables.Fill(order);
  }

  attention::KvPages Layer(int layer) const {
    __nv_bfloat16* keys = memory.get() + 2 * layer_values * static_cast<size_t>(layer);
    return {keys, keys + layer_values, kKvHeads};
  }

  const int layers, max_pages;
  const size_t layer_values;
  Memory<__nv_bfloat16> memory;
  Memory<int32_t> tables;
};

void BenchDecode(Report& report, const Gpu& gpu, int rows, int length) {
  std::mt19937 rng(2);
  const double kv_bytes = 2.0 * rows * length * kKvHeads * kHeadDim * 2;
  const int layers = std::clamp(static_cast<int>(400e6 / kv_bytes), 2, 40);
  const Cache cache(rng, rows, length, layers);
  const int items = attention::MaxDecodeItems(rows, kKvHeads, gpu.num_sms);
  const size_t partials = size_t{1} * items * kKvHeads * attention::kMaxGroup;
  Memory<int32_t> lengths(static_cast<size_t>(rows)), table_rows(static_cast<size_t>(rows)),
      slots(1), first(static_cast<size_t>(rows) + 1);
  lengths.Fill(std::vector<int32_t>(static_cast<size_t>(rows), length));
  std::vector<int32_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0);
  table_rows.Fill(order);
  const Memory<float> partial_out(partials * kHeadDim);
  const Memory<float2> partial_sums(partials);
  const size_t width = size_t{1} * rows * kQueryHeads * kHeadDim;
  Memory<__nv_bfloat16> q(width), out(width);
  q.FillNormal(rng);
  attention::DecodeAttention p;
  p.q = q.get();
  p.page_tables = cache.tables.get();
  p.table_rows = table_rows.get();
  p.max_pages = cache.max_pages;
  p.lengths = lengths.get();
  p.rows = rows;
  p.num_q_heads = kQueryHeads;
  p.scale = 0.08838834764831845f;
  p.num_sms = gpu.num_sms;
  p.workspace = {slots.get(), first.get(), partial_out.get(), partial_sums.get()};
  p.out = out.get();
  const attention::DecodePlan plan = {lengths.get(), rows, kKvHeads, gpu.num_sms, p.workspace};
  const std::string shape = " rows " + std::to_string(rows) + " length " + std::to_string(length);
  report.Memory(
      "decode attention's plan" + shape,
      GraphMicroseconds(20, [&](int, cudaStream_t stream) { Check(RunDecodePlan(plan, stream)); }),
      4.0 * rows);
  const double us = GraphMicroseconds(layers, [&](int i, cudaStream_t stream) {
    p.pages = cache.Layer(i);
    Check(RunDecodeAttention(p, stream));
  });
  report.Memory("decode attention" + shape, us, kv_bytes);
}

void BenchPrefill(Report& report, int first_position, int tokens) {
  std::mt19937 rng(3);
  const Cache cache(rng, 1, first_position + tokens, 1);
  const size_t width = size_t{1} * tokens * kQueryHeads * kHeadDim;
  Memory<__nv_bfloat16> q(width), out(width);
  q.FillNormal(rng);
  std::vector<attention::PrefillTile> tiles;
  for (int i = 0; i < tokens; i += attention::kPrefillTileTokens) {
    tiles.push_back(
        {0, i, std::min(attention::kPrefillTileTokens, tokens - i), first_position + i});
  }
  std::reverse(tiles.begin(), tiles.end());
  Memory<attention::PrefillTile> tiles_device(tiles.size());
  tiles_device.Fill(tiles);
  attention::PrefillAttention p;
  p.q = q.get();
  p.pages = cache.Layer(0);
  p.page_tables = cache.tables.get();
  p.max_pages = cache.max_pages;
  p.tiles = tiles_device.get();
  p.num_tiles = static_cast<int>(tiles.size());
  p.num_q_heads = kQueryHeads;
  p.scale = 0.08838834764831845f;
  p.out = out.get();
  const double us = GraphMicroseconds(
      4, [&](int, cudaStream_t stream) { Check(RunPrefillAttention(p, stream)); });
  const double pairs = static_cast<double>(tokens) * first_position + 0.5 * tokens * (tokens + 1.0);
  report.Arithmetic("prefill attention from " + std::to_string(first_position) + " tokens " +
                        std::to_string(tokens),
                    us, 4.0 * pairs * kQueryHeads * kHeadDim);
}

}  // namespace
}  // namespace sluice::kernels

int main(int argc, char** argv) {
  using namespace sluice::kernels;
  std::vector<int> rows = {1, 2, 4, 8, 16};
  if (argc > 1 && std::strncmp(argv[1], "--rows=", 7) == 0) {
    rows.clear();
    for (const char* at = argv[1] + 7; *at != '\0';) {
      char* end = nullptr;
      rows.push_back(static_cast<int>(std::strtol(at, &end, 10)));
      at = *end == ',' ? end + 1 : end;
    }
  } else if (argc > 1) {
    std::fprintf(stderr, "usage: cuda_kernel_bench [--rows=1,8,16]\n");
    return 2;
  }
  const Gpu gpu = MeasureGpu();
  Report report(gpu);
  BenchLinear(report, gpu, "qkv", 5120, 7168, rows);
  BenchLinear(report, gpu, "o", 5120, 5120, rows);
  BenchLinear(report, gpu, "gate and up", 5120, 34816, rows);
  BenchLinear(report, gpu, "down", 17408, 5120, rows);
  for (const auto& [batch, length] :
       std::vector<std::pair<int, int>>{{1, 1024}, {1, 32768}, {64, 1024}, {256, 1024}}) {
    BenchDecode(report, gpu, batch, length);
  }
  BenchPrefill(report, 0, 2048);
  BenchPrefill(report, 0, 8192);
  BenchPrefill(report, 30720, 2048);
  return 0;
}
