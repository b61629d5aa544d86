// SPDX-License-Identifier: Apache-2.0
// The interpreter's statements.
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/functions.h"
#include "gateway/chat/jinja/interpreter.h"
#include "gateway/chat/jinja/lexer.h"
#include "gateway/chat/jinja/loop_object.h"
#include "gateway/chat/jinja/operators.h"
#include "gateway/chat/jinja/python_repr.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {

// The items a loop runs over, one at a time.
class Interpreter::ItemSource {
 public:
  static absl::StatusOr<std::shared_ptr<ItemSource>> Create(const Value& value, Budget* budget) {
    auto source = std::make_shared<ItemSource>();
    if (value.is(Kind::kList) || value.is(Kind::kObject)) {
      if (!IsIterable(value)) {
        return absl::InvalidArgumentError(
            absl::StrCat("a value of type ", TypeName(value), " is not iterable"));
      }
      source->value_ = value;
    } else {
      SLUICE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value, budget));
      source->value_ = MakeList(List::Type::kList, std::move(items));
    }
    return source;
  }

  absl::StatusOr<std::optional<Value>> Next() {
    if (value_.is(Kind::kList)) {
      const std::vector<Value>& items = value_.list().items;
      if (position_ == items.size()) return std::optional<Value>();
      return std::optional<Value>(items[position_++]);
    }
    if (value_.object()->type() != ObjectType::kGenerator) {
      return absl::InvalidArgumentError("loop is not iterable");
    }
    auto* generator = static_cast<GeneratorObject*>(value_.object());
    Value item;
    if (generator->Next(&item)) return std::optional<Value>(std::move(item));
    if (!generator->end().ok()) return generator->end();
    return std::optional<Value>();
  }

  std::optional<int64_t> length() const {
    if (!value_.is(Kind::kList)) return std::nullopt;
    return static_cast<int64_t>(value_.list().items.size());
  }

 private:
  Value value_;
  size_t position_ = 0;
};

Interpreter::Interpreter(const TemplateSyntax& syntax, const Variables& variables,
                         const Limits& limits, std::time_t now)
    : syntax_(syntax), runtime_(limits, now), context_(syntax.context_names.size()) {
  for (size_t i = 0; i < context_.size(); ++i) {
    const std::string& name = syntax.context_names[i];
    if (FunctionObject* function = FindFunction(name)) context_[i] = Value::FromObject(function);
    for (const auto& [variable, value] : variables) {
      if (variable == name) context_[i] = value;
    }
  }
}

absl::StatusOr<Text> Interpreter::Run() {
  Text out;
  out_ = &out;
  kept_activations_.push_back(std::make_unique<Activation>(syntax_.function.num_slots, nullptr));
  frame_ = kept_activations_.back().get();
  EnterScope(syntax_.loads);
  const absl::Status status = ExecuteBlock(syntax_.body).status();
  if (status.ok()) return out;
  // raise_exception speaks for the template; everything else names its line.
  if (status.code() == absl::StatusCode::kAborted) {
    return absl::InvalidArgumentError(status.message());
  }
  return ErrorAtLine(line_, std::string(status.message()));
}

void Interpreter::EnterScope(const ScopeLoads& loads) {
  for (const Load& load : loads) {
    Value& slot = frame_->slots[load.slot];
    switch (load.from) {
      case Load::From::kNowhere:
        slot = Value();
        break;
      case Load::From::kContext:
        slot = context_[load.context];
        break;
      case Load::From::kVariable:
        slot = Slot(load.variable);
        break;
    }
  }
}

