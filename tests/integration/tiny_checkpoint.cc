// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/tiny_checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/source_dirs.h"

namespace sluice::integration {
namespace {

namespace fs = std::filesystem;

std::string Utf8(int code_point) {
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

// GPT-2's spelling of bytes as letters: printable ones stand for themselves, the others move up.
nlohmann::json TinyTokenizer() {
  nlohmann::json vocab;
  int moved = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    vocab[Utf8(printable ? byte : 256 + moved++)] = byte;
  }
  nlohmann::json added = nlohmann::json::array();
  int id = 256;
  for (const char* content : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", content},
                     {"special", true},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"single_word", false}});
  }
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
}

// Makes the temporary folder and removes it at the process's end.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (fs::temp_directory_path() / "sluice-integration-XXXXXX").string();
    if (const char* made = mkdtemp(pattern.data())) path_ = made;
  }
  ~Scratch() {
    std::error_code ignored;
    if (getpid() == owner_) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  const pid_t owner_ = getpid();
  fs::path path_;
};

const fs::path& ScratchDir() {
  static const Scratch scratch;
  return scratch.path();
}

}  // namespace

const std::string& TinyCheckpoint() {
  static const std::string folder = [] {
    const fs::path tokenizer = ScratchDir() / "tokenizer.json";
    std::ofstream(tokenizer) << TinyTokenizer();
    const std::string output = (ScratchDir() / "tiny").string();
    const std::string command =
        "python3 " + SourceDir() + "/deploy/demo_model/random_checkpoint.py --tokenizer " +
        tokenizer.string() + " --chat-template " + SourceDir() +
        "/deploy/demo_model/chat_template.jinja --output " + output + " --hidden-size 256 --intermediate-size 512 --layers 2 --heads 4 --kv-heads 4 >&2";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return output;
  }();
  return folder;
}

std::string CopyOfTinyCheckpoint() {
  static int copies = 0;
  const fs::path copy = ScratchDir() / ("copy-" + std::to_string(copies++));
  fs::copy(TinyCheckpoint(), copy, fs::copy_options::recursive);
  return copy.string();
}

}  // namespace sluice::integration
