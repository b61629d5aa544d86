// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/tokenizer_documents.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string_view>

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;
using gateway::TokenId;
using gateway::Tokenizer;

constexpr size_t kMinBytes = 2000;
constexpr size_t kMaxBytes = 20000;

// splitmix64: the standard library's distributions differ between implementations.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  size_t Below(size_t bound) { return Next() % bound; }
  bool Chance(double probability) {
    return static_cast<double>(Next() >> 11) * 0x1p-53 < probability;
  }

 private:
  uint64_t state_;
};

// Draws word i with weight 1 / (i + 3): ids follow the frequency in the tokenizer's training text.
class ZipfWords {
 public:
  ZipfWords(const Tokenizer& tokenizer, const std::function<bool(std::string_view)>& wanted) {
    double sum = 0;
    for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
      const auto bytes = tokenizer.TokenBytes(id);
      if (!bytes.has_value() || !wanted(*bytes)) continue;
      words_.push_back(*bytes);
      sum += 1.0 / static_cast<double>(words_.size() + 2);
      cumulative_.push_back(sum);
    }
  }
  std::string_view Draw(Rng& rng) const {
    const double x = static_cast<double>(rng.Next() >> 11) * 0x1p-53 * cumulative_.back();
    const auto it = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, x);
    return words_[static_cast<size_t>(it - cumulative_.begin())];
  }

 private:
  std::vector<std::string_view> words_;
  std::vector<double> cumulative_;
};

bool IsLowerWord(std::string_view bytes) {
  return bytes.size() > 1 && bytes[0] == ' ' &&
         std::all_of(bytes.begin() + 1, bytes.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

// Whole characters between U+4E00 and U+9FFF: three bytes each, the lead from E4 to E9.
bool IsHanWord(std::string_view bytes) {
  if (bytes.empty() || bytes.size() % 3 != 0) return false;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    const auto second = static_cast<unsigned char>(bytes[i + 1]);
    const bool low = lead == 0xE4 ? second >= 0xB8 : lead > 0xE4;
    if (!low || lead > 0xE9) return false;
  }
  return true;
}

size_t DocumentBytes(Rng& rng) { return kMinBytes + rng.Below(kMaxBytes - kMinBytes); }

std::string Number(Rng& rng) { return std::to_string(rng.Below(rng.Chance(0.5) ? 100 : 3000)); }

// Sentences of 6 to 25 words; some words inflected or joined, so that they are no single token.
std::string Prose(const ZipfWords& words, Rng& rng) {
  static constexpr std::string_view kEndings[] = {"ly", "ness", "ville", "ians", "ified", "-like"};
  std::string text;
  const size_t size = DocumentBytes(rng);
  while (text.size() < size) {
    const size_t length = 6 + rng.Below(20);
    for (size_t i = 0; i < length; ++i) {
      std::string word(words.Draw(rng));
      if (i == 0) {
        if (text.empty() || text.back() == '\n') word.erase(0, 1);
        char& initial = word[word[0] == ' ' ? 1 : 0];
        initial = static_cast<char>(initial - 'a' + 'A');
      }
      if (rng.Chance(0.08)) word += kEndings[rng.Below(std::size(kEndings))];
      if (rng.Chance(0.02)) word = " " + Number(rng);
      text += word;
      if (rng.Chance(0.01)) text += "'s";
      if (i + 1 < length && rng.Chance(0.07)) text += ',';
    }
    text += rng.Chance(0.9) ? "." : "?";
    if (rng.Chance(0.15)) text += "\n\n";
  }
  return text;
}

std::string Chinese(const ZipfWords& words, Rng& rng) {
  static constexpr std::string_view kStops[] = {"，", "，", "，",  "。", "。",
                                                "、", "；", "：“", "”"};
  std::string text;
  const size_t size = DocumentBytes(rng);
  while (text.size() < size) {
    for (size_t length = 3 + rng.Below(9); length > 0; --length) text += words.Draw(rng);
    if (rng.Chance(0.05)) text += Number(rng) + "年";
    if (rng.Chance(0.03)) text += " GPU ";
    text += kStops[rng.Below(std::size(kStops))];
    if (rng.Chance(0.04)) text += "\n";
  }
  return text;
}

// The repository's sources, joined.
std::string ReadSources() {
  const fs::path root = SLUICE_SOURCE_DIR;
  std::vector<fs::path> files;
  for (const char* folder : {"gateway", "worker", "kernels", "proto", "tests", "deploy"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension();
      const std::string name = entry.path().filename();
      const bool wanted = extension == ".cc" || extension == ".h" || extension == ".py" ||
                          extension == ".proto" || extension == ".cu" || extension == ".sh";
      if (wanted && name.find("_tables") == std::string::npos) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::string joined;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    joined.append(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return joined;
}

// Whole lines from a random place of the sources.
std::string Code(const std::string& sources, Rng& rng) {
  const size_t size = std::min(DocumentBytes(rng), sources.size() / 2);
  const size_t begin = sources.find('\n', rng.Below(sources.size() - size)) + 1;
  const size_t end = sources.rfind('\n', begin + size);
  return sources.substr(begin, end - begin);
}

}  // namespace

std::vector<DocumentSet> MakeDocuments(const Tokenizer& tokenizer, int count) {
  const ZipfWords english(tokenizer, IsLowerWord);
  const ZipfWords han(tokenizer, IsHanWord);
  const std::string sources = ReadSources();
  std::vector<DocumentSet> sets = {{"prose", {}}, {"code", {}}, {"chinese", {}}};
  Rng rng(20240229);
  for (int i = 0; i < count; ++i) {
    sets[0].documents.push_back(Prose(english, rng));
    sets[1].documents.push_back(Code(sources, rng));
    sets[2].documents.push_back(Chinese(han, rng));
  }
  return sets;
}

}  // namespace sluice::bench
