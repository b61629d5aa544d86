// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/model/golden_logits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "nlohmann/json.hpp"
#include "tests/worker/model/model_runner.h"
#include "worker/base/sha256.h"

namespace sluice::worker {
namespace {

const std::string kGoldenDir = std::string(SLUICE_SOURCE_DIR) + "/tests/golden/model/";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::vector<GoldenLogits> LoadGoldenLogits() {
  const auto manifest = nlohmann::json::parse(ReadFile(kGoldenDir + "manifest.json"));
  std::vector<GoldenLogits> result;
  for (const auto& run : manifest["runs"]) {
    GoldenLogits golden;
    golden.checkpoint = run["checkpoint"];
    golden.name = run["file"];
    if (run["yarn"]) golden.rope_scaling = manifest["rope_scaling"].dump();
    golden.first_position = run["start"];
    golden.ids = run["ids"].get<std::vector<TokenId>>();
    if (!run["columns"].is_null()) golden.columns = run["columns"].get<std::vector<int>>();
    golden.range = run["range"];
    const std::string bytes = ReadFile(kGoldenDir + golden.name);
    Sha256 sha256;
    sha256.Update(bytes);
    EXPECT_EQ(sha256.Finish(), run["sha256"].get<std::string>()) << golden.name;
    golden.logits.resize(bytes.size() / sizeof(float));
    std::memcpy(golden.logits.data(), bytes.data(), bytes.size());
    result.push_back(std::move(golden));
  }
  return result;
}

double DifferenceFrom(const GoldenLogits& golden, const std::string& dir) {
  const std::vector<float> ours = RunModel({.dir = dir,
                                            .threads = 2,
                                            .rope_scaling = golden.rope_scaling,
                                            .first_position = golden.first_position,
                                            .prompts = {golden.ids}})
                                      .at(0);
  const size_t tokens = golden.ids.size();
  const size_t vocab = ours.size() / tokens;
  const size_t columns = golden.columns.empty() ? vocab : golden.columns.size();
  EXPECT_EQ(golden.logits.size(), tokens * columns);
  double largest = 0;
  for (size_t token = 0; token < tokens; ++token) {
    for (size_t i = 0; i < columns; ++i) {
      const size_t column = golden.columns.empty() ? i : static_cast<size_t>(golden.columns[i]);
      const double difference = std::abs(double{ours[token * vocab + column]} -
                                         double{golden.logits[token * columns + i]});
      // A NaN compares false with everything: it must not pass for a small difference.
      if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
      largest = std::max(largest, difference);
    }
  }
  return largest / double{golden.range};
}

}  // namespace sluice::worker
