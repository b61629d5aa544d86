// SPDX-License-Identifier: Apache-2.0
// DenseLinear over cuBLASLt. The library thinks in columns: a row-major matrix [r][c] is to it a
// column-major one of c rows and r columns, its leading dimension c. So y^T = W x^T is asked for:
//
//   A = weight [outputs][inputs]  seen as inputs x outputs, transposed back: outputs x inputs
//   B = x      [rows][inputs]     seen as inputs x rows, as it is
//   D = y      [rows][outputs]    seen as outputs x rows
//
// its m = outputs, n = rows, k = inputs, both sums run along memory, and nothing is copied.
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "kernels/dense/cublaslt_api.h"
#include "kernels/dense/dense_linear.h"
#include "kernels/dense/small_dense_linear.h"
#include "kernels/host/is_aligned.h"

namespace sluice::kernels::dense {
namespace {

using cublaslt::Api;
using cublaslt::Status;

constexpr uint32_t kAlignment = 16;  // of every pointer, bytes
constexpr uintptr_t kWorkspaceAlignment = 256;
constexpr int kInputsMultiple = 8;  // rows of x and W begin at multiples of 16 bytes
// Chunks of a prompt come in any length. Beyond so many shapes all are forgotten and chosen anew.
constexpr size_t kMaxShapes = 4096;

// One of the library's objects, destroyed by the function that goes with it.
template <typename Object>
class Owned {
 public:
  explicit Owned(Status (*destroy)(Object)) : destroy_(destroy) {}
  Owned(Owned&& other) noexcept
      : destroy_(other.destroy_), object_(std::exchange(other.object_, nullptr)) {}
  ~Owned() {
    if (object_ != nullptr) destroy_(object_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Owned& operator=(Owned&&) = delete;

  Object get() const { return object_; }
  Object* address() { return &object_; }

 private:
  Status (*destroy_)(Object);
  Object object_ = nullptr;
};

// How one shape is computed.
struct Choice {
  explicit Choice(const Api& api)
      : weight(api.MatrixLayoutDestroy), x(api.MatrixLayoutDestroy), y(api.MatrixLayoutDestroy) {}

  Owned<cublaslt::MatrixLayout> weight, x, y;
  cublaslt::Algorithm algorithm = {};
};

}  // namespace

struct DenseLinear::State {
  explicit State(const Api& functions)
      : api(functions),
        handle(api.Destroy),
        operation(api.MatmulDescDestroy),
        preference(api.MatmulPreferenceDestroy) {}

  Status SetUp(const DenseOptions& options);
  LaunchResult Find(const DenseShape& shape, const Choice** found);
  LaunchResult Failed(Status status) const {
    return {.error = cudaErrorUnknown, .problem = api.GetStatusString(status)};
  }

