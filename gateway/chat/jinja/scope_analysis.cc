// SPDX-License-Identifier: Apache-2.0
#include "gateway/chat/jinja/scope_analysis.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/chat/jinja/lexer.h"
#include "gateway/chat/jinja/syntax_walk.h"
#include "proto/wire/status_macros.h"

namespace sluice::gateway::jinja {
namespace {

// A function's slots. Scopes of one level that follow each other share the slots of equal names,
// since entering a scope initializes them.
struct FunctionScope {
  FunctionScope(FunctionInfo* function_info, FunctionScope* outer)
      : info(function_info), parent(outer), depth(outer == nullptr ? 0 : outer->depth + 1) {
    if (outer != nullptr) outer->info->outlives_call = true;
  }
  uint32_t Slot(int level, bool filter, const std::string& name) {
    const auto [it, added] = slots.try_emplace({level, filter, name}, info->num_slots);
    if (added) ++info->num_slots;
    return it->second;
  }

  FunctionInfo* info;
  FunctionScope* parent;
  uint32_t depth;
  std::map<std::tuple<int, bool, std::string>, uint32_t> slots;
};

struct Ident {
  FunctionScope* function = nullptr;
  uint32_t slot = 0;
  bool operator<(const Ident& other) const {
    return std::tie(function, slot) < std::tie(other.function, other.slot);
  }
};

struct LoadRule {
  enum class Type { kParameter, kResolve, kAlias, kUndefined };
  Type type = Type::kUndefined;
  std::string name;  // of kResolve
  Ident outer;       // of kAlias
};

// One scope's names; the port of jinja2.idtracking.Symbols.
class Symbols {
 public:
  Symbols(const Symbols* parent, FunctionScope* function, bool filter = false)
      : parent_(parent),
        function_(function),
        level_(parent == nullptr ? 0 : parent->level_ + 1),
        filter_(filter) {}

  FunctionScope* function() const { return function_; }
  const std::map<Ident, LoadRule>& loads() const { return loads_; }

  const Ident* Find(const std::string& name) const {
    for (const Symbols* symbols = this; symbols != nullptr; symbols = symbols->parent_) {
      const auto it = symbols->refs_.find(name);
      if (it != symbols->refs_.end()) return &it->second;
    }
    return nullptr;
  }

  void Store(const std::string& name) {
    stores_.insert(name);
    if (refs_.count(name) != 0) return;
    const Ident* outer = parent_ == nullptr ? nullptr : parent_->Find(name);
    if (outer != nullptr) {
      Define(name, {LoadRule::Type::kAlias, "", *outer});
    } else {
      Define(name, {LoadRule::Type::kUndefined, "", {}});
    }
  }

  Ident DeclareParameter(const std::string& name) {
    stores_.insert(name);
    return Define(name, {LoadRule::Type::kParameter, "", {}});
  }

  void LoadName(const std::string& name) {
    if (Find(name) == nullptr) Define(name, {LoadRule::Type::kResolve, name, {}});
  }

  // Takes over what the branches of an if assigned: such a name may also keep the value it had.
  void UpdateFromBranches(const std::vector<Symbols>& branches) {
    std::set<std::string> stored;
    for (const Symbols& branch : branches)
      stored.insert(branch.stores_.begin(), branch.stores_.end());
    for (const std::string& name : stores_) stored.erase(name);
    for (const Symbols& branch : branches) {
      for (const auto& [name, ident] : branch.refs_) refs_[name] = ident;
      for (const auto& [ident, rule] : branch.loads_) loads_[ident] = rule;
      stores_.insert(branch.stores_.begin(), branch.stores_.end());
    }
    for (const std::string& name : stored) {
      const Ident target = *Find(name);
      const Ident* outer = parent_ == nullptr ? nullptr : parent_->Find(name);
      if (outer != nullptr) {
        loads_[target] = {LoadRule::Type::kAlias, "", *outer};
      } else {
        loads_[target] = {LoadRule::Type::kResolve, name, {}};
      }
    }
  }

 private:
  Ident Define(const std::string& name, LoadRule rule) {
    const Ident ident{function_, function_->Slot(level_, filter_, name)};
    refs_[name] = ident;
    loads_[ident] = std::move(rule);
    return ident;
  }