Value& Interpreter::Slot(const SlotRef& ref) {
  Activation* activation = frame_;
  for (uint32_t i = 0; i < ref.hops; ++i) activation = activation->parent;
  return activation->slots[ref.slot];
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteBlock(const Block& body) {
  const DepthGuard guard(&runtime_.budget);
  SLUICE_RETURN_IF_ERROR(guard.status());
  for (const StmtPtr& stmt : body) {
    SLUICE_RETURN_IF_ERROR(runtime_.budget.Step());
    line_ = stmt->line;
    SLUICE_ASSIGN_OR_RETURN(const Flow flow, Execute(*stmt));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

absl::StatusOr<Interpreter::Flow> Interpreter::Execute(const Stmt& stmt) {
  switch (stmt.type) {
    case StmtType::kData:
      SLUICE_RETURN_IF_ERROR(Output(stmt.text));
      return Flow::kNext;
    case StmtType::kOutput:
      for (const ExprPtr& expr : stmt.exprs) {
        SLUICE_ASSIGN_OR_RETURN(const Value value, Eval(*expr));
        SLUICE_RETURN_IF_ERROR(Output(value));
      }
      return Flow::kNext;
    case StmtType::kIf:
      return ExecuteIf(stmt);
    case StmtType::kFor:
      return ExecuteFor(stmt);
    case StmtType::kSet:
      SLUICE_RETURN_IF_ERROR(ExecuteSet(stmt));
      return Flow::kNext;
    case StmtType::kSetBlock:
      SLUICE_RETURN_IF_ERROR(ExecuteSetBlock(stmt));
      return Flow::kNext;
    case StmtType::kMacro:
      SLUICE_RETURN_IF_ERROR(runtime_.budget.Allocate(sizeof(MacroObject)));
      Slot(stmt.slot) =
          Value::FromObject(runtime_.pool.Make<MacroObject>(stmt.macro.get(), frame_));
      return Flow::kNext;
    case StmtType::kCallBlock:
      SLUICE_RETURN_IF_ERROR(ExecuteCallBlock(stmt));
      return Flow::kNext;
    case StmtType::kFilterBlock:
      SLUICE_RETURN_IF_ERROR(ExecuteFilterBlock(stmt));
      return Flow::kNext;
    case StmtType::kWith:
      return ExecuteWith(stmt);
    case StmtType::kScope:
      EnterScope(stmt.loads);
      return ExecuteBlock(stmt.body);
    case StmtType::kBreak:
      return Flow::kBreak;
    case StmtType::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

absl::Status Interpreter::Output(const Value& value) {
  const size_t before = out_->size();
  SLUICE_RETURN_IF_ERROR(AppendText(value, out_));
  SLUICE_RETURN_IF_ERROR(runtime_.budget.Step((out_->size() - before) / 256));
  return runtime_.budget.CheckOutput(out_->size());
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteIf(const Stmt& stmt) {
  // An elif is an if in the else branch: walked here, so that a long chain does not go deep.
  const Stmt* branch = &stmt;
  while (true) {
    line_ = branch->line;
    SLUICE_ASSIGN_OR_RETURN(const Value test, Eval(*branch->exprs[0]));
    if (Truthy(test)) return ExecuteBlock(branch->body);
    const bool is_elif =
        branch->else_body.size() == 1 && branch->else_body[0]->type == StmtType::kIf;
    if (!is_elif) return ExecuteBlock(branch->else_body);
    branch = branch->else_body[0].get();
  }
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteFor(const Stmt& stmt) {
  SLUICE_ASSIGN_OR_RETURN(const Value items, Eval(*stmt.exprs[0]));
  if (!stmt.recursive) return RunLoop(stmt, items, 0, frame_);
  SLUICE_ASSIGN_OR_RETURN(const Value text, RunRecursiveLoop(stmt, items, 0, frame_));
  SLUICE_RETURN_IF_ERROR(Output(text));
  return Flow::kNext;
}

absl::StatusOr<Value> Interpreter::RunRecursiveLoop(const Stmt& stmt, const Value& items,
                                                    int64_t depth0, Activation* outer) {
  kept_activations_.push_back(std::make_unique<Activation>(stmt.function.num_slots, outer));
  SLUICE_RETURN_IF_ERROR(
      runtime_.budget.Allocate(sizeof(Activation) + stmt.function.num_slots * sizeof(Value)));
  Text text;
  Text* const outer_out = std::exchange(out_, &text);
  Activation* const outer_frame = std::exchange(frame_, kept_activations_.back().get());
  const absl::Status status = RunLoop(stmt, items, depth0, outer).status();
  out_ = outer_out;
  frame_ = outer_frame;
  SLUICE_RETURN_IF_ERROR(status);
  return Value::String(std::move(text));
}

absl::StatusOr<std::optional<Value>> Interpreter::NextItem(const Stmt& stmt, ItemSource* source,
                                                           Activation* filter_frame) {
  if (stmt.exprs.size() < 2) return source->Next();
  // The filter belongs to the function around the loop, whatever runs when it is asked.
  Activation* const caller = std::exchange(frame_, filter_frame);
  const auto find = [&]() -> absl::StatusOr<std::optional<Value>> {
    while (true) {
      SLUICE_ASSIGN_OR_RETURN(std::optional<Value> item, source->Next());
      if (!item) return item;
      EnterScope(stmt.test_loads);
      SLUICE_RETURN_IF_ERROR(runtime_.budget.Step());
      SLUICE_RETURN_IF_ERROR(Assign(*stmt.test_targets[0], *item));
      SLUICE_ASSIGN_OR_RETURN(const Value passes, Eval(*stmt.exprs[1]));
      if (Truthy(passes)) return item;
    }
  };
  absl::StatusOr<std::optional<Value>> item = find();
  frame_ = caller;
  return item;
}

absl::StatusOr<Interpreter::Flow> Interpreter::RunLoop(const Stmt& stmt, const Value& items,
                                                       int64_t depth0, Activation* filter_frame) {
  SLUICE_ASSIGN_OR_RETURN(std::shared_ptr<ItemSource> source,
                          ItemSource::Create(items, &runtime_.budget));
  const bool filtered = stmt.exprs.size() > 1;
  const auto next = [this, &stmt, source, filter_frame] {
    return NextItem(stmt, source.get(), filter_frame);
  };
  const std::optional<int64_t> length = filtered ? std::nullopt : source->length();
  std::optional<LoopObject> local;  // where the body cannot take hold of it
  LoopObject* loop = nullptr;
  if (stmt.uses_loop) {
    SLUICE_RETURN_IF_ERROR(runtime_.budget.Allocate(sizeof(LoopObject)));
    loop = runtime_.pool.Make<LoopObject>(next, length, depth0);
    if (stmt.recursive) {
      loop->set_recurse([this, &stmt, depth0, filter_frame](const Value& inner) {
        return RunRecursiveLoop(stmt, inner, depth0 + 1, filter_frame);
      });
    }
  } else {
    loop = &local.emplace(next, length, depth0);
  }
  bool ran = false;
  SLUICE_RETURN_IF_ERROR(RunLoopBody(stmt, loop, &ran).status());
  if (ran || stmt.else_body.empty()) return Flow::kNext;
  EnterScope(stmt.else_loads);
  return ExecuteBlock(stmt.else_body);
}

// *ran says whether the body ever came to its end. Jinja sets the mark there, so a loop whose
// rounds all stop at a break or continue runs its else branch.
absl::StatusOr<Interpreter::Flow> Interpreter::RunLoopBody(const Stmt& stmt, LoopObject* loop,
                                                           bool* ran) {
  while (true) {
    SLUICE_RETURN_IF_ERROR(runtime_.budget.Step());
    SLUICE_ASSIGN_OR_RETURN(const std::optional<Value> item, loop->Advance());
    if (!item) return Flow::kNext;
    if (stmt.uses_loop) Slot(stmt.loop_slot) = Value::FromObject(loop);
    SLUICE_RETURN_IF_ERROR(Assign(*stmt.targets[0], *item));
    EnterScope(stmt.loads);
    SLUICE_ASSIGN_OR_RETURN(const Flow flow, ExecuteBlock(stmt.body));
    if (flow == Flow::kBreak) return Flow::kNext;
    if (flow == Flow::kNext) *ran = true;
  }
}

absl::Status Interpreter::CheckNamespaces(const Expr& target) {
  if (target.type == ExprType::kNamespaceRef) {
    const Value& object = Slot(target.slot);
    const bool is_namespace =
        object.is(Kind::kObject) && object.object()->type() == ObjectType::kNamespace;
    if (!is_namespace) {
      return absl::InvalidArgumentError("cannot assign attribute on non-namespace object");
    }
  }
  for (const ExprPtr& kid : target.kids) SLUICE_RETURN_IF_ERROR(CheckNamespaces(*kid));
  return absl::OkStatus();
}

absl::Status Interpreter::ExecuteSet(const Stmt& stmt) {
  SLUICE_RETURN_IF_ERROR(CheckNamespaces(*stmt.targets[0]));
  SLUICE_ASSIGN_OR_RETURN(const Value value, Eval(*stmt.exprs[0]));
  return Assign(*stmt.targets[0], value);
}

absl::Status Interpreter::ExecuteSetBlock(const Stmt& stmt) {
  EnterScope(stmt.loads);
  SLUICE_ASSIGN_OR_RETURN(Text text, Capture(stmt.body));
  Value value = Value::String(std::move(text));
  if (!stmt.exprs.empty()) {
    SLUICE_ASSIGN_OR_RETURN(value, EvalFilter(*stmt.exprs[0], &value));
  }
  SLUICE_RETURN_IF_ERROR(CheckNamespaces(*stmt.targets[0]));
  return Assign(*stmt.targets[0], value);
}

absl::Status Interpreter::ExecuteFilterBlock(const Stmt& stmt) {
  EnterScope(stmt.loads);
  SLUICE_ASSIGN_OR_RETURN(Text text, Capture(stmt.body));
  const Value input = Value::String(std::move(text));
  SLUICE_ASSIGN_OR_RETURN(const Value value, EvalFilter(*stmt.exprs[0], &input));
  return Output(value);
}

absl::StatusOr<Interpreter::Flow> Interpreter::ExecuteWith(const Stmt& stmt) {
  std::vector<Value> values;
  for (const ExprPtr& expr : stmt.exprs) {
    SLUICE_ASSIGN_OR_RETURN(Value value, Eval(*expr));
    values.push_back(std::move(value));
  }
  EnterScope(stmt.loads);
  for (size_t i = 0; i < values.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(Assign(*stmt.targets[i], values[i]));
  }
  return ExecuteBlock(stmt.body);
}

absl::Status Interpreter::ExecuteCallBlock(const Stmt& stmt) {
  SLUICE_RETURN_IF_ERROR(runtime_.budget.Allocate(sizeof(MacroObject)));
  const Value caller = Value::FromObject(runtime_.pool.Make<MacroObject>(stmt.macro.get(), frame_));
  SLUICE_ASSIGN_OR_RETURN(const Value value, EvalCall(*stmt.exprs[0], &caller));
  return Output(value);
}

absl::Status Interpreter::Assign(const Expr& target, const Value& value) {
  if (target.type == ExprType::kName) {
    Slot(target.slot) = value;
    return absl::OkStatus();
  }
  if (target.type == ExprType::kNamespaceRef) {
    if (target.value.str().view().starts_with('_')) {
      return absl::InvalidArgumentError("namespace: attribute names must not start with '_'");
    }
    static_cast<NamespaceObject*>(Slot(target.slot).object())->Set(target.value, value);
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value, &runtime_.budget));
  if (items.size() != target.kids.size()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot unpack ", items.size(), " values into ",
                                                   target.kids.size(), " names"));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(Assign(*target.kids[i], items[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<Text> Interpreter::Capture(const Block& body) {
  Text text;
  Text* const outer = std::exchange(out_, &text);
  const absl::Status status = ExecuteBlock(body).status();
  out_ = outer;
  SLUICE_RETURN_IF_ERROR(status);
  SLUICE_RETURN_IF_ERROR(runtime_.budget.Allocate(text.size()));
  return text;
}

}  // namespace sluice::gateway::jinja
