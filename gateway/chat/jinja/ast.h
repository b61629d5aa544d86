// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a template. The parser builds it, the scope analysis binds its names to slots,
// and from then on it is constant and shared by all renders. Plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/value.h"

namespace sluice::gateway::jinja {

struct FilterSpec;
struct TestSpec;
struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;
using Block = std::vector<StmtPtr>;

// A variable: slot `slot` of the function `hops` functions further out.
struct SlotRef {
  uint32_t hops = 0;
  uint32_t slot = 0;
};

struct CallSyntax {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<Value, ExprPtr>> keyword;  // names are strings
  ExprPtr star;                                    // *args, or null
  ExprPtr double_star;                             // **kwargs, or null
};

enum class ExprType : uint8_t {
  kConst,        // value
  kName,         // value is the name; slot
  kList,         // kids
  kTuple,        // kids
  kDict,         // kids: key, value, key, value, ...
  kGetAttr,      // kids[0].value
  kGetItem,      // kids[0][kids[1]]
  kSlice,        // kids[0][kids[1]:kids[2]:kids[3]]; null kids are left out
  kCall,         // kids[0](call)
  kFilter,       // kids[0] | filter(call); kids[0] is null where a block is filtered
  kTest,         // kids[0] is test(call)
  kCondition,    // kids[0] if kids[1] else kids[2] (null: undefined)
  kAnd,          // kids[0] and kids[1]
  kOr,           // kids[0] or kids[1]
  kNot,          // not kids[0]
  kNegate,       // -kids[0]
  kPositive,     // +kids[0]
  kBinary,       // kids[0] binary kids[1]
  kCompare,      // kids[0] comparisons[0] kids[1] comparisons[1] kids[2] ...
  kConcat,       // kids[0] ~ kids[1] ~ ...
  kNamespaceRef  // target of an assignment: name.attribute; value is the attribute, slot the
                 // namespace
};

struct Expr {
  Expr(ExprType expr_type, int source_line) : type(expr_type), line(source_line) {}
  ExprType type;
  int line;
  Value value;
  std::string name;  // of kName, kNamespaceRef (the namespace), kFilter and kTest
  std::vector<ExprPtr> kids;
  CallSyntax call;
  std::vector<CompareOp> comparisons;
  BinaryOp binary = BinaryOp::kAdd;
  SlotRef slot;
  const FilterSpec* filter = nullptr;
  const TestSpec* test = nullptr;
};

// What entering a scope does to one of its variables.
struct Load {
  enum class From : uint8_t { kNowhere, kContext, kVariable };
  From from = From::kNowhere;
  uint32_t slot = 0;     // in the function being run
  uint32_t context = 0;  // index of the name among the template's context names
  SlotRef variable;
};
using ScopeLoads = std::vector<Load>;

// A body that runs with slots of its own: the template, a macro, a call block, a recursive loop.
struct FunctionInfo {
  uint32_t num_slots = 0;
  bool outlives_call = false;  // something made during a call may still refer to its slots after it
};

struct MacroSyntax {
  std::string name;
  std::vector<Value> parameter_names;
  std::vector<SlotRef> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  ScopeLoads loads;
  FunctionInfo function;
  // Set where the body mentions these names and no parameter is called so.
  bool takes_caller = false;
  bool takes_kwargs = false;
  bool takes_varargs = false;
  bool names_caller = false;  // a parameter is called caller
  SlotRef caller, kwargs, varargs;
};

enum class StmtType : uint8_t {
  kData,         // text
  kOutput,       // exprs
  kIf,           // exprs[0]: body; else: else_body (elif is an if in else_body)
  kFor,          // target in exprs[0] if exprs[1]: body; else: else_body
  kSet,          // target = exprs[0]
  kSetBlock,     // target = body | exprs[0]
  kMacro,        // macro; slot is where it is stored
  kCallBlock,    // exprs[0] is the call, macro the caller
  kFilterBlock,  // body | exprs[0]
  kWith,         // targets[i] = exprs[i]: body
  kScope,        // body with names of its own ({% generation %})
  kBreak,
  kContinue
};

struct Stmt {
  Stmt(StmtType stmt_type, int source_line) : type(stmt_type), line(source_line) {}
  StmtType type;
  int line;
  Value text;
  std::vector<ExprPtr> exprs;
  std::vector<ExprPtr> targets;  // kSet, kSetBlock and kFor have one
  Block body;
  Block else_body;
  ScopeLoads loads;                   // of body
  ScopeLoads else_loads;              // of else_body, of kFor
  ScopeLoads test_loads;              // of the filter of kFor
  std::vector<ExprPtr> test_targets;  // kFor: the same target, bound for the filter
  std::unique_ptr<MacroSyntax> macro;
  SlotRef slot;
  bool uses_loop = false;  // kFor: the body mentions loop
  bool recursive = false;
  SlotRef loop_slot;
  FunctionInfo function;  // of a recursive loop
};

struct TemplateSyntax {
  Block body;
  ScopeLoads loads;
  FunctionInfo function;
  std::vector<std::string> context_names;  // what the template reads from its variables and globals
};

}  // namespace sluice::gateway::jinja
