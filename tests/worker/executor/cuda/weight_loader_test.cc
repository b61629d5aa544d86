// SPDX-License-Identifier: Apache-2.0
// What LoadWeights leaves on the device against what the CPU's loader makes of the same folder,
// value by value: a linear of the CPU, given one input of 1 and zeros else, returns the column of
// its weight. On the device every value is rounded to bf16 once, so the CPU's rounded is equal, bit
// for bit.
#include "worker/executor/cuda/weight_loader.h"

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "kernels/awq/dequantize.h"
#include "kernels/cpu/float_type.h"
#include "tests/worker/model/model_runner.h"
#ifdef SLUICE_CUDA_EMULATED
#include "tests/cuda_emulation/settings.h"
#endif
#include "worker/device/current_device.h"
#include "worker/model/linear.h"
#include "worker/model/rope_frequencies.h"
#include "worker/parallel/shard_plan.h"

namespace sluice::worker {
namespace {

using kernels::cpu::FloatToBf16;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<uint16_t> FromDevice(const __nv_bfloat16* values, int64_t count) {
  std::vector<uint16_t> host(static_cast<size_t>(count));
  EXPECT_EQ(cudaMemcpy(host.data(), values, host.size() * 2, cudaMemcpyDeviceToHost), cudaSuccess);
  return host;
}

// [outputs][inputs].
std::vector<uint16_t> Values(const DeviceLinear& linear) {
  const int64_t count = int64_t{linear.outputs} * linear.inputs;
  if (!linear.is_awq()) return FromDevice(linear.dense, count);
  auto wide = device::DeviceBuffer::Allocate(count * 2, "a test");
  EXPECT_TRUE(wide.ok());
  EXPECT_TRUE(kernels::awq::Dequantize(linear.awq, wide->As<__nv_bfloat16>(), nullptr).ok());
  return FromDevice(wide->As<__nv_bfloat16>(), count);
}

// Of the CPU's, as the device should hold it: [outputs][inputs]. forward(x, num_rows, y).
template <typename Forward>
std::vector<uint16_t> ValuesOnCpu(int outputs, int inputs, const Forward& forward) {
  constexpr int kRows = 64;
  std::vector<uint16_t> values(static_cast<size_t>(outputs) * static_cast<size_t>(inputs));
  std::vector<float> x(static_cast<size_t>(kRows) * static_cast<size_t>(inputs));
  std::vector<float> y(static_cast<size_t>(kRows) * static_cast<size_t>(outputs));
  for (int first = 0; first < inputs; first += kRows) {
    std::fill(x.begin(), x.end(), 0.0f);
    for (int row = 0; row < kRows; ++row) x[static_cast<size_t>(row * inputs + first + row)] = 1;
    forward(x.data(), kRows, y.data());
    for (int row = 0; row < kRows; ++row) {
      for (int output = 0; output < outputs; ++output) {
        values[static_cast<size_t>(output) * static_cast<size_t>(inputs) +
               static_cast<size_t>(first + row)] =
            FloatToBf16(y[static_cast<size_t>(row) * static_cast<size_t>(outputs) +
                          static_cast<size_t>(output)]);
      }
    }
  }
  return values;
}

// Of linears one after the other, their outputs in turns: each linear's first, then each one's
// second.
std::vector<uint16_t> InTurns(const std::vector<uint16_t>& values, size_t linears, size_t inputs) {
  std::vector<uint16_t> in_turns;
  in_turns.reserve(values.size());
  const size_t outputs = values.size() / inputs / linears;  // of each
  for (size_t output = 0; output < outputs; ++output) {
    for (size_t linear = 0; linear < linears; ++linear) {
      const auto row = values.begin() + static_cast<int64_t>((linear * outputs + output) * inputs);
      in_turns.insert(in_turns.end(), row, row + static_cast<int64_t>(inputs));
    }
  }
  return in_turns;
}

// A bf16 zero may have either sign: the CPU adds zeros to it.
void ExpectEqual(const std::vector<uint16_t>& device, const std::vector<uint16_t>& cpu,
                 const std::string& what) {
  ASSERT_EQ(device.size(), cpu.size()) << what;
  for (size_t i = 0; i < device.size(); ++i) {
    const bool zeros = ((device[i] | cpu[i]) & 0x7FFF) == 0;
    ASSERT_TRUE(device[i] == cpu[i] || zeros)
        << what << ", value " << i << ": " << device[i] << " for " << cpu[i];
  }
}

std::vector<uint16_t> Rounded(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(FloatToBf16(value));
  return bits;
}

struct Case {
  std::string dir;
  bool dummy = false;
};

std::shared_ptr<const ModelFolder> OpenFolder(const Case& c, int tp_size) {
  auto folder = ModelFolder::Open({.dir = c.dir, .tp_size = tp_size, .dummy_weights = c.dummy});
  EXPECT_TRUE(folder.ok()) << folder.status();
  return *std::move(folder);
}

class Comparison {
 public:
  Comparison(const Case& c, int tp_size, int rank) : rank_(rank), folder_(OpenFolder(c, tp_size)) {}

