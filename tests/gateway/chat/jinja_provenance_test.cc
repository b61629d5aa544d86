// SPDX-License-Identifier: Apache-2.0
// Every byte of the output knows who wrote it. The user's strings here are made of capital letters
// and the template's of everything else, so the letters themselves say what the spans must be.
#include <gtest/gtest.h>

#include <string>

#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/template.h"
#include "gateway/chat/jinja/text.h"

namespace sluice::gateway::jinja {
namespace {

Text RenderOrDie(const std::string& source, const std::string& context_json) {
  const auto compiled = Template::Compile(source);
  EXPECT_TRUE(compiled.ok()) << source << ": " << compiled.status();
  const absl::StatusOr<Value> context = ParseJson(context_json, Origin::kUser);
  EXPECT_TRUE(context.ok());
  Variables variables;
  for (const auto& [name, value] : context->dict().entries) {
    variables.emplace_back(name.str().text.bytes(), value);
  }
  const absl::StatusOr<Text> text = (*compiled)->Render(variables);
  EXPECT_TRUE(text.ok()) << source << ": " << text.status();
  return text.ok() ? *text : Text();
}

// The output with the user's bytes in [brackets].
std::string Marked(const std::string& source,
                   const std::string& context = R"({"u": "AB", "s": " AB CD ", "l": ["A", "B"]})") {
  const Text text = RenderOrDie(source, context);
  std::string out;
  size_t pos = 0;
  for (const Text::Span& span : text.user_spans()) {
    out += text.bytes().substr(pos, span.begin - pos) + "[";
    out += text.bytes().substr(span.begin, span.end - span.begin) + "]";
    pos = span.end;
  }
  return out + text.bytes().substr(pos);
}

TEST(JinjaProvenance, LiteralsAreTheTemplatesAndDataTheUsers) {
  EXPECT_EQ(Marked("<a>{{ u }}</a>"), "<a>[AB]</a>");
  EXPECT_EQ(Marked("{{ '<' + u + '>' }}"), "<[AB]>");
  EXPECT_EQ(Marked("{{ '<' ~ u ~ '>' ~ u }}"), "<[AB]>[AB]");
  EXPECT_EQ(Marked("{{ u + u }}"), "[ABAB]");
  EXPECT_EQ(Marked("{{ {'k': u}.k ~ ['x'][0] }}"), "[AB]x");
}

TEST(JinjaProvenance, OperationsCarryIt) {
  EXPECT_EQ(Marked("{{ ('<' ~ u ~ '>')[1:] }}"), "[AB]>");
  EXPECT_EQ(Marked("{{ ('<' ~ u ~ '>')[::-1] }}"), ">[BA]<");
  EXPECT_EQ(Marked("{{ ('<' ~ u ~ '>')[1] }}"), "[A]");
  EXPECT_EQ(Marked("{{ ('  <' ~ u ~ '>  ') | trim }}"), "<[AB]>");
  EXPECT_EQ(Marked("{{ ('x' ~ u).lower() ~ ('x' ~ u).upper() ~ ('x' ~ u).title() }}"),
            "x[ab]X[AB]X[ab]");
  EXPECT_EQ(Marked("{{ s.split() | join('-') }}"), "[AB]-[CD]");
  EXPECT_EQ(Marked("{{ ('a|' ~ u ~ '|c').split('|') | reverse | join('/') }}"), "c/[AB]/a");
  EXPECT_EQ(Marked("{{ u.replace('A', 'x') }}"), "x[B]");
  EXPECT_EQ(Marked("{{ 'xyx'.replace('x', u) }}"), "[AB]y[AB]");
  EXPECT_EQ(Marked("{{ 'a-' | replace('-', u) }}"), "a[AB]");
  EXPECT_EQ(Marked("{{ ('<' ~ u) * 2 }}"), "<[AB]<[AB]");
  EXPECT_EQ(Marked("{{ '<%s>' % u }}{{ '<{}>'.format(u) }}"), "<[AB]><[AB]>");
  EXPECT_EQ(Marked("{{ ', '.join(l) }}/{{ l | join('+') }}"), "[A], [B]/[A]+[B]");
  EXPECT_EQ(Marked("{{ ('x' ~ u) | first }}{{ ('x' ~ u) | last }}"), "x[B]");
  EXPECT_EQ(Marked("{{ ('x\n' ~ u) | indent(1) }}"), "x[\n AB]");
  EXPECT_EQ(Marked("{{ u.partition('A')[1] }}"), "[A]");
  EXPECT_EQ(Marked("{{ u.removeprefix('A') ~ 'ab'.removeprefix('a') }}"), "[B]b");
  EXPECT_EQ(Marked("{% for c in 'x' ~ u %}{{ c }}.{% endfor %}"), "x.[A].[B].");
  EXPECT_EQ(Marked("{% set b %}<{{ u }}>{% endset %}{{ b }}"), "<[AB]>");
  EXPECT_EQ(Marked("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(u) }}"), "<[AB]>");
  EXPECT_EQ(Marked("{% filter upper %}x{{ u }}{% endfilter %}"), "X[AB]");
  EXPECT_EQ(Marked("{{ ('<' ~ u) | e }}"), "&lt;[AB]");
}

TEST(JinjaProvenance, WhatTheEngineWritesIsNotTheTemplates) {
  EXPECT_EQ(Marked("{{ l | tojson }}"), "[[\"A\", \"B\"]]");
  EXPECT_EQ(Marked("{{ {'a': 'x'} | tojson }}"), "[{\"]a[\": \"]x[\"}]");
  EXPECT_EQ(Marked("{{ l }}{{ 1 }}{{ none }}"), "[['A', 'B']1None]");
  EXPECT_EQ(Marked("{{ '\n' | tojson }}{{ u | tojson }}"), "[\"]\\n[\"\"AB\"]");
}

TEST(JinjaProvenance, TextKeepsSpansSortedAndApart) {
  Text text("ab", Origin::kTemplate);
  text.Append("cd", Origin::kUser);
  text.Append("ef", Origin::kUser);
  text.Append("", Origin::kUser);
  text.Append("gh", Origin::kTemplate);
  text.Append("ij", Origin::kUser);
  EXPECT_EQ(text.user_spans(), (std::vector<Text::Span>{{2, 6}, {8, 10}}));
  EXPECT_EQ(text.Slice(3, 9).user_spans(), (std::vector<Text::Span>{{0, 3}, {5, 6}}));
  EXPECT_EQ(text.Slice(6, 8).user_spans(), (std::vector<Text::Span>{}));
  EXPECT_EQ(text.OriginAt(1), Origin::kTemplate);
  EXPECT_EQ(text.OriginAt(2), Origin::kUser);
  EXPECT_EQ(text.OriginAt(5), Origin::kUser);
  EXPECT_EQ(text.OriginAt(6), Origin::kTemplate);
  EXPECT_EQ(text.OriginAt(9), Origin::kUser);
}

}  // namespace
}  // namespace sluice::gateway::jinja