  const Api api;
  Owned<cublaslt::Handle> handle;
  Owned<cublaslt::MatmulDesc> operation;
  Owned<cublaslt::Preference> preference;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  bool own_small_products = true;
  std::map<std::tuple<int, int, int, OutputType>, Choice> choices;
};

Status DenseLinear::State::SetUp(const DenseOptions& options) {
  workspace = options.workspace;
  workspace_bytes = options.workspace_bytes;
  own_small_products = options.own_small_products;
  Status status = api.Create(handle.address());
  const auto then = [&](auto function, auto... arguments) {
    if (status == cublaslt::kSuccess) status = function(arguments...);
  };
  then(api.MatmulDescCreate, operation.address(), cublaslt::kCompute32F, CUDA_R_32F);
  const int32_t transposed = cublaslt::kTransposed, as_it_is = cublaslt::kNotTransposed;
  then(api.MatmulDescSetAttribute, operation.get(), cublaslt::kTransA, &transposed,
       sizeof(transposed));
  then(api.MatmulDescSetAttribute, operation.get(), cublaslt::kTransB, &as_it_is, sizeof(as_it_is));
  then(api.MatmulPreferenceCreate, preference.address());
  const auto prefer = [&](cublaslt::PreferenceAttribute attribute, auto value) {
    then(api.MatmulPreferenceSetAttribute, preference.get(), attribute, &value, sizeof(value));
  };
  prefer(cublaslt::kMaxWorkspaceBytes, uint64_t{workspace_bytes});
  // Parts of a sum are added in fp32 and in order, by a step of their own, or there are none.
  prefer(cublaslt::kReductionSchemeMask, uint32_t{cublaslt::kReduceInComputeType});
  for (const cublaslt::PreferenceAttribute matrix :
       {cublaslt::kMinAlignmentA, cublaslt::kMinAlignmentB, cublaslt::kMinAlignmentC,
        cublaslt::kMinAlignmentD}) {
    prefer(matrix, kAlignment);
  }
  return status;
}

LaunchResult DenseLinear::State::Find(const DenseShape& shape, const Choice** found) {
  if (shape.rows < 1 || shape.outputs < 1 || shape.inputs < 1 ||
      shape.inputs % kInputsMultiple != 0) {
    return InvalidArguments("dense linear: the inputs must be a multiple of 8, nothing below 1");
  }
  const std::tuple key(shape.rows, shape.outputs, shape.inputs, shape.output_type);
  if (const auto known = choices.find(key); known != choices.end()) {
    *found = &known->second;
    return {};
  }
  const auto rows = static_cast<uint64_t>(shape.rows);
  const auto outputs = static_cast<uint64_t>(shape.outputs);
  const auto inputs = static_cast<uint64_t>(shape.inputs);
  const cudaDataType_t type = shape.output_type == OutputType::kBf16 ? CUDA_R_16BF : CUDA_R_32F;
  Choice choice(api);
  Status status =
      api.MatrixLayoutCreate(choice.weight.address(), CUDA_R_16BF, inputs, outputs, shape.inputs);
  if (status == cublaslt::kSuccess) {
    status = api.MatrixLayoutCreate(choice.x.address(), CUDA_R_16BF, inputs, rows, shape.inputs);
  }
  if (status == cublaslt::kSuccess) {
    status = api.MatrixLayoutCreate(choice.y.address(), type, outputs, rows, shape.outputs);
  }
  if (status != cublaslt::kSuccess) return Failed(status);
  cublaslt::HeuristicResult best = {};
  int returned = 0;
  status = api.MatmulAlgoGetHeuristic(handle.get(), operation.get(), choice.weight.get(),
                                      choice.x.get(), choice.y.get(), choice.y.get(),
                                      preference.get(), 1, &best, &returned);
  if (status != cublaslt::kSuccess) return Failed(status);
  if (returned == 0 || best.state != cublaslt::kSuccess) {
    return InvalidArguments("dense linear: cuBLASLt does not compute this shape");
  }
  choice.algorithm = best.algorithm;
  if (choices.size() >= kMaxShapes) choices.clear();
  *found = &choices.emplace(key, std::move(choice)).first->second;
  return {};
}

DenseLinear::DenseLinear(std::unique_ptr<State> state) : state_(std::move(state)) {}

DenseLinear::~DenseLinear() = default;

DenseLinear::Opened DenseLinear::Open(const DenseOptions& options) {
  Opened opened;
  if (!IsAligned(options.workspace, kWorkspaceAlignment)) {
    opened.error = "cuBLASLt's workspace is not aligned to 256 bytes";
    return opened;
  }
  Api api;
  if (!cublaslt::OpenLibrary(cublaslt::LibraryFiles(options.library_folders), &api,
                             &opened.error)) {
    return opened;
  }
  auto state = std::make_unique<State>(api);
  if (const Status status = state->SetUp(options); status != cublaslt::kSuccess) {
    opened.error = std::string("cuBLASLt does not start: ") + api.GetStatusString(status);
    return opened;
  }
  opened.linear.reset(new DenseLinear(std::move(state)));
  return opened;
}

LaunchResult DenseLinear::Prepare(const DenseShape& shape) {
  if (state_->own_small_products && TakesSmallDense(shape)) return {};
  const Choice* choice = nullptr;
  return state_->Find(shape, &choice);
}

LaunchResult DenseLinear::Run(const DenseProduct& product, cudaStream_t stream) {
  if (product.shape.rows == 0) return {};
  if (!IsAligned(product.x, kAlignment) || !IsAligned(product.weight, kAlignment) ||
      !IsAligned(product.out, kAlignment)) {
    return InvalidArguments("dense linear: a matrix is not aligned to 16 bytes");
  }
  if (state_->own_small_products && TakesSmallDense(product.shape)) {
    return RunSmallDense(product, stream);
  }
  const Choice* choice = nullptr;
  if (const LaunchResult found = state_->Find(product.shape, &choice); !found.ok()) return found;
  const float one = 1.0f, zero = 0.0f;
  const Status status = state_->api.Matmul(
      state_->handle.get(), state_->operation.get(), &one, product.weight, choice->weight.get(),
      product.x, choice->x.get(), &zero, product.out, choice->y.get(), product.out, choice->y.get(),
      &choice->algorithm, state_->workspace, state_->workspace_bytes, stream);
  return status == cublaslt::kSuccess ? LaunchResult{} : state_->Failed(status);
}

}  // namespace sluice::kernels::dense
