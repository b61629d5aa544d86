// SPDX-License-Identifier: Apache-2.0
// Times the CPU kernels at the 14B's and a small model's shapes and prints one JSON object: for
// each case the best time (of one thread: its CPU time), GB/s and GFLOP/s, and the fraction of this
// machine's measured limit that binds it (reading memory, or fused multiply-adds on one thread
// times the threads).
//
// Fractions of reading above 1 belong to what stays in a cache.
//
//   cpu_kernel_bench [threads = 1] [isa = best | generic | v2 | v3 | v4]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/cpu/attention.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_pack.h"
#include "kernels/cpu/mlp.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/sampling/sampling.h"

namespace sluice::kernels::cpu {
namespace {

// Seconds on one thread's own clock, so that other processes on the machine do not count; on
// several threads, the wall's.
double Now(bool one_thread) {
  timespec now{};
  clock_gettime(one_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds of one run: the best of many measurements over about a third of a second, each of as many
// runs as take 200 us, since a thread's clock advances in steps of microseconds.
double BestSeconds(bool one_thread, const std::function<void()>& run) {
  constexpr double kLeast = 200e-6;
  double best = 1e9;
  double spent = 0.0;
  int runs = 1;
  for (int measured = 0; measured < 3 || spent < 0.3;) {
    const double begin = Now(one_thread);
    for (int i = 0; i < runs; ++i) run();
    const double seconds = Now(one_thread) - begin;
    spent += seconds;
    if (seconds < kLeast) {
      runs *= 2;
      continue;
    }
    if (measured++ > 0)
      best = std::min(best, seconds / runs);  // the first one warms caches and pages
  }
  return best;
}

// GB/s of reading 32 MiB at a time of 512 MiB, far beyond the caches, in a weight's own (huge)
// pages.
double ReadBandwidth(ThreadPool& pool) {
  using Words = uint64_t __attribute__((vector_size(32)));
  const LinearWeight buffer({LinearWeight::Format::kF32, 4096, 32768, 32768});
  const auto* data = reinterpret_cast<const Words*>(buffer.words());
  const int64_t all = buffer.bytes() / static_cast<int64_t>(sizeof(Words));
  const int64_t part = all / 16;
  const int tasks = pool.num_threads();
  std::vector<Words> sums(tasks * 4);
  int64_t begin = 0;
  const double seconds = BestSeconds(tasks == 1, [&] {
    pool.ParallelFor(tasks, [&](int task) {
      const Words* in = data + begin + part / tasks * task;
      const int64_t stream = part / tasks / 4;  // four at once keep more lines in flight than one
      Words sum[4] = {};
      for (int64_t i = 0; i + 2 <= stream; i += 2) {
        for (int j = 0; j < 4; ++j) sum[j] |= in[j * stream + i] | in[j * stream + i + 1];
      }
      for (int j = 0; j < 4; ++j) sums[task * 4 + j] |= sum[j];
    });
    begin = (begin + part) % all;
  });
  return static_cast<double>(part) * sizeof(Words) / seconds / 1e9;
}

constexpr int kFmaChains = 12;  // more than latency times ports
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float Fma8(int64_t iterations) {
  __m256 acc[kFmaChains];
  for (__m256& v : acc) v = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(0.999f);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (__m256& v : acc) v = _mm256_fmadd_ps(v, a, a);
  }
  float sum = 0.0f;
  for (const __m256& v : acc) sum += _mm256_cvtss_f32(v);
  return sum;
}
__attribute__((target("avx512f"))) float Fma16(int64_t iterations) {
  __m512 acc[kFmaChains];
  for (__m512& v : acc) v = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(0.999f);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (__m512& v : acc) v = _mm512_fmadd_ps(v, a, a);
  }
  float sum = 0.0f;
  for (const __m512& v : acc) sum += _mm512_cvtss_f32(v);
  return sum;
}
#endif

// GFLOP/s of one thread times the threads; 0 where the instruction set has no FMA.
double FmaLimit(Isa isa, int threads) {
#if defined(__x86_64__)
  const int lanes = isa == Isa::kX86V4 ? 16 : isa == Isa::kX86V3 ? 8 : 0;
  if (lanes == 0) return 0.0;
  const int64_t iterations = 200'000;
  volatile float sink = 0.0f;
  const double seconds =
      BestSeconds(true, [&] { sink = lanes == 16 ? Fma16(iterations) : Fma8(iterations); });
  return static_cast<double>(iterations) * kFmaChains * lanes * 2 / seconds / 1e9 * threads;
#else
  (void)isa, (void)threads;
  return 0.0;
#endif
}

class Bench {
 public:
  Bench(int threads, double bandwidth, double fma)
      : pool_(threads), bandwidth_(bandwidth), fma_(fma), rng_(1) {}

