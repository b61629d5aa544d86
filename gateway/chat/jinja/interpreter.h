// SPDX-License-Identifier: Apache-2.0
// The interpreter: walks the bound syntax tree of a template once. It owns everything the render
// makes; one render, one thread.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gateway/chat/jinja/ast.h"
#include "gateway/chat/jinja/call_args.h"
#include "gateway/chat/jinja/object.h"
#include "gateway/chat/jinja/runtime.h"
#include "gateway/chat/jinja/template.h"

namespace sluice::gateway::jinja {

class LoopObject;

// The variables of one call of a function.
struct Activation {
  Activation(uint32_t num_slots, Activation* outer) : slots(num_slots), parent(outer) {}
  std::vector<Value> slots;
  Activation* parent;  // the call of the function around it
};

class MacroObject : public Object {
 public:
  MacroObject(const MacroSyntax* macro, Activation* activation)
      : Object(ObjectType::kMacro, "Macro"), syntax(macro), closure(activation) {}
  const MacroSyntax* const syntax;
  Activation* const closure;
};

class Interpreter {
 public:
  Interpreter(const TemplateSyntax& syntax, const Variables& variables, const Limits& limits,
              std::time_t now);
  absl::StatusOr<Text> Run();

 private:
  enum class Flow { kNext, kBreak, kContinue };
  class DepthGuard;
  class ItemSource;

  // Statements (statements.cc).
  absl::StatusOr<Flow> ExecuteBlock(const Block& body);
  absl::StatusOr<Flow> Execute(const Stmt& stmt);
  absl::StatusOr<Flow> ExecuteIf(const Stmt& stmt);
  absl::StatusOr<Flow> ExecuteFor(const Stmt& stmt);
  absl::StatusOr<Flow> RunLoop(const Stmt& stmt, const Value& items, int64_t depth0,
                               Activation* filter_frame);
  absl::StatusOr<Flow> RunLoopBody(const Stmt& stmt, LoopObject* loop, bool* ran);
  absl::StatusOr<Value> RunRecursiveLoop(const Stmt& stmt, const Value& items, int64_t depth0,
                                         Activation* outer);
  absl::StatusOr<std::optional<Value>> NextItem(const Stmt& stmt, ItemSource* source,
                                                Activation* filter_frame);
  absl::Status ExecuteSet(const Stmt& stmt);
  absl::Status ExecuteSetBlock(const Stmt& stmt);
  absl::Status ExecuteFilterBlock(const Stmt& stmt);
  absl::StatusOr<Flow> ExecuteWith(const Stmt& stmt);
  absl::Status ExecuteCallBlock(const Stmt& stmt);
  absl::Status Output(const Value& value);
  absl::Status CheckNamespaces(const Expr& target);
  absl::Status Assign(const Expr& target, const Value& value);
  // Runs the body with output of its own.
  absl::StatusOr<Text> Capture(const Block& body);
  void EnterScope(const ScopeLoads& loads);

  // Expressions (expressions.cc).
  absl::StatusOr<Value> Eval(const Expr& expr);
  absl::StatusOr<Value> EvalSequence(const Expr& expr);
  absl::StatusOr<Value> EvalDict(const Expr& expr);
  absl::StatusOr<Value> EvalSlice(const Expr& expr);
  absl::StatusOr<Value> EvalCondition(const Expr& expr);
  absl::StatusOr<Value> EvalLogic(const Expr& expr);
  absl::StatusOr<Value> EvalUnary(const Expr& expr);
  absl::StatusOr<Value> EvalBinary(const Expr& expr);
  absl::StatusOr<Value> EvalCompare(const Expr& expr);
  absl::StatusOr<Value> EvalConcat(const Expr& expr);
  absl::StatusOr<Value> EvalGetAttr(const Expr& expr);
  absl::StatusOr<Value> EvalGetItem(const Expr& expr);
  absl::StatusOr<Value> EvalFilter(const Expr& expr, const Value* block_input);
  absl::StatusOr<Value> EvalTest(const Expr& expr);
  absl::StatusOr<Value> EvalCall(const Expr& expr, const Value* caller);
  absl::StatusOr<CallArgs> EvalArguments(const CallSyntax& call);
  absl::StatusOr<Value> Call(const Value& callee, const CallArgs& args);
  absl::StatusOr<Value> CallMacro(const MacroObject& macro, const CallArgs& args);
  absl::Status BindMacro(const MacroSyntax& macro, const CallArgs& args);
  absl::Status BindExtraArguments(const MacroSyntax& macro, const CallArgs& args,
                                  std::vector<std::pair<Value, Value>> keyword);

  Value& Slot(const SlotRef& ref);
  Value Read(const Expr& name);

  const TemplateSyntax& syntax_;
  Runtime runtime_;
  std::vector<Value> context_;  // by the index of the template's context names
  std::vector<std::unique_ptr<Activation>> kept_activations_;  // that inner functions may refer to
  Activation* frame_ = nullptr;
  Text* out_ = nullptr;
  int line_ = 1;  // of the node being run
};

// Every level of evaluation counts against the budget's depth, since it is a level of the C++ stack
// too.
class Interpreter::DepthGuard {
 public:
  explicit DepthGuard(Budget* budget) : budget_(budget), status_(budget->Enter()) {}
  ~DepthGuard() { budget_->Leave(); }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  const absl::Status& status() const { return status_; }

 private:
  Budget* budget_;
  absl::Status status_;
};

}  // namespace sluice::gateway::jinja
