// SPDX-License-Identifier: Apache-2.0
// The name of a function of this program, for messages about kernels.
#pragma once

#include <string>

namespace sluice::cuda_emulation {

// From the debug symbols with the help of addr2line; an address where that is missing.
std::string SymbolName(const void* function);

}  // namespace sluice::cuda_emulation
