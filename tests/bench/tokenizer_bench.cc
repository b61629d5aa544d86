// SPDX-License-Identifier: Apache-2.0
// Encoding and decoding speed of one thread, in MB/s of its own CPU time, which other programs on
// the machine disturb least. Prints one JSON object.
//
//   tokenizer_bench TOKENIZER_JSON [--seconds=N] [--documents=N] [--write=FOLDER] [KIND=FOLDER ...]
//
// Without KIND=FOLDER it makes its documents itself (tokenizer_documents.h); with it, every file of
// the folder is a document. --write saves the documents as FOLDER/KIND/NNN.txt, for another program
// to read, and ends.
#include <ctime>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gateway/tokenizer/tokenizer.h"
#include "tests/bench/tokenizer_documents.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using sluice::bench::DocumentSet;
using sluice::gateway::TokenId;
using sluice::gateway::Tokenizer;

double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

DocumentSet ReadFolder(const std::string& kind, const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  DocumentSet set{.kind = kind, .documents = {}};
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    set.documents.emplace_back(std::istreambuf_iterator<char>(in),
                               std::istreambuf_iterator<char>());
  }
  return set;
}

void Write(const std::vector<DocumentSet>& sets, const std::string& folder) {
  for (const DocumentSet& set : sets) {
    fs::create_directories(fs::path(folder) / set.kind);
    for (size_t i = 0; i < set.documents.size(); ++i) {
      const std::string number = std::to_string(i);
      const std::string name = std::string(4 - std::min<size_t>(4, number.size()), '0') + number;
      std::ofstream(fs::path(folder) / set.kind / (name + ".txt"), std::ios::binary)
          << set.documents[i];
    }
  }
}

// Runs `pass` over all documents until the time is up; the median and the best MB/s of a pass.
template <typename Pass>
ordered_json Measure(double megabytes, double seconds, const Pass& pass) {
  std::vector<double> rates;
  pass();  // warms caches up
  const double end = ThreadCpuSeconds() + seconds;
  while (rates.size() < 3 || ThreadCpuSeconds() < end) {
    const double start = ThreadCpuSeconds();
    pass();
    rates.push_back(megabytes / (ThreadCpuSeconds() - start));
  }
  std::sort(rates.begin(), rates.end());
  return {{"median", rates[rates.size() / 2]}, {"best", rates.back()}, {"passes", rates.size()}};
}

ordered_json MeasureSet(const Tokenizer& tokenizer, const DocumentSet& set, double seconds) {
  size_t bytes = 0;
  size_t tokens = 0;
  std::vector<std::vector<TokenId>> ids;
  for (const std::string& document : set.documents) {
    auto encoded = tokenizer.Encode(document);
    if (!encoded.ok()) {
      std::fprintf(stderr, "%s: %s\n", set.kind.c_str(),
                   std::string(encoded.status().message()).c_str());
      std::exit(1);
    }
    bytes += document.size();
    tokens += encoded->size();
    ids.push_back(*std::move(encoded));
  }
  const double megabytes = 1e-6 * static_cast<double>(bytes);
  size_t sink = 0;
  ordered_json encode = Measure(megabytes, seconds, [&] {
    for (const std::string& document : set.documents) sink += tokenizer.Encode(document)->size();
  });
  ordered_json decode = Measure(megabytes, seconds / 4, [&] {
    for (const auto& document : ids) sink += tokenizer.Decode(document, false).size();
  });
  if (sink == 0) std::fprintf(stderr, "%s holds no text\n", set.kind.c_str());
  return {{"documents", set.documents.size()},
          {"bytes", bytes},
          {"tokens", tokens},
          {"encode_mb_per_s", encode},
          {"decode_mb_per_s", decode}};
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  int count = 200;
  std::string write;
  std::vector<DocumentSet> sets;
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "--seconds") {
      seconds = std::strtod(value.c_str(), nullptr);
    } else if (name == "--documents") {
      count = std::atoi(value.c_str());
    } else if (name == "--write") {
      write = value;
    } else {
      sets.push_back(ReadFolder(name, value));
    }
  }
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: tokenizer_bench TOKENIZER_JSON [--seconds=N] [--documents=N] "
                 "[--write=FOLDER] [KIND=FOLDER ...]\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = Tokenizer::Load(argv[1]);
  const std::chrono::duration<double> load_time = std::chrono::steady_clock::now() - start;
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(tokenizer.status().message()).c_str());
    return 1;
  }
  if (sets.empty()) sets = sluice::bench::MakeDocuments(**tokenizer, count);
  if (!write.empty()) {
    Write(sets, write);
    return 0;
  }
  ordered_json report = {{"tokenizer_sha256", (*tokenizer)->sha256()},
                         {"load_seconds", load_time.count()}};
  for (const DocumentSet& set : sets) {
    report[set.kind] = MeasureSet(**tokenizer, set, seconds);
  }
  std::printf("%s\n", report.dump(2).c_str());
  return 0;
}
