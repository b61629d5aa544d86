// SPDX-License-Identifier: Apache-2.0
// Times the GPU kernels that read weights, KV or logits, at the 14B's shapes, and prints one JSON
// object: for each case the time within a CUDA graph, the bytes that have to be moved, the
// operations, and which fraction of this GPU's measured best that makes. Every launch of a graph
// has weights of its own, more than the L2 cache holds altogether, and random data.
//
// cuda_kernel_bench --help has the options.
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/attention/decode_attention.h"
#include "kernels/attention/prefill_attention.h"
#include "tests/bench/cuda_linear_cases.h"
#include "tests/bench/cuda_sampling_cases.h"
#include "tests/bench/cuda_timing.h"
#include "tests/bench/usage.h"

namespace sluice::kernels {
namespace {

constexpr int kQueryHeads = 40, kKvHeads = 8;
using attention::kHeadDim;
using attention::kPageSlots;

// Pages of `layers` layers for rows of some lengths, and a table that names them in random order.
struct Cache {
  Cache(std::mt19937& rng, const std::vector<int>& lengths, int kv_heads, int num_layers)
      : num_kv_heads(kv_heads), layers(num_layers) {
    int num_pages = 1;
    for (const int length : lengths) {
      max_pages = std::max(max_pages, PagesOf(length));
      num_pages += PagesOf(length);
    }
    layer_values = size_t{1} * num_pages * kv_heads * kPageSlots * kHeadDim;
    memory =
        std::make_unique<Memory<__nv_bfloat16>>(2 * layer_values * static_cast<size_t>(num_layers));
    memory->FillNormal(rng);
    std::vector<int32_t> order(static_cast<size_t>(num_pages) - 1);
    std::iota(order.begin(), order.end(), 1);
    std::shuffle(order.begin(), order.end(), rng);
    std::vector<int32_t> table(lengths.size() * static_cast<size_t>(max_pages));
    auto next = order.begin();
    for (size_t row = 0; row < lengths.size(); ++row) {
      const int pages = PagesOf(lengths[row]);
      std::copy_n(next, pages, table.begin() + static_cast<int64_t>(row) * max_pages);
      next += pages;
    }
    tables = std::make_unique<Memory<int32_t>>(table.size());
    tables->Fill(table);
  }

  static int PagesOf(int length) { return (length + kPageSlots - 1) / kPageSlots; }

  attention::KvPages Layer(int layer) const {
    __nv_bfloat16* keys = memory->get() + 2 * layer_values * static_cast<size_t>(layer);
    return {keys, keys + layer_values, num_kv_heads};
  }