  void Run() {
    WeightLoaderOptions options;
    options.rank = rank_;
    options.num_readers = 3;
    options.slot_bytes = 50'000;  // several pieces of every linear
    std::vector<int64_t> progress;
    int64_t total = 0;
    options.on_progress = [&](int64_t done, int64_t all) {
      progress.push_back(done);
      total = all;
    };
    const auto weights = LoadWeights(*folder_, options);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
    EXPECT_EQ(progress.back(), total);
    CompareTables(*weights);
    for (int layer = 0; layer < folder_->config().num_layers; ++layer) {
      CompareLayer(layer, weights->layers[static_cast<size_t>(layer)]);
    }
  }

 private:
  void CompareTables(const DeviceWeights& weights) {
    const Qwen3Config& config = folder_->config();
    const int64_t hidden = config.hidden_size;
    const Slice rows = ShardOf(config.vocab_size, rank_, folder_->tp_size());
    EXPECT_EQ(weights.first_id, rows.begin);
    EXPECT_EQ(weights.vocab_rows, rows.size);
    const auto table = [&](const char* name) {
      const ExpectedTensor tensor = FloatTensor(name, {config.vocab_size, hidden});
      return Rounded(reader_.ReadRows(tensor, rows.begin, rows.size).ToFloats(rows.size * hidden));
    };
    const int64_t count = rows.size * hidden;
    ExpectEqual(FromDevice(weights.embedding, count), table(kEmbeddingName), kEmbeddingName);
    if (config.tie_word_embeddings) {
      EXPECT_EQ(weights.lm_head, weights.embedding);
    } else {
      ExpectEqual(FromDevice(weights.lm_head, count), table(kLmHeadName), kLmHeadName);
    }
    CompareNorm(kFinalNormName, hidden, weights.final_norm);
    const kernels::cpu::RopeFrequencies rope = RopeFrequenciesOf(config);
    std::vector<float> inv_freq(kHeadDim / 2);
    EXPECT_EQ(cudaMemcpy(inv_freq.data(), weights.inv_freq, inv_freq.size() * sizeof(float),
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
    EXPECT_EQ(inv_freq, rope.inv_freq);
    EXPECT_EQ(weights.attention_factor, rope.attention_factor);
  }

  void CompareNorm(const std::string& name, int64_t size, const __nv_bfloat16* norm) {
    const ExpectedTensor tensor = FloatTensor(name, {size});
    ExpectEqual(FromDevice(norm, size), Rounded(reader_.Read(tensor).ToFloats(size)), name);
  }

  enum class Order { kSideBySide, kInTurns };
  void CompareByOutputs(const std::vector<LinearShape>& linears, Order order,
                        const DeviceLinear& device) {
    const auto cpu = ColumnParallelLinear::Load(context_, linears);
    ASSERT_EQ(device.outputs, cpu.local_outputs());
    std::vector<uint16_t> values = ValuesOnCpu(
        device.outputs, device.inputs,
        [&](const float* x, int64_t rows, float* y) { cpu.Forward(x, rows, y, pool_); });
    if (order == Order::kInTurns) {
      values = InTurns(values, linears.size(), static_cast<size_t>(device.inputs));
    }
    ExpectEqual(Values(device), values, linears[0].module);
  }

  void CompareByInputs(const LinearShape& linear, const DeviceLinear& device) {
    const auto cpu = RowParallelLinear::Load(context_, linear);
    SingleRankCommunicator alone;  // the rank's own part of the sum
    const auto values =
        ValuesOnCpu(device.outputs, device.inputs, [&](const float* x, int64_t rows, float* y) {
          ASSERT_TRUE(cpu.Forward(x, rows, y, pool_, alone).ok());
        });
    ExpectEqual(Values(device), values, linear.module);
  }

  void CompareLayer(int layer, const DeviceLayer& device) {
    const Qwen3Config& config = folder_->config();
    const std::string prefix = LayerPrefix(layer);
    CompareNorm(prefix + "input_layernorm.weight", config.hidden_size, device.input_norm);
    CompareNorm(prefix + "post_attention_layernorm.weight", config.hidden_size,
                device.post_attention_norm);
    CompareNorm(prefix + "self_attn.q_norm.weight", kHeadDim, device.q_norm);
    CompareNorm(prefix + "self_attn.k_norm.weight", kHeadDim, device.k_norm);
    const std::vector<LinearShape> linears = LayerLinears(config, layer);
    CompareByOutputs({linears[0], linears[1], linears[2]}, Order::kSideBySide, device.qkv);
    CompareByInputs(linears[3], device.o);
    CompareByOutputs({linears[4], linears[5]}, Order::kInTurns, device.gate_up);
    CompareByInputs(linears[6], device.down);
  }

  const int rank_;
  const std::shared_ptr<const ModelFolder> folder_;
  kernels::cpu::ThreadPool pool_{1};
  WeightReader reader_{folder_->checkpoint(), 0, nullptr};
  LoadContext context_{folder_->config(), reader_, pool_, rank_, folder_->tp_size()};
};

bool HasGpu() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

class WeightLoaderTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!HasGpu()) GTEST_SKIP() << "no GPU";
  }
};

class WeightLoaderCaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasGpu()) GTEST_SKIP() << "no GPU";
  }
};

