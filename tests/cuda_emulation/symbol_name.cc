// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/symbol_name.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

namespace sluice::cuda_emulation {

std::string SymbolName(const void* function) {
  char text[1024];
  std::snprintf(text, sizeof(text), "%p", function);
  Dl_info info;
  if (dladdr(function, &info) == 0) return text;
  const auto offset =
      reinterpret_cast<uintptr_t>(function) - reinterpret_cast<uintptr_t>(info.dli_fbase);
  char program[1024] = "";
  if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0) return text;
  char command[2048];
  std::snprintf(command, sizeof(command), "addr2line -fC -e '%s' 0x%zx 2>/dev/null", program,
                offset);
  FILE* pipe = popen(command, "r");
  if (pipe == nullptr) return text;
  char line[1024] = "";
  const bool read = std::fgets(line, sizeof(line), pipe) != nullptr;
  pclose(pipe);
  std::string name = line;
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return read && !name.empty() && name != "??" ? name : text;
}

}  // namespace sluice::cuda_emulation
