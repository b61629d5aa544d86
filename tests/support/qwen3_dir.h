// SPDX-License-Identifier: Apache-2.0
// Where tests find the public files of Qwen3-14B-AWQ (tokenizer.json, tokenizer_config.json,
// chat_template.jinja, config.json, generation_config.json). A test that needs one and finds none
// skips and says so. Tests that need tokenizer.json alone use Qwen3TokenizerJson, which falls back
// on the copy in tests/golden/qwen3.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace sluice::testing {

// SLUICE_QWEN3_DIR, else ../shared/qwen3 beside the checkout, else empty.
inline std::string Qwen3Dir() {
  const char* dir = std::getenv("SLUICE_QWEN3_DIR");
  if (dir != nullptr && *dir != '\0') return dir;
  const std::filesystem::path beside =
      std::filesystem::path(SLUICE_SOURCE_DIR).parent_path() / "shared" / "qwen3";
  return std::filesystem::is_directory(beside) ? beside.string() : std::string();
}

// Path of the real tokenizer.json: of Qwen3Dir, else the committed copy, which the build unpacks
// (tests/golden/qwen3/CMakeLists.txt). Empty when there is neither.
inline std::string Qwen3TokenizerJson() {
  namespace fs = std::filesystem;
  for (const fs::path& dir :
       {fs::path(Qwen3Dir()), fs::path(SLUICE_BINARY_DIR) / "tests" / "golden" / "qwen3"}) {
    if (!dir.empty() && fs::exists(dir / "tokenizer.json"))
      return (dir / "tokenizer.json").string();
  }
  return std::string();
}

}  // namespace sluice::testing
