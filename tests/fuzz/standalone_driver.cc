// SPDX-License-Identifier: Apache-2.0
// Runs a libFuzzer target without libFuzzer, for compilers that have none: first every file of the
// corpus, then seeded mutations of them until the time is up. No coverage feedback: this keeps the
// corpus passing and catches shallow regressions in CI; the long runs of tests/ use Clang's
// libFuzzer. A crash leaves the input in the file crash-<target> of the working folder.
//
//   NAME_fuzz [--seconds=N] [--seed=N] FILE_OR_FOLDER...
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxInputBytes = 1 << 20;

// What the crash handler writes; plain pointers, since only async-signal-safe calls are allowed
// there.
const char* crash_path = nullptr;
const uint8_t* current_data = nullptr;
size_t current_size = 0;

extern "C" void SaveInputAndDie(int signal_number) {
  if (FILE* file = std::fopen(crash_path, "wb")) {
    std::fwrite(current_data, 1, current_size, file);
    std::fclose(file);
  }
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void RunOne(const std::string& input) {
  current_data = reinterpret_cast<const uint8_t*>(input.data());
  current_size = input.size();
  LLVMFuzzerTestOneInput(current_data, current_size);
}

using Rng = std::mt19937_64;

size_t Below(Rng& rng, size_t bound) { return bound == 0 ? 0 : rng() % bound; }

// One small edit: flips, overwrites, inserts, removes, repeats or splices bytes.
void Mutate(std::string& input, const std::vector<std::string>& corpus, Rng& rng) {
  static constexpr char kTelling[] = "\"\\{}[]<>:,'|\n\r\t \0\xff\xc0\x80";
  const size_t at = Below(rng, input.size() + 1);
  const size_t length = 1 + Below(rng, 1 + Below(rng, 32));
  switch (Below(rng, 7)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(rng, 8)));
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(rng());
      break;
    case 2:
      input.insert(at, 1, kTelling[Below(rng, sizeof(kTelling) - 1)]);
      break;
    case 3:
      input.erase(at, length);
      break;
    case 4:
      input.insert(at, input.substr(Below(rng, input.size() + 1), length));
      break;
    case 5: {
      const std::string& other = corpus[Below(rng, corpus.size())];
      input.insert(at, other.substr(Below(rng, other.size() + 1), 8 * length));
      break;
    }
    default:
      input.resize(at);
      break;
  }
}

std::vector<std::string> ReadCorpus(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());  // directory order differs between machines
  std::vector<std::string> corpus;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  long seconds = 5;
  uint64_t seed = 1;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--seconds=")) {
      seconds = std::strtol(argument.c_str() + 10, nullptr, 10);
    } else if (argument.starts_with("--seed=")) {
      seed = std::strtoull(argument.c_str() + 7, nullptr, 10);
    } else {
      paths.push_back(argument);
    }
  }
  const std::string crash_file = "crash-" + std::filesystem::path(argv[0]).filename().string();
  crash_path = crash_file.c_str();
  for (int signal_number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(signal_number, SaveInputAndDie);
  }

  const std::vector<std::string> corpus = ReadCorpus(paths);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus file in what was given\n", argv[0]);
    return 2;
  }
  for (const std::string& input : corpus) RunOne(input);

  Rng rng(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  uint64_t runs = corpus.size();
  while (std::chrono::steady_clock::now() < end) {
    std::string input = corpus[Below(rng, corpus.size())];
    for (size_t edits = 1 + Below(rng, 6); edits > 0; --edits) Mutate(input, corpus, rng);
    if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
    RunOne(input);
    ++runs;
  }
  std::printf("%zu corpus files and %llu inputs in all, no crash\n", corpus.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
