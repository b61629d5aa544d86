// SPDX-License-Identifier: Apache-2.0
// The weight of an RMSNorm, widened to float32. Norms are replicated: every rank holds all of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "worker/model/load_context.h"
#include "worker/model/tensor_names.h"

namespace sluice::worker {

inline std::vector<float> LoadNorm(const LoadContext& context, const std::string& name,
                                   int64_t size) {
  const ExpectedTensor tensor = FloatTensor(name, {size});
  std::vector<float> weight = context.reader.Read(tensor).ToFloats(size);
  context.reader.Done(tensor);
  return weight;
}

}  // namespace sluice::worker
