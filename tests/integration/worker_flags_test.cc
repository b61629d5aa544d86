// SPDX-License-Identifier: Apache-2.0
// What is refused before a port listens, in one sentence, and what --help and --check say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/integration/tiny_checkpoint.h"
#include "tests/integration/worker_process.h"

namespace sluice::integration {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Refusal {
  std::vector<std::string> arguments;
  const char* says;
};

void ExpectRefused(const std::vector<std::string>& arguments, const std::string& says) {
  const ProcessEnd end = RunWorker(arguments);
  EXPECT_EQ(end.exit_code, 2) << says;
  EXPECT_THAT(end.errors, HasSubstr(says));
  EXPECT_THAT(end.output, IsEmpty()) << "nothing may listen";
  EXPECT_EQ(std::count(end.errors.begin(), end.errors.end(), '\n'), 1) << end.errors;
}

TEST(WorkerFlagsTest, BadFlagsAreOneSentence) {
  const std::string model = "--model=" + TinyCheckpoint();
  const Refusal refusals[] = {
      {{}, "--model is missing"},
      {{"--modle", "x"}, "--modle is no flag"},
      {{model, "stray"}, "'stray' is no flag"},
      {{model, "--tp-size=many"}, "--tp-size: 'many'"},
      {{model, "--tp-size=3"}, "tp-size 3"},
      {{model, "--device=tpu"}, "must be auto, cpu or cuda"},
      {{model, "--max-model-len=50000"}, "the model's context is 40960"},
      {{model, "--logprobs-mode=log"}, "--logprobs-mode 'log'"},
      {{model, "--max-num-seqs=64", "--max-batched-tokens=32"}, "--max-batched-tokens 32"},
      {{model, "--max-num-seqs=200", "--max-batched-tokens=199"}, "between 200 and 65536"},
      {{model, "--gpu-memory-utilization=0"}, "must be above 0 and at most 1"},
      {{model, "--gpu-memory-utilization=1.01"}, "must be above 0 and at most 1"},
      {{model, "--speculation=eagle"}, "must be off or prompt-lookup"},
      {{model, "--speculative-tokens=9"}, "--speculative-tokens 9: must be between 1 and 8"},
      {{model, "--kv-cache-memory=1KiB"}, "lower --max-model-len"},
      {{model, "--kv-cache-memory=1000000GiB"}, "do not fit this machine's"},
      {{model, "--kv-cache-memory=lots"}, "512MiB"},
      {{model, "--rank=1", "--tp-size=2"}, "--leader is missing"},
      {{model, "--rank=2", "--tp-size=2"}, "--rank 2"},
      {{model, "--log-format=xml"}, "must be text or json"},
      {{model, "--config=/nowhere.yaml"}, "--config /nowhere.yaml: cannot be read"},
      {{"--model=/nowhere"}, "/nowhere"},
  };
  for (const Refusal& refusal : refusals) ExpectRefused(refusal.arguments, refusal.says);
}

// With or without the plugin, a driver or GPUs: the last are hidden.
TEST(WorkerFlagsTest, CudaWithoutAGpuIsOneSentence) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  ExpectRefused({"--model=" + TinyCheckpoint(), "--device=cuda"}, "; use --device cpu or auto");
  const ProcessEnd check = RunWorker({"--model=" + TinyCheckpoint(), "--check"});
  EXPECT_EQ(check.exit_code, 0);
  EXPECT_THAT(check.output, HasSubstr("KV cache: ")) << "auto is the CPU here";
  EXPECT_THAT(check.errors, IsEmpty());
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(WorkerFlagsTest, BrokenFoldersAreRefusedBeforePorts) {
  const std::string truncated = CopyOfTinyCheckpoint();
  fs::resize_file(truncated + "/model.safetensors",
                  fs::file_size(truncated + "/model.safetensors") - 100);
  ExpectRefused({"--model=" + truncated, "--tp-size=2"}, "model.safetensors");

  const std::string no_weights = CopyOfTinyCheckpoint();
  fs::remove(no_weights + "/model.safetensors");
  ExpectRefused({"--model=" + no_weights}, no_weights);

  const std::string no_tokenizer = CopyOfTinyCheckpoint();
  fs::remove(no_tokenizer + "/tokenizer.json");
  ExpectRefused({"--model=" + no_tokenizer}, "tokenizer.json");

  const std::string bad_config = CopyOfTinyCheckpoint();
  std::ofstream(bad_config + "/config.json") << "{\"model_type\": ";
  ExpectRefused({"--model=" + bad_config}, "config.json");
}

TEST(WorkerFlagsTest, CheckPrintsASummary) {
  const ProcessEnd end = RunWorker({"--check", "--model", TinyCheckpoint(), "--tp-size=2"});
  EXPECT_EQ(end.exit_code, 0) << end.errors;
  EXPECT_THAT(end.output, HasSubstr("2 layers"));
  EXPECT_THAT(end.output, HasSubstr("on each of 2 ranks"));
}

TEST(WorkerFlagsTest, HelpNamesFlagsUnitsAndDefaults) {
  const ProcessEnd end = RunWorker({"--help"});
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_THAT(end.output, HasSubstr("--grpc-port (default 50061)"));
  EXPECT_THAT(end.output, HasSubstr("Seconds that running requests may go on"));
  EXPECT_THAT(end.output, Not(HasSubstr("announce-fd"))) << "not a user's flag";
}

TEST(WorkerFlagsTest, YamlGivesFlagsAndTheCommandLineWins) {
  const std::string path = ::testing::TempDir() + "sluice-worker-flags.yaml";
  std::ofstream(path) << "model: " << TinyCheckpoint() << "\n"
                      << "tp-size: 2\nmax_model_len: 640\nhttp-port: 8000\n"
                      << "rope-scaling: {rope_type: yarn, factor: 2.0, "
                         "original_max_position_embeddings: 40960}\n";
  const ProcessEnd yaml = RunWorker({"--check", "--config", path});
  EXPECT_EQ(yaml.exit_code, 0) << yaml.errors;
  EXPECT_THAT(yaml.output, HasSubstr("context: 640 tokens"));
  const ProcessEnd both =
      RunWorker({"--check", "--config=" + path, "--max-model-len=320", "--tp-size=1"});
  EXPECT_THAT(both.output, HasSubstr("context: 320 tokens"));
  EXPECT_THAT(both.output, HasSubstr("on each of 1 rank"));
  std::ofstream(path) << "tp_size: 2\nno_such_flag: 1\n";
  ExpectRefused({"--config=" + path}, "--no-such-flag is no flag");
  fs::remove(path);
}

}  // namespace
}  // namespace sluice::integration
