// SPDX-License-Identifier: Apache-2.0
// sluice-worker with `--device cuda`, on the emulator: the plugin is found, the memory planned, the
// model loaded and served, and what does not fit is refused in words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/integration/tiny_checkpoint.h"
#include "tests/integration/worker_process.h"

namespace sluice::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GpuWorkerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("SLUICE_TEST_WORKER", SLUICE_EMULATED_GPUS "/bin/sluice-worker", 1);
  }
  static std::vector<std::string> Arguments(std::vector<std::string> more) {
    // Steps take long here.
    more.insert(more.begin(),
                {"--model=" + TinyCheckpoint(), "--max-num-seqs=4", "--max-batched-tokens=64",
                 "--step-timeout=300"});
    return more;
  }
};

TEST_F(GpuWorkerTest, CheckPrintsHowTheMemoryIsShared) {
  const ProcessEnd end =
      RunWorker(Arguments({"--device=cuda", "--check", "--max-model-len=1024"}));
  EXPECT_EQ(end.exit_code, 0) << end.errors;
  EXPECT_THAT(end.errors, IsEmpty());
  EXPECT_THAT(end.output,
              AllOf(HasSubstr("context: 1024 tokens\n"),
                    HasSubstr("GPU memory: 4.00 GiB, of which --gpu-memory-utilization 0.90 allows "
                              "3.60 GiB\n"),
                    HasSubstr("  weights: "), HasSubstr("  workspace: "),
                    HasSubstr("  KV cache: ")));
}

TEST_F(GpuWorkerTest, TooLittleMemoryIsRefusedWithTheArithmetic) {
  for (const bool check : {true, false}) {
    std::vector<std::string> arguments =
        Arguments({"--gpu-memory-utilization=0.1", "--grpc-port=0", "--metrics-port=0"});
    if (check) arguments.emplace_back("--check");
    const ProcessEnd end = RunWorker(arguments);
    EXPECT_EQ(end.exit_code, 2);
    EXPECT_THAT(end.errors,
                AllOf(HasSubstr("--gpu-memory-utilization 0.10 of the GPU's 4.00 GiB is 0.40 GiB"),
                      HasSubstr("lower --max-model-len")));
  }
}

TEST_F(GpuWorkerTest, AutoServesOnTheGpu) {
  WorkerProcess worker(Arguments({"--device=auto", "--kv-cache-memory=6MiB"}));
  ASSERT_TRUE(worker.WaitServing());
  const auto stub = worker.NewStub();
  grpc::ClientContext context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub->GetModelInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.device(), "cuda");
  EXPECT_EQ(info.max_num_seqs(), 4u);
  // 2 layers, keys and values of 4 KV heads, 64 slots of 128 bf16 values: 256 KiB a page.
  EXPECT_EQ(info.num_pages(), 24u);
  const v1::GenerateRequest request = GreedyRequest("a", Prompt(1, 20), 6);
  const Answer first = worker.Generate(request);
  ASSERT_TRUE(first.status.ok()) << first.status;
  EXPECT_EQ(first.ids.size(), 6u);
  EXPECT_EQ(first.usage.prompt_tokens(), 20u);
  const Answer second = worker.Generate(GreedyRequest("b", Prompt(1, 20), 6));
  EXPECT_EQ(second.ids, first.ids);
}

}  // namespace
}  // namespace sluice::integration