  void Report(const std::string& name, double seconds, double bytes, double flops) {
    const double gbs = bytes / seconds / 1e9;
    const double gflops = flops / seconds / 1e9;
    const double of_fma = fma_ > 0.0 ? gflops / fma_ : 0.0;
    std::printf(
        "%s\n    {\"name\": \"%s\", \"us\": %.2f, \"gb_s\": %.2f, \"gflop_s\": %.2f, "
        "\"of_read\": %.3f, \"of_fma\": %.3f}",
        first_ ? "" : ",", name.c_str(), seconds * 1e6, gbs, gflops, gbs / bandwidth_, of_fma);
    std::fflush(stdout);
    first_ = false;
  }

  LinearWeight RandomWeight(LinearWeight::Format format, int64_t inputs, int64_t outputs) {
    LinearWeight weight({format, outputs, inputs, inputs});
    // Random bits under a mask that keeps every format finite.
    const uint32_t mask = format == LinearWeight::Format::kAwq4 ? ~0u : 0xBFFFBFFFu;
    const int64_t words = weight.words_per_block() * weight.num_blocks();
    for (int64_t i = 0; i < words; ++i) weight.mutable_words()[i] = rng_() & mask;
    if (format == LinearWeight::Format::kAwq4) {
      for (int64_t i = 0; i < weight.num_blocks() * weight.groups() * kBlockOutputs; ++i) {
        weight.mutable_scales()[i] = 0.01f;
        weight.mutable_zeros()[i] = 8;
      }
    }
    return weight;
  }

  // Runs walk through enough copies that a weight is read from memory, as in a model; one that a
  // cache may hold
  // ("cached") has a single copy.
  void Linears(const std::string& name, LinearWeight::Format format, int64_t inputs,
               int64_t outputs, std::initializer_list<int> rows, bool cached = false) {
    constexpr int64_t kFarBeyondCaches = int64_t{256} << 20;
    std::vector<LinearWeight> weights;
    int64_t bytes = 0;
    do {
      weights.push_back(RandomWeight(format, inputs, outputs));
      bytes += weights.back().bytes();
    } while (!cached && bytes < kFarBeyondCaches);
    for (int m : rows) {
      std::vector<float> x(m * inputs, 0.5f), y(m * outputs);
      size_t next = 0;
      const double seconds = Time([&] {
        Linear(weights[next], x.data(), inputs, m, y.data(), outputs, pool_);
        next = (next + 1) % weights.size();
      });
      const double moved =
          static_cast<double>(weights[0].bytes()) + 4.0 * m * static_cast<double>(inputs + outputs);
      Report(name + (cached ? " cached " : " ") + std::to_string(inputs) + "x" +
                 std::to_string(outputs) + " m=" + std::to_string(m),
             seconds, moved, 2.0 * m * static_cast<double>(inputs * outputs));
    }
  }

  // `tokens` queries at the end of a row of `context` positions.
  void Attention(int kv_heads, int group, int context, int tokens) {
    const int dim = 128;
    const int num_pages = (context + kKvPageSlots - 1) / kKvPageSlots;
    KvPages pages{nullptr, nullptr, kv_heads, dim};
    std::vector<float> keys(num_pages * pages.page_floats(), 0.1f), values(keys.size(), 0.2f);
    pages.keys = keys.data();
    pages.values = values.data();
    std::vector<int32_t> table(num_pages);
    for (int i = 0; i < num_pages; ++i) table[i] = i;
    std::vector<TokenPlace> places;
    for (int i = context - tokens; i < context; ++i) places.push_back({table.data(), i});
    const int64_t width = int64_t{kv_heads} * group * dim;
    std::vector<float> q(tokens * width, 0.1f), out(q.size());
    const double seconds = Time([&] {
      PagedAttention(pages, places.data(), tokens, q.data(), width, kv_heads * group, 0.088f,
                     out.data(), width, pool_);
    });
    const double positions = 0.5 * (2.0 * context - tokens + 1) * tokens;
    Report("attention kv=" + std::to_string(kv_heads) + " group=" + std::to_string(group) +
               " context=" + std::to_string(context) + " tokens=" + std::to_string(tokens),
           seconds, 8.0 * context * kv_heads * dim, 4.0 * positions * kv_heads * group * dim);
  }