  const int num_kv_heads, layers;
  int max_pages = 0;
  size_t layer_values = 0;
  std::unique_ptr<Memory<__nv_bfloat16>> memory;
  std::unique_ptr<Memory<int32_t>> tables;
};

struct DecodeCase {
  std::string name;
  std::vector<int> lengths;
  int num_kv_heads = kKvHeads;
};

std::vector<DecodeCase> DecodeCases() {
  std::vector<DecodeCase> cases;
  const auto add = [&](int rows, int length, int kv_heads) {
    cases.push_back({(kv_heads < kKvHeads ? " of one KV head rows " : " rows ") +
                         std::to_string(rows) + " length " + std::to_string(length),
                     std::vector<int>(static_cast<size_t>(rows), length), kv_heads});
  };
  for (const int rows : {1, 16, 64, 256}) add(rows, 1024, kKvHeads);
  add(1, 32768, kKvHeads);
  for (const int rows : {1, 64, 256}) add(rows, 1024, 1);
  add(1, 32768, 1);
  DecodeCase skewed = {" rows 32 length 4096 and once 131072", std::vector<int>(32, 4096)};
  skewed.lengths[13] = 131072;
  cases.push_back(skewed);
  return cases;
}

void BenchDecode(Report& report, const Gpu& gpu, const DecodeCase& c) {
  std::mt19937 rng(2);
  const int rows = static_cast<int>(c.lengths.size());
  const int num_q_heads = c.num_kv_heads * kQueryHeads / kKvHeads;
  const double kv_bytes =
      4.0 * c.num_kv_heads * kHeadDim * std::accumulate(c.lengths.begin(), c.lengths.end(), 0.0);
  const int layers = std::clamp(static_cast<int>(400e6 / kv_bytes), 2, 40);
  const Cache cache(rng, c.lengths, c.num_kv_heads, layers);
  Memory<int32_t> lengths(c.lengths.size()), table_rows(c.lengths.size());
  lengths.Fill(c.lengths);
  std::vector<int32_t> order(c.lengths.size());
  std::iota(order.begin(), order.end(), 0);
  table_rows.Fill(order);
  const attention::DecodeWorkspaceShape shape = {rows, c.num_kv_heads, gpu.num_sms};
  attention::DecodeAttention p;
  const Memory<char> workspace(DivideDecodeWorkspace(nullptr, shape, &p.workspace));
  DivideDecodeWorkspace(workspace.get(), shape, &p.workspace);
  const size_t width = size_t{1} * rows * num_q_heads * kHeadDim;
  Memory<__nv_bfloat16> q(width), out(width);
  q.FillNormal(rng);
  p.q = q.get();
  p.page_tables = cache.tables->get();
  p.table_rows = table_rows.get();
  p.max_pages = cache.max_pages;
  p.lengths = lengths.get();
  p.rows = rows;
  p.num_q_heads = num_q_heads;
  p.scale = 0.08838834764831845f;
  p.num_sms = gpu.num_sms;
  p.out = out.get();
  const attention::DecodePlan plan = {lengths.get(), rows, c.num_kv_heads, gpu.num_sms,
                                      p.workspace};
  report.Case(
      "decode attention's plan" + c.name,
      GraphMicroseconds(20, [&](int, cudaStream_t stream) { Check(RunDecodePlan(plan, stream)); }),
      4.0 * rows);
  const double us = GraphMicroseconds(layers, [&](int i, cudaStream_t stream) {
    p.pages = cache.Layer(i);
    Check(RunDecodeAttention(p, stream));
  });
  report.Case("decode attention" + c.name, us, kv_bytes);
}

// kv_heads: as a rank of several has them.
void BenchPrefill(Report& report, const Gpu& gpu, int first_position, int tokens,
                  int kv_heads = kKvHeads) {
  const int heads = kv_heads * (kQueryHeads / kKvHeads);
  std::mt19937 rng(3);
  const Cache cache(rng, {first_position + tokens}, kv_heads, 1);
  const size_t width = size_t{1} * tokens * heads * kHeadDim;
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
  p.page_tables = cache.tables->get();
  p.max_pages = cache.max_pages;
  p.tiles = tiles_device.get();
  p.num_tiles = static_cast<int>(tiles.size());
  p.num_tokens = p.tile_tokens = tokens;
  p.max_slots = first_position + tokens;
  p.num_q_heads = heads;
  p.scale = 0.08838834764831845f;
  p.num_sms = gpu.num_sms;
  const int64_t partial_rows = attention::PrefillPartialRows(gpu.num_sms);
  const Memory<float> partial_out(static_cast<size_t>(partial_rows) * kHeadDim);
  const Memory<float2> partial_sums(static_cast<size_t>(partial_rows));
  p.workspace = {partial_out.get(), partial_sums.get(), partial_rows};
  p.out = out.get();
  const double us = GraphMicroseconds(
      4, [&](int, cudaStream_t stream) { Check(RunPrefillAttention(p, stream)); });
  const double pairs = static_cast<double>(tokens) * first_position + 0.5 * tokens * (tokens + 1.0);
  report.Case("prefill attention from " + std::to_string(first_position) + " tokens " +
                  std::to_string(tokens) + " heads " + std::to_string(heads),
              us, 0.0, 4.0 * pairs * heads * kHeadDim);
}

struct Options {
  LinearCases linears;
  bool decode = true, prefill = true, sampling = true;
  std::vector<std::string> library_folders;
};

std::vector<std::string_view> SplitAtCommas(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

constexpr char kUsage[] = R"(usage: cuda_kernel_bench [options]
Times the GPU kernels that read weights, KV or logits, at the 14B's shapes; prints JSON.
  --only=GROUP,...        small, medium, dense, lm_head (linears), decode, prefill, sampling
  --rows=N,...            of the linears; each group takes those that are its own
  --cublaslt=FOLDER       where libcublasLt.so.13 is, if not where the loader looks
)";

Options Parse(int argc, char** argv) {
  Options options;
  LinearCases& linears = options.linears;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    if (equals == std::string_view::npos) EndWithUsage(kUsage, argument);
    const std::string_view name = argument.substr(0, equals), value = argument.substr(equals + 1);
    if (name == "--cublaslt") {
      options.library_folders.emplace_back(value);
    } else if (name == "--rows") {
      std::vector<int> rows;
      for (const std::string_view part : SplitAtCommas(value)) {
        rows.push_back(std::atoi(std::string(part).c_str()));
        if (rows.back() < 1) EndWithUsage(kUsage, argument);
      }
      linears.small_rows = linears.medium_rows = linears.gated_rows = linears.dense_rows = rows;
    } else if (name == "--only") {
      const std::vector<std::string_view> only = SplitAtCommas(value);
      const auto has = [&](std::string_view group) {
        return std::find(only.begin(), only.end(), group) != only.end();
      };
      linears.small = has("small");
      linears.medium = has("medium");
      linears.dense = has("dense");
      linears.lm_head = has("lm_head");
      options.decode = has("decode");
      options.prefill = has("prefill");
      options.sampling = has("sampling");
    } else {
      EndWithUsage(kUsage, argument);
    }
  }
  return options;
}

}  // namespace
}  // namespace sluice::kernels

int main(int argc, char** argv) {
  using namespace sluice::kernels;
  const Options options = Parse(argc, argv);
  const Memory<uint8_t> workspace(dense::kDenseWorkspaceBytes);
  const dense::DenseLinear::Opened opened = dense::DenseLinear::Open(
      {options.library_folders, workspace.get(), dense::kDenseWorkspaceBytes,
       /*own_small_products=*/false});
  if (opened.linear == nullptr) {
    std::fprintf(stderr, "cuda_kernel_bench: no dense cases: %s\n", opened.error.c_str());
  }
  const Gpu gpu = MeasureGpu(opened.linear.get());
  Report report(gpu);
  BenchLinears(options.linears, gpu, opened.linear.get(), report);
  if (options.decode) {
    for (const DecodeCase& c : DecodeCases()) BenchDecode(report, gpu, c);
  }
  if (options.prefill) {
    BenchPrefill(report, gpu, 0, 2048);
    BenchPrefill(report, gpu, 0, 8192);
    for (const int kv_heads : {8, 4, 2, 1}) BenchPrefill(report, gpu, 30720, 2048, kv_heads);
    BenchPrefill(report, gpu, 0, 2048, 1);
    BenchPrefill(report, gpu, 32763, 5);
  }
  if (options.sampling) BenchSampling({1, 64, 256}, gpu, report);
  return 0;
}
