// SPDX-License-Identifier: Apache-2.0
// What a server streams to `sluice chat` and `sluice bench`, any bytes at all: byte 0 says where
// the stream is cut. No input may crash, and cut anywhere it gives the same events.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/cli/openai_chunk.h"
#include "gateway/cli/sse_parser.h"

namespace {

using sluice::gateway::OpenAiErrorMessage;
using sluice::gateway::ReadOpenAiChunk;
using sluice::gateway::SseParser;

std::vector<std::string> Events(std::string_view stream, size_t piece_bytes) {
  SseParser parser;
  std::vector<std::string> events;
  while (!stream.empty()) {
    const std::string_view piece = stream.substr(0, piece_bytes);
    parser.Feed(piece, [&events](std::string_view event) { events.emplace_back(event); });
    stream.remove_prefix(piece.size());
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::vector<std::string> events = Events(stream, std::max<size_t>(size, 1));
  if (events != Events(stream, 1 + data[0] % 7)) std::abort();
  for (const std::string& event : events) {
    const auto chunk = ReadOpenAiChunk(event);
    if (chunk.has_value() && chunk->HasText() && event.find('"') == std::string::npos) std::abort();
  }
  OpenAiErrorMessage(stream);
  return 0;
}