  void Elementwise() {
    const int64_t width = 5120;
    std::vector<float> x(width * 2, 0.5f), w(width, 1.0f), y(width);
    Report("rms_norm 5120",
           Time([&] { RmsNorm(x.data(), w.data(), 1e-6f, 1, width, y.data(), pool_); }),
           width * 12.0, width * 4.0);
    Report("silu_mul 5120", Time([&] { SiluMul(x.data(), 1, width, y.data(), pool_); }),
           width * 12.0, width * 20.0);
    const RopeFrequencies rope = DefaultRope(1e6, 128);
    const std::vector<int32_t> positions = {100000};
    std::vector<float> c(64), s(64);
    Report("rope_angles 1 token",
           Time([&] { RopeAngles(rope, positions, c.data(), s.data(), pool_); }), 512, 0);
    Report("head_norm_rope 48 heads", Time([&] {
             HeadNormRope(x.data(), 48 * 128, 1, 48, 128, w.data(), 1e-6f, c.data(), s.data(),
                          pool_);
           }),
           48 * 128 * 8.0, 48 * 128 * 8.0);
  }

  void Sampling() {
    std::normal_distribution<float> normal(0.0f, 3.0f);
    std::vector<float> logits(151936);
    for (float& v : logits) v = normal(rng_);
    Sampler sampler;
    auto time = [&](const char* name, const SamplerParams& params) {
      Report(name, Time([&] { sampler.Sample(logits, 151669, params, nullptr, 0); }),
             logits.size() * 4.0, 0);
    };
    SamplerParams params;
    time("sample temperature", params);
    params.top_p = 0.95f;
    time("sample top_p", params);
    params.top_k = 20;
    params.temperature = 0.6f;
    time("sample top_k top_p", params);
    params.temperature = 0.0f;
    time("sample greedy", params);
  }

 private:
  double Time(const std::function<void()>& run) {
    return BestSeconds(pool_.num_threads() == 1, run);
  }

  ThreadPool pool_;
  double bandwidth_;
  double fma_;
  std::mt19937 rng_;
  bool first_ = true;
};

bool ParseIsa(const std::string& name, Isa* isa) {
  if (name == "best") return true;
  const std::pair<const char*, Isa> names[] = {
      {"generic", Isa::kGeneric}, {"v2", Isa::kX86V2}, {"v3", Isa::kX86V3}, {"v4", Isa::kX86V4}};
  for (const auto& [text, value] : names) {
    if (name == text) {
      *isa = value;
      return IsaSupported(value);
    }
  }
  return false;
}

int Main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  Isa isa = ActiveIsa();
  if (!ParseIsa(argc > 2 ? argv[2] : "best", &isa)) {
    std::fprintf(stderr, "unknown or unsupported instruction set %s\n", argv[2]);
    return 1;
  }
  SetIsaForTest(isa);
  ThreadPool pool(threads);
  const double bandwidth = ReadBandwidth(pool);
  const double fma = FmaLimit(isa, threads);
  std::printf(
      "{\"threads\": %d, \"isa\": \"%s\", \"read_gb_s\": %.2f, \"fma_gflop_s\": %.2f, \"cases\": [",
      threads, IsaName(isa), bandwidth, fma);
  Bench bench(threads, bandwidth, fma);
  using Format = LinearWeight::Format;
  bench.Linears("awq", Format::kAwq4, 5120, 7168, {1, 2, 4, 16, 128});
  bench.Linears("awq", Format::kAwq4, 8704, 5120, {1, 128});
  bench.Linears("awq", Format::kAwq4, 512, 1536, {1, 4, 32}, true);
  bench.Linears("bf16", Format::kBf16, 5120, 7168, {1, 16, 128});
  bench.Linears("bf16", Format::kBf16, 512, 1536, {1, 32}, true);
  bench.Linears("f16", Format::kF16, 5120, 4096, {1, 128});
  bench.Linears("f32", Format::kF32, 5120, 4096, {1, 128});
  bench.Attention(8, 5, 1024, 1);
  bench.Attention(8, 5, 16384, 1);
  bench.Attention(2, 2, 256, 1);
  bench.Attention(8, 5, 2048, 128);
  bench.Elementwise();
  bench.Sampling();
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace sluice::kernels::cpu

int main(int argc, char** argv) { return sluice::kernels::cpu::Main(argc, argv); }