  const Symbols* parent_;
  FunctionScope* function_;
  int level_;
  bool filter_;
  std::map<std::string, Ident> refs_;
  std::map<Ident, LoadRule> loads_;
  std::set<std::string> stores_;
};

// Which of `names` a block reads before assigning them.
std::set<std::string> FindUndeclared(const Block& body, std::set<std::string> names) {
  std::set<std::string> found;
  SyntaxVisitor visitor;
  visitor.load = [&](const Expr& name) {
    if (names.count(name.name) != 0) found.insert(name.name);
  };
  visitor.store = [&](const std::string& name, int) { names.erase(name); };
  Walk(body, visitor);
  return found;
}

class Analyzer {
 public:
  absl::StatusOr<TemplateSyntax> Run(Block body) {
    TemplateSyntax syntax;
    syntax.body = std::move(body);
    FunctionScope* function = NewFunction(&syntax.function, nullptr);
    Symbols symbols(nullptr, function);
    Collect(syntax.body, &symbols);
    syntax.loads = LoadsOf(symbols);
    SLUICE_RETURN_IF_ERROR(BindBlock(&syntax.body, symbols));
    syntax.context_names = std::move(context_names_);
    return syntax;
  }

 private:
  FunctionScope* NewFunction(FunctionInfo* info, FunctionScope* outer) {
    functions_.push_back(std::make_unique<FunctionScope>(info, outer));
    return functions_.back().get();
  }

  uint32_t ContextIndex(const std::string& name) {
    const auto [it, added] =
        context_indices_.try_emplace(name, static_cast<uint32_t>(context_names_.size()));
    if (added) context_names_.push_back(name);
    return it->second;
  }

  static SlotRef RefFrom(const Ident& ident, const Symbols& symbols) {
    return {symbols.function()->depth - ident.function->depth, ident.slot};
  }

  ScopeLoads LoadsOf(const Symbols& symbols) {
    ScopeLoads loads;
    for (const auto& [ident, rule] : symbols.loads()) {
      Load load;
      load.slot = ident.slot;
      switch (rule.type) {
        case LoadRule::Type::kParameter:
          continue;
        case LoadRule::Type::kResolve:
          load.from = Load::From::kContext;
          load.context = ContextIndex(rule.name);
          break;
        case LoadRule::Type::kAlias:
          load.from = Load::From::kVariable;
          load.variable = RefFrom(rule.outer, symbols);
          break;
        case LoadRule::Type::kUndefined:
          break;
      }
      loads.push_back(load);
    }
    return loads;
  }

  // First pass over a scope: which names it reads and assigns, in source order. Stops at inner
  // scopes.

  void Collect(const Block& body, Symbols* symbols) {
    for (const StmtPtr& stmt : body) CollectStatement(*stmt, symbols);
  }

  void CollectExpr(const Expr& expr, Symbols* symbols) {
    SyntaxVisitor visitor;
    visitor.load = [&](const Expr& name) { symbols->LoadName(name.name); };
    Walk(expr, visitor);
  }

  void CollectTarget(const Expr& target, bool as_parameter, Symbols* symbols) {
    if (target.type == ExprType::kName) {
      if (as_parameter) {
        symbols->DeclareParameter(target.name);
      } else {
        symbols->Store(target.name);
      }
    } else if (target.type == ExprType::kNamespaceRef) {
      symbols->LoadName(target.name);
    }
    for (const ExprPtr& kid : target.kids) CollectTarget(*kid, as_parameter, symbols);
  }

  void CollectStatement(const Stmt& stmt, Symbols* symbols) {
    switch (stmt.type) {
      case StmtType::kIf: {
        CollectExpr(*stmt.exprs[0], symbols);
        std::vector<Symbols> branches{*symbols, *symbols};
        Collect(stmt.body, &branches[0]);
        Collect(stmt.else_body, &branches[1]);
        symbols->UpdateFromBranches(branches);
        break;
      }
      case StmtType::kFor:  // the filter in exprs[1] belongs to a scope of its own
        CollectExpr(*stmt.exprs[0], symbols);
        break;
      case StmtType::kSet:
        CollectExpr(*stmt.exprs[0], symbols);
        CollectTarget(*stmt.targets[0], false, symbols);
        break;
      case StmtType::kSetBlock:
        CollectTarget(*stmt.targets[0], false, symbols);
        break;
      case StmtType::kMacro:
        symbols->Store(stmt.macro->name);
        break;
      case StmtType::kOutput:
      case StmtType::kCallBlock:
      case StmtType::kFilterBlock:
      case StmtType::kWith:
        for (const ExprPtr& expr : stmt.exprs) CollectExpr(*expr, symbols);
        break;
      case StmtType::kData:
      case StmtType::kScope:
      case StmtType::kBreak:
      case StmtType::kContinue:
        break;
    }
  }

