// SPDX-License-Identifier: Apache-2.0
// A copy, under this name in the tests' folder, of the untied checkpoint whose embedding of one id
// is NaN: a row that holds the id has bad logits from there on.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/worker/model/model_runner.h"
#include "worker/base/ids.h"
#include "worker/weights/safetensors.h"

namespace sluice::worker {

inline std::string WithBrokenEmbedding(TokenId id, const std::string& name) {
  namespace fs = std::filesystem;
  const fs::path dir = fs::path(testing::TempDir()) / name;
  fs::remove_all(dir);
  fs::copy(ParityDir("grouped_untied"), dir);
  const fs::path file = dir / "model-00001-of-00002.safetensors";
  const auto opened = SafetensorsFile::Open(file.string(), "shard");
  uint64_t begin = 0;
  for (const TensorInfo& tensor : (*opened)->tensors()) {
    if (tensor.name == "model.embed_tokens.weight") begin = tensor.begin;
  }
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(begin + static_cast<uint64_t>(id) * 256 * 2));
  stream.write("\xc0\x7f", 2);  // a BF16 NaN
  return dir.string();
}

}  // namespace sluice::worker
