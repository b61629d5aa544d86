// SPDX-License-Identifier: Apache-2.0
// What the engine does not know is refused when a template is compiled, with its name and line, and
// what a template may cost ends in an error.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/chat/jinja/json.h"
#include "gateway/chat/jinja/template.h"

namespace sluice::gateway::jinja {
namespace {

using ::testing::HasSubstr;

std::string CompileError(const std::string& source) {
  const auto compiled = Template::Compile(source);
  EXPECT_FALSE(compiled.ok()) << source.substr(0, 100);
  return compiled.ok() ? "" : std::string(compiled.status().message());
}

std::string RenderError(const std::string& source, const Limits& limits = {},
                        const Variables& variables = {}) {
  const auto compiled = Template::Compile(source);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  if (!compiled.ok()) return "";
  const absl::StatusOr<Text> text = (*compiled)->Render(variables, limits);
  EXPECT_FALSE(text.ok()) << source;
  return std::string(text.status().message());
}

TEST(JinjaRefusal, UnknownConstructsAreNamedWithTheirLine) {
  EXPECT_EQ(CompileError("\n{% frobnicate %}"), "line 2: unknown tag 'frobnicate'");
  EXPECT_EQ(CompileError("\n\n{{ x | frob }}"), "line 3: unknown filter 'frob'");
  EXPECT_EQ(CompileError("{{ x\n is frob }}"), "line 2: unknown test 'frob'");
  EXPECT_EQ(CompileError("{{ frob(1) }}"), "line 1: unknown function 'frob'");
  EXPECT_EQ(CompileError("{{\n\nx.frob(1) }}"), "line 3: unknown method 'frob'");
  EXPECT_EQ(CompileError("{{ x | map('frob') | list }}"), "line 1: unknown filter 'frob'");
  EXPECT_EQ(CompileError("{{ x | selectattr('a', 'frob') }}"), "line 1: unknown test 'frob'");
  // Also in a branch that may never run, where Jinja2 would wait for it.
  EXPECT_EQ(CompileError("{% if false %}{{ x | frob }}{% endif %}"),
            "line 1: unknown filter 'frob'");
}

TEST(JinjaRefusal, TagsThatNeedMoreThanOneTemplateSaySo) {
  for (const char* tag : {"include 'a'", "extends 'a'", "import 'a' as b", "block a"}) {
    EXPECT_THAT(CompileError(std::string("{% ") + tag + " %}"),
                HasSubstr("is not supported in chat templates"));
  }
}

TEST(JinjaRefusal, WhatTheTemplateDefinesCanBeCalled) {
  for (const char* source :
       {"{% macro f() %}{% endmacro %}{{ f() }}", "{% macro f(g) %}{{ g() if g }}{% endmacro %}",
        "{% macro f() %}{{ caller() }}{% endmacro %}",
        "{% set ns = namespace(f=1) %}{{ ns.f() if false }}", "{% set ns.g = 1 %}{{ ns.g() }}",
        "{% for f in x %}{{ f() }}{% endfor %}"}) {
    EXPECT_TRUE(Template::Compile(source).ok()) << source;
  }
}

TEST(JinjaRefusal, DeepSourceIsAnError) {
  const auto repeat = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  constexpr int kTimes = 20000;
  const std::vector<std::string> sources = {
      "{{ " + repeat("(", kTimes) + "1" + repeat(")", kTimes) + " }}",
      "{{ " + repeat("[", kTimes) + repeat("]", kTimes) + " }}",
      "{{ " + repeat("{1:", kTimes) + "1" + repeat("}", kTimes) + " }}",
      "{{ " + repeat("x[", kTimes) + "1" + repeat("]", kTimes) + " }}",
      "{{ " + repeat("x(", kTimes) + "1" + repeat(")", kTimes) + " }}",
      "{{ x is in" + repeat("(1 is in", kTimes) + " x" + repeat(")", kTimes) + " }}",
      "{% for " + repeat("(", kTimes) + "a" + repeat(")", kTimes) + " in b %}{% endfor %}",
      "{{ " + repeat("-", kTimes) + "1 }}",
      "{{ " + repeat("not ", kTimes) + "1 }}",
      "{{ 1" + repeat(" + 1", kTimes) + " }}",
      "{{ 1" + repeat(" ** 1", kTimes) + " }}",
      "{{ 1" + repeat(" * 1", kTimes) + " }}",
      "{{ x" + repeat(".a", kTimes) + " }}",
      "{{ x" + repeat(" | upper", kTimes) + " }}",
      "{{ 1" + repeat(" if 1 else 2", kTimes) + " }}",
      "{{ 1" + repeat(" if 1", kTimes) + " }}",
      repeat("{% if 1 %}", kTimes),
      repeat("{% for a in b %}", kTimes),
      "{% set a" + repeat(" | upper", kTimes) + " %}{% endset %}",
      "{% filter upper" + repeat(" | upper", kTimes) + " %}{% endfilter %}"};
  for (const std::string& source : sources) {
    EXPECT_THAT(CompileError(source), HasSubstr("nested deeper than")) << source.substr(0, 40);
  }
  // Long is not deep.
  EXPECT_TRUE(Template::Compile("{{ x" + repeat(" ~ x", 10000) + " }}").ok());
  EXPECT_TRUE(Template::Compile(repeat("{{ x }}", 10000)).ok());
  EXPECT_FALSE(Template::Compile("{% if 1 %}" + repeat("{% elif 1 %}", 3000)).ok());
  EXPECT_TRUE(Template::Compile("{% if 1 %}" + repeat("{% elif 1 %}", 90) + "{% endif %}").ok());
}

TEST(JinjaLimits, EveryRenderEnds) {
  Limits limits;  // so that reaching them takes no time
  limits.max_allocated_bytes = 16 << 20;
  EXPECT_THAT(
      RenderError(
          "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"),
      HasSubstr("steps"));
  EXPECT_THAT(RenderError("{% set ns = namespace(s='x') %}{% for i in range(100) %}"
                          "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                          limits),
              HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ 'x' * 10000000000 }}"), HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ [1] * 10000000000 }}"), HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ ('x' * 1000000).replace('', 'y' * 1000000) }}", limits),
              HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ 'a'.center(100000000000) }}"), HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ '%99999999999d' % 1 }}"), HasSubstr("width"));
  EXPECT_THAT(RenderError("{{ '{:99999999999}'.format(1) }}"), HasSubstr("width"));
  EXPECT_THAT(RenderError("{{ 'a' | indent(100000000000) }}"), HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ [1] | batch(100000000000, 0) | list }}", limits),
              HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{{ [1] | slice(100000000000) | list }}"), HasSubstr("bytes of values"));
  EXPECT_THAT(RenderError("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("nests deeper"));
  EXPECT_THAT(RenderError("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("nests deeper"));
  EXPECT_THAT(RenderError("{% set ns = namespace(l=[]) %}{% for i in range(100000) %}"
                          "{% set ns.l = [ns.l] %}{% endfor %}"),
              HasSubstr("nested deeper than"));
  Limits small;
  small.max_output_bytes = 100;
  EXPECT_THAT(RenderError("{% for i in range(1000) %}aaaaaaaaaa{% endfor %}", small),
              HasSubstr("rendered text exceeds 100 bytes"));
}

TEST(JinjaLimits, NamespacesMayReferToEachOther) {
  const auto compiled = Template::Compile(
      "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = [b] %}{{ a.b[0].a.b | "
      "length }}");
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const absl::StatusOr<Text> text = (*compiled)->Render({});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->bytes(), "1");  // and nothing leaks, which the sanitizers see
}

TEST(JinjaLimits, LoopsCanBeAskedAfterTheyEnd) {
  const auto compiled = Template::Compile(
      "{% set ns = namespace(l=none) %}{% macro f(xs) %}{% for x in xs if x %}{% set ns.l = loop "
      "%}{% break %}"
      "{% endfor %}{% endmacro %}{{ f([1, 2, 0, 3]) }}{{ ns.l.nextitem }}{{ ns.l.length }}{{ "
      "ns.l.last }}");
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const absl::StatusOr<Text> text = (*compiled)->Render({});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->bytes(), "23False");
}

}  // namespace
}  // namespace sluice::gateway::jinja