  // Second pass: names to slots, and inner scopes.

  absl::Status BindBlock(Block* body, const Symbols& symbols) {
    for (StmtPtr& stmt : *body) SLUICE_RETURN_IF_ERROR(BindStatement(stmt.get(), symbols));
    return absl::OkStatus();
  }

  void BindExpr(Expr* expr, const Symbols& symbols) {
    if (expr->type == ExprType::kName || expr->type == ExprType::kNamespaceRef) {
      expr->slot = RefFrom(*symbols.Find(expr->name), symbols);
    }
    for (ExprPtr& kid : expr->kids) {
      if (kid != nullptr) BindExpr(kid.get(), symbols);
    }
    for (ExprPtr& argument : expr->call.positional) BindExpr(argument.get(), symbols);
    for (auto& [name, argument] : expr->call.keyword) BindExpr(argument.get(), symbols);
    if (expr->call.star != nullptr) BindExpr(expr->call.star.get(), symbols);
    if (expr->call.double_star != nullptr) BindExpr(expr->call.double_star.get(), symbols);
  }

  void BindAll(std::vector<ExprPtr>* exprs, const Symbols& symbols) {
    for (ExprPtr& expr : *exprs) BindExpr(expr.get(), symbols);
  }

  absl::Status BindStatement(Stmt* stmt, const Symbols& symbols) {
    switch (stmt->type) {
      case StmtType::kFor:
        return BindFor(stmt, symbols);
      case StmtType::kMacro:
        stmt->slot = RefFrom(*symbols.Find(stmt->macro->name), symbols);
        return BindMacro(stmt->macro.get(), stmt->line, symbols);
      case StmtType::kCallBlock:
        BindAll(&stmt->exprs, symbols);
        return BindMacro(stmt->macro.get(), stmt->line, symbols);
      case StmtType::kSetBlock:
      case StmtType::kFilterBlock: {
        Symbols inner(&symbols, symbols.function());
        Collect(stmt->body, &inner);
        for (const ExprPtr& filter : stmt->exprs) CollectExpr(*filter, &inner);
        stmt->loads = LoadsOf(inner);
        BindAll(&stmt->exprs, inner);
        BindAll(&stmt->targets, symbols);
        return BindBlock(&stmt->body, inner);
      }
      case StmtType::kWith: {
        BindAll(&stmt->exprs, symbols);
        Symbols inner(&symbols, symbols.function());
        for (const ExprPtr& target : stmt->targets) CollectTarget(*target, true, &inner);
        Collect(stmt->body, &inner);
        stmt->loads = LoadsOf(inner);
        BindAll(&stmt->targets, inner);
        return BindBlock(&stmt->body, inner);
      }
      case StmtType::kScope: {
        Symbols inner(&symbols, symbols.function());
        Collect(stmt->body, &inner);
        stmt->loads = LoadsOf(inner);
        return BindBlock(&stmt->body, inner);
      }
      default:
        BindAll(&stmt->exprs, symbols);
        BindAll(&stmt->targets, symbols);
        SLUICE_RETURN_IF_ERROR(BindBlock(&stmt->body, symbols));
        return BindBlock(&stmt->else_body, symbols);
    }
  }

  absl::Status CheckLoopNotAssigned(const Stmt& stmt) {
    int bad_line = 0;
    SyntaxVisitor visitor;
    visitor.store = [&](const std::string& name, int line) {
      if (name == "loop" && bad_line == 0) bad_line = line;
    };
    for (const ExprPtr& target : stmt.targets) {
      if (target->type == ExprType::kName) visitor.store(target->name, target->line);
      for (const ExprPtr& kid : target->kids) {
        if (kid->type == ExprType::kName) visitor.store(kid->name, kid->line);
      }
    }
    Walk(stmt.body, visitor);
    Walk(stmt.else_body, visitor);
    if (bad_line == 0) return absl::OkStatus();
    return ErrorAtLine(bad_line, "the variable 'loop' of a for loop cannot be assigned");
  }

