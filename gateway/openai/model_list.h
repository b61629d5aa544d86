// SPDX-License-Identifier: Apache-2.0
// The bodies of GET /v1/models and /v1/models/{id}. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace sluice::gateway {

struct ModelCard {
  std::string id;
  std::string root;  // the model folder's name
  int64_t created_unix_seconds = 0;
  int max_model_len = 0;
  std::string rope_scaling_json;  // empty: null
};

std::string ModelListBody(std::span<const ModelCard> models);
std::string ModelBody(const ModelCard& model);

}  // namespace sluice::gateway
