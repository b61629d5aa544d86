// SPDX-License-Identifier: Apache-2.0
// Makes safetensors bytes for tests, right ones and wrong ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

namespace sluice::worker {

// The size of the header, the header as given, and data_bytes bytes of data counting up from 0.
inline std::string Safetensors(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<char>(i));
  return file;
}

inline std::span<const std::byte> Bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// An empty folder below `parent`.
inline std::filesystem::path FreshDir(const std::filesystem::path& parent,
                                      const std::string& name) {
  const std::filesystem::path dir = parent / name;
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

inline void WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace sluice::worker