  absl::Status BindFor(Stmt* stmt, const Symbols& symbols) {
    SLUICE_RETURN_IF_ERROR(CheckLoopNotAssigned(*stmt));
    BindExpr(stmt->exprs[0].get(), symbols);
    if (stmt->exprs.size() > 1) {
      Symbols filter(&symbols, symbols.function(), true);
      CollectTarget(*stmt->test_targets[0], true, &filter);
      CollectExpr(*stmt->exprs[1], &filter);
      stmt->test_loads = LoadsOf(filter);
      BindExpr(stmt->test_targets[0].get(), filter);
      BindExpr(stmt->exprs[1].get(), filter);
    }
    FunctionScope* function =
        stmt->recursive ? NewFunction(&stmt->function, symbols.function()) : symbols.function();
    Symbols inner(&symbols, function);
    stmt->uses_loop = stmt->recursive || !FindUndeclared(stmt->body, {"loop"}).empty();
    // The loop variable can be kept by the template, and asks the filter for the next item.
    if (stmt->uses_loop && stmt->exprs.size() > 1) symbols.function()->info->outlives_call = true;
    if (stmt->uses_loop) stmt->loop_slot = RefFrom(inner.DeclareParameter("loop"), inner);
    CollectTarget(*stmt->targets[0], true, &inner);
    Collect(stmt->body, &inner);
    stmt->loads = LoadsOf(inner);
    BindExpr(stmt->targets[0].get(), inner);
    SLUICE_RETURN_IF_ERROR(BindBlock(&stmt->body, inner));
    Symbols otherwise(&symbols, function);
    Collect(stmt->else_body, &otherwise);
    stmt->else_loads = LoadsOf(otherwise);
    return BindBlock(&stmt->else_body, otherwise);
  }

  absl::Status BindMacro(MacroSyntax* macro, int line, const Symbols& symbols) {
    FunctionScope* function = NewFunction(&macro->function, symbols.function());
    Symbols inner(&symbols, function);
    for (const Value& name : macro->parameter_names) {
      inner.DeclareParameter(name.str().text.bytes());
    }
    for (const ExprPtr& value : macro->defaults) CollectExpr(*value, &inner);
    Collect(macro->body, &inner);
    SLUICE_RETURN_IF_ERROR(BindSpecialParameters(macro, line, &inner));
    macro->loads = LoadsOf(inner);
    for (const Value& name : macro->parameter_names) {
      macro->parameters.push_back(RefFrom(*inner.Find(name.str().text.bytes()), inner));
    }
    BindAll(&macro->defaults, inner);
    return BindBlock(&macro->body, inner);
  }

  absl::Status BindSpecialParameters(MacroSyntax* macro, int line, Symbols* inner) {
    const std::set<std::string> used = FindUndeclared(macro->body, {"caller", "kwargs", "varargs"});
    const auto is_parameter = [&](const std::string& name) {
      for (size_t i = 0; i < macro->parameter_names.size(); ++i) {
        if (macro->parameter_names[i].str().view() == name) return true;
      }
      return false;
    };
    if (used.count("caller") != 0) {
      macro->takes_caller = true;
      if (is_parameter("caller")) {
        const size_t required = macro->parameter_names.size() - macro->defaults.size();
        for (size_t i = 0; i < required; ++i) {
          if (macro->parameter_names[i].str().view() == "caller") {
            return ErrorAtLine(line, "the parameter 'caller' of a macro needs a default");
          }
        }
      } else {
        macro->caller = RefFrom(inner->DeclareParameter("caller"), *inner);
      }
    }
    if (used.count("kwargs") != 0 && !is_parameter("kwargs")) {
      macro->takes_kwargs = true;
      macro->kwargs = RefFrom(inner->DeclareParameter("kwargs"), *inner);
    }
    if (used.count("varargs") != 0 && !is_parameter("varargs")) {
      macro->takes_varargs = true;
      macro->varargs = RefFrom(inner->DeclareParameter("varargs"), *inner);
    }
    return absl::OkStatus();
  }

  std::vector<std::unique_ptr<FunctionScope>> functions_;
  std::map<std::string, uint32_t> context_indices_;
  std::vector<std::string> context_names_;
};

}  // namespace

absl::StatusOr<TemplateSyntax> AnalyzeScopes(Block body) { return Analyzer().Run(std::move(body)); }

}  // namespace sluice::gateway::jinja