TEST_P(WeightLoaderTest, LoadsWhatTheCpuLoads) {
  const int tp_size = GetParam();
  const Case cases[] = {{.dir = ParityDir("grouped_untied")},  // in two files
                        {.dir = ParityDir("plain_tied")},      // F16 scales
                        {.dir = ParityDir("grouped_untied"), .dummy = true},
                        {.dir = DemoModelDir()}};
  for (const Case& c : cases) {
    for (int rank = 0; rank < tp_size; ++rank) {
      SCOPED_TRACE(c.dir + (c.dummy ? ", dummy" : "") + ", rank " + std::to_string(rank));
      Comparison(c, tp_size, rank).Run();
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TpSizes, WeightLoaderTest, ::testing::Values(1, 2, 4));

// A folder of dummy weights that eight ranks can share, as no checkpoint made for tests.
std::string WriteConfigForEight(bool awq) {
  const std::string dir = ::testing::TempDir() + (awq ? "/for_eight_awq" : "/for_eight_dense");
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/config.json")
      << R"({"model_type": "qwen3", "hidden_size": 256, "intermediate_size": 1024,
             "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 128,
             "rms_norm_eps": 1e-6, "rope_theta": 1000000, "max_position_embeddings": 1024,
             "tie_word_embeddings": false, "eos_token_id": 0, "torch_dtype": "bfloat16",
             "vocab_size": 512, "num_hidden_layers": 1)"
      << (awq ? R"(, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128,
                                             "version": "gemm", "zero_point": true}})"
              : "}");
  return dir;
}

TEST_F(WeightLoaderCaseTest, EightRanks) {
  for (const bool awq : {true, false}) {
    const std::string dir = WriteConfigForEight(awq);
    for (int rank = 0; rank < 8; ++rank) {
      SCOPED_TRACE(dir + ", rank " + std::to_string(rank));
      Comparison({.dir = dir, .dummy = true}, 8, rank).Run();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Every float type, none of them quantized.
TEST_F(WeightLoaderCaseTest, DenseLinearsAreRounded) {
  for (const int tp_size : {1, 2}) {
    for (int rank = 0; rank < tp_size; ++rank) {
      Comparison({.dir = ParityDir("dense")}, tp_size, rank).Run();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST_F(WeightLoaderCaseTest, AwqBesideDenseIsRefused) {
  const auto folder = OpenFolder({.dir = ParityDir("mixed")}, 1);
  const auto weights = LoadWeights(*folder, {});
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(weights.status().message()),
              AllOf(HasSubstr("self_attn.q_proj"), HasSubstr("self_attn.k_proj")));
}

TEST_F(WeightLoaderCaseTest, WeightsThatDoNotFitAreRefused) {
#ifdef SLUICE_CUDA_EMULATED
  const size_t all = cuda_emulation::TheSettings().memory_bytes;
  cuda_emulation::TheSettings().memory_bytes = 8 << 20;
#else
  ASSERT_TRUE(device::SetDevice(0).ok());
  const auto memory = device::QueryMemory();
  ASSERT_TRUE(memory.ok());
  const auto most = device::DeviceBuffer::Allocate(memory->free_bytes - (8 << 20), "a test");
  if (!most.ok()) GTEST_SKIP() << "memory is in pieces";
#endif
  const auto folder = OpenFolder({.dir = DemoModelDir()}, 1);
  const auto weights = LoadWeights(*folder, {});
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr("bytes for the weights"));
#ifdef SLUICE_CUDA_EMULATED
  cuda_emulation::TheSettings().memory_bytes = all;
#endif
}

}  // namespace
}  // namespace sluice::worker
