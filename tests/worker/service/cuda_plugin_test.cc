// SPDX-License-Identifier: Apache-2.0
// Opening the CUDA plugin where something is wrong, which each time is one clause; and what
// `--device` comes to on this machine. What needs a GPU is skipped without one, and the other way
// round.
#include "worker/service/cuda_plugin.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "worker/service/cuda_executor_factory.h"
#include "worker/service/device_choice.h"

namespace sluice::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kForeign = std::string(SLUICE_BINARY_DIR) + "/tests/libforeign_plugin.so";
const std::string kPlugin = std::string(SLUICE_BINARY_DIR) + "/lib/libsluice_cuda.so";

std::string Refusal(const std::vector<std::string>& files) {
  const auto plugin = OpenCudaPluginFrom(files);
  EXPECT_EQ(plugin.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string text(plugin.status().message());
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  return text;
}

TEST(CudaPluginTest, AMissingOneNamesWhereItWasLookedFor) {
  EXPECT_THAT(Refusal({"/nowhere/libsluice_cuda.so", "libsluice_nowhere.so"}),
              AllOf(StartsWith("this installation has no CUDA plugin"),
                    HasSubstr("/nowhere/libsluice_cuda.so, libsluice_nowhere.so")));
}

TEST(CudaPluginTest, ABrokenFileIsNotPassedOver) {
  const std::string broken = ::testing::TempDir() + "libsluice_cuda.so";
  std::ofstream(broken) << "not an object";
  EXPECT_THAT(Refusal({broken, kForeign}), StartsWith(broken + " cannot be loaded: "));
}

TEST(CudaPluginTest, AnotherLibraryIsNoPlugin) {
  EXPECT_EQ(Refusal({"libm.so.6"}), "libm.so.6 is no CUDA plugin of Sluice");
}

TEST(CudaPluginTest, AnotherBuildIsRefused) {
  EXPECT_EQ(Refusal({"/nowhere/libsluice_cuda.so", kForeign}),
            kForeign + " cannot be used: it is of another build");
}

std::vector<CudaDevice> no_devices;
CudaPlugin PluginWith(absl::StatusOr<std::vector<CudaDevice>> (*devices)()) {
  CudaPlugin plugin;
  plugin.devices = devices;
  return plugin;
}

TEST(CudaPluginTest, OnlyHopperIsUsed) {
  const auto none = UsableCudaDevices(
      PluginWith([]() -> absl::StatusOr<std::vector<CudaDevice>> { return no_devices; }));
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("shows no GPU"));
  const auto ampere = UsableCudaDevices(PluginWith([]() -> absl::StatusOr<std::vector<CudaDevice>> {
    return std::vector<CudaDevice>{{"NVIDIA H100", 9, 0, 1}, {"NVIDIA A100", 8, 0, 1}};
  }));
  EXPECT_EQ(std::string(ampere.status().message()),
            "GPU 1 (NVIDIA A100) has compute capability 8.0; this build runs on 9.0 (H100, H200, "
            "GH200) alone, hide it with CUDA_VISIBLE_DEVICES");
  const auto hopper = UsableCudaDevices(PluginWith([]() -> absl::StatusOr<std::vector<CudaDevice>> {
    return std::vector<CudaDevice>{{"NVIDIA H100", 9, 0, 1}, {"NVIDIA H200", 9, 0, 1}};
  }));
  ASSERT_TRUE(hopper.ok());
  EXPECT_EQ(hopper->size(), 2u);
  const auto broken = UsableCudaDevices(PluginWith([]() -> absl::StatusOr<std::vector<CudaDevice>> {
    return absl::UnavailableError("no driver");
  }));
  EXPECT_EQ(broken.status(), absl::FailedPreconditionError("no driver"));
}

TEST(DeviceChoiceTest, RanksTakeGpusInTurn) {
  EXPECT_EQ(DeviceIndexOf(-1, 8), 0);
  EXPECT_EQ(DeviceIndexOf(3, 8), 3);
  EXPECT_EQ(DeviceIndexOf(3, 1), 0) << "each rank in a container of its own";
}

