// SPDX-License-Identifier: Apache-2.0
#include "gateway/openai/model_list.h"

#include "gateway/openai/json_writer.h"

namespace sluice::gateway {
namespace {

void WriteModel(const ModelCard& model, JsonWriter& json) {
  json.BeginObject();
  json.Key("id").String(model.id);
  json.Key("object").String("model");
  json.Key("created").Int(model.created_unix_seconds);
  json.Key("owned_by").String("sluice");
  json.Key("root").String(model.root.empty() ? model.id : model.root);
  json.Key("parent").Null();
  json.Key("max_model_len").Int(model.max_model_len);
  json.Key("rope_scaling");
  if (model.rope_scaling_json.empty()) {
    json.Null();
  } else {
    json.Raw(model.rope_scaling_json);
  }
  json.EndObject();
}

}  // namespace

std::string ModelListBody(std::span<const ModelCard> models) {
  JsonWriter json;
  json.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const ModelCard& model : models) WriteModel(model, json);
  json.EndArray().EndObject();
  return json.Take();
}

std::string ModelBody(const ModelCard& model) {
  JsonWriter json;
  WriteModel(model, json);
  return json.Take();
}

}  // namespace sluice::gateway
