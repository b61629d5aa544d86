// SPDX-License-Identifier: Apache-2.0
// The engine against Jinja2: every snippet of tests/golden/chat/jinja_snippets.json renders to the
// same bytes, or fails where Jinja2 fails.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/template.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

nlohmann::json LoadGolden() {
  std::ifstream file(std::string(SLUICE_SOURCE_DIR) + "/tests/golden/chat/jinja_snippets.json");
  return nlohmann::json::parse(file);
}

absl::StatusOr<Text> Render(const std::string& source, const std::string& context_json) {
  SLUICE_ASSIGN_OR_RETURN(const auto compiled, Template::Compile(source));
  SLUICE_ASSIGN_OR_RETURN(const Value context, ParseJson(context_json, Origin::kUser));
  Variables variables;
  for (const auto& [name, value] : context.dict().entries) {
    variables.emplace_back(name.str().text.bytes(), value);
  }
  return compiled->Render(variables);
}

TEST(JinjaGolden, EverySnippetRendersAsJinja2Does) {
  const nlohmann::json golden = LoadGolden();
  const std::string context = golden["context"];
  ASSERT_GE(golden["cases"].size(), 1000u);
  for (const nlohmann::json& test : golden["cases"]) {
    const std::string source = test["template"];
    const absl::StatusOr<Text> text = Render(source, context);
    if (test.contains("error")) {
      EXPECT_FALSE(text.ok()) << source << "\nJinja2 raises " << test["error"] << ", got:\n"
                              << text->bytes();
    } else if (text.ok()) {
      EXPECT_EQ(text->bytes(), test["output"]) << source;
    } else {
      ADD_FAILURE() << source << "\nexpected " << test["output"] << "\ngot " << text.status();
    }
  }
}

TEST(JinjaGolden, ErrorsNameTheLineOrAreTheTemplatesOwn) {
  const std::string context = LoadGolden()["context"];
  EXPECT_EQ(Render("a\n{{ missing.x }}", context).status().message(),
            "line 2: 'missing' is undefined");
  EXPECT_EQ(Render("{% if t %}\n\n{{ d.zz.x }}{% endif %}", context).status().message(),
            "line 3: 'dict object' has no attribute 'zz'");
  EXPECT_EQ(Render("\n{{ raise_exception('Only ' ~ n) }}", context).status().message(), "Only 5");
}

}  // namespace
}  // namespace sluice::gateway::jinja