TEST(DeviceChoiceTest, SizesFollowTheDevice) {
  WorkerOptions options;
  options.device = Device::kCuda;
  options.max_num_seqs = options.max_batched_tokens = options.max_prefill_tokens = 0;
  ASSERT_TRUE(FillDeviceDefaults(&options).ok());
  EXPECT_EQ(options.max_num_seqs, 256);
  EXPECT_EQ(options.max_batched_tokens, 2048);
  EXPECT_EQ(options.max_prefill_tokens, 8192);

  options = {};
  options.max_num_seqs = options.max_batched_tokens = options.max_prefill_tokens = 0;
  ASSERT_TRUE(FillDeviceDefaults(&options).ok());
  EXPECT_EQ(options.max_num_seqs, 64);
  EXPECT_EQ(options.max_batched_tokens, 128);
  EXPECT_EQ(options.max_prefill_tokens, 128);

  options.max_num_seqs = 300;
  options.max_batched_tokens = 0;
  ASSERT_TRUE(FillDeviceDefaults(&options).ok());
  EXPECT_EQ(options.max_batched_tokens, 300) << "every sequence decodes in one step";
  options.max_batched_tokens = 299;
  EXPECT_THAT(std::string(FillDeviceDefaults(&options).message()),
              HasSubstr("--max-batched-tokens 299: must be between 300 and 65536"));
}

TEST(DeviceChoiceTest, AnExecutorOnAGpuIsAskedForTheWorkersSizes) {
  WorkerOptions options;
  options.max_num_seqs = 100;
  options.max_prefill_tokens = 8192;
  options.gpu_memory_utilization = 0.5;
  options.kv_cache_bytes = 123;
  options.speculative_tokens = 8;
  options.speculation_max_rows = 4;
  options.processed_logprobs = true;
  ServedModel model;
  model.limits.max_model_len = 4096;
  model.limits.vocab_size = 77;
  const CudaExecutorOptions executor = MakeCudaExecutorOptions(options, model, 3);
  EXPECT_EQ(executor.device_index, 3);
  EXPECT_EQ(executor.num_pages, 0) << "as many as there is room for";
  EXPECT_EQ(executor.gpu_memory_utilization, 0.5);
  EXPECT_EQ(executor.kv_cache_bytes, 123);
  EXPECT_EQ(executor.max_rows, 100);
  EXPECT_EQ(executor.max_batched_tokens, 8192);
  EXPECT_EQ(executor.max_model_len, 4096);
  EXPECT_EQ(executor.max_logits, 132);
  EXPECT_EQ(executor.num_token_ids, 77);
  EXPECT_TRUE(executor.processed_logprobs);
}

#ifdef SLUICE_HAVE_CUDA
// The plugin itself: it can be opened anywhere, and says what is missing.
class RealPluginTest : public ::testing::Test {
 protected:
  RealPluginTest() {
    auto opened = OpenCudaPluginFrom({kPlugin});
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) plugin_ = *opened;
  }
  CudaPlugin plugin_;
};

TEST_F(RealPluginTest, RefusesAnotherBuildAndVersionAndFillsNothing) {
  void* const library = dlopen(kPlugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto enter = reinterpret_cast<CudaPluginEntry>(dlsym(library, kCudaPluginEntry));
  CudaPlugin plugin;
  EXPECT_THAT(enter("0.0.0 other", &plugin), HasSubstr("another build"));
  plugin.version = CudaPlugin::kVersion + 1;
  EXPECT_THAT(enter(CudaPluginBuildId(), &plugin), HasSubstr("another version"));
  EXPECT_EQ(plugin.devices, nullptr);
  EXPECT_EQ(plugin.create_executor, nullptr);
}

TEST_F(RealPluginTest, FillsEverything) {
  EXPECT_NE(plugin_.devices, nullptr);
  EXPECT_NE(plugin_.create_executor, nullptr);
  EXPECT_NE(plugin_.describe_memory, nullptr);
  EXPECT_NE(plugin_.create_unique_id, nullptr);
  EXPECT_NE(plugin_.create_communicator, nullptr);
  EXPECT_NE(plugin_.abort_communicator, nullptr);
}

TEST_F(RealPluginTest, WithoutADriverItSaysSoInOneSentence) {
  if (plugin_.devices().ok()) GTEST_SKIP() << "this machine has a driver";
  const auto devices = UsableCudaDevices(plugin_);
  EXPECT_THAT(std::string(devices.status().message()), HasSubstr("NVIDIA driver"));
  EXPECT_THAT(std::string(devices.status().message()), Not(HasSubstr("\n")));
}
#endif

}  // namespace
}  // namespace sluice::worker
