// SPDX-License-Identifier: Apache-2.0
// Where a test finds the repository and the build folder: where it was built, unless the variables
// of the same names say otherwise, as they must for tests that were carried to a machine with GPUs.
#pragma once

#include <cstdlib>
#include <string>

namespace sluice {

inline std::string SourceDir() {
  const char* const moved = std::getenv("SLUICE_SOURCE_DIR");
  return moved != nullptr ? moved : SLUICE_SOURCE_DIR;
}

inline std::string BinaryDir() {
  const char* const moved = std::getenv("SLUICE_BINARY_DIR");
  return moved != nullptr ? moved : SLUICE_BINARY_DIR;
}

}  // namespace sluice
