// SPDX-License-Identifier: Apache-2.0
// The tokenizer as a filter, so that Python scripts can compare it with Hugging Face Tokenizers on
// fresh strings. One request a line on stdin, one answer a line on stdout, flushed at the end;
// bytes travel as hex.
//
//   e HEX [BEGIN-END ...]   ids of the text; added tokens are not taken in the byte ranges
//   d ID ...                text of the ids, special tokens kept
//   s ID ...                text of the ids, special tokens skipped
//
//   tokenizer_pipe TOKENIZER_JSON
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gateway/tokenizer/incremental_detokenizer.h"
#include "gateway/tokenizer/tokenizer.h"

namespace {

using sluice::gateway::ByteRange;
using sluice::gateway::TokenId;
using sluice::gateway::Tokenizer;

std::string EncodeLine(const Tokenizer& tokenizer, std::istringstream& in) {
  std::string hex;
  in >> hex;
  std::vector<ByteRange> plain;
  ByteRange range;
  char dash = 0;
  while (in >> range.begin >> dash >> range.end) plain.push_back(range);
  const auto ids = tokenizer.Encode(absl::HexStringToBytes(hex == "-" ? "" : hex), plain);
  if (!ids.ok()) return "error: " + std::string(ids.status().message());
  std::string line;
  for (TokenId id : *ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  return line;
}

std::string DecodeLine(const Tokenizer& tokenizer, bool skip_special, std::istringstream& in) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; in >> id;) ids.push_back(id);
  const std::string whole = tokenizer.Decode(ids, skip_special);
  sluice::gateway::IncrementalDetokenizer stream(tokenizer, skip_special);
  std::string joined;
  for (TokenId id : ids) joined += stream.Append(id);
  joined += stream.Flush();
  if (joined != whole) return "error: streamed text differs from the whole";
  return absl::BytesToHexString(whole);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenizer_pipe TOKENIZER_JSON\n");
    return 2;
  }
  const auto tokenizer = Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(tokenizer.status().message()).c_str());
    return 1;
  }
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string verb;
    in >> verb;
    std::cout << (verb == "e" ? EncodeLine(**tokenizer, in)
                              : DecodeLine(**tokenizer, verb == "s", in))
              << '\n';
  }
  return 0;
}
