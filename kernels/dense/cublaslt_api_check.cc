// SPDX-License-Identifier: Apache-2.0
// Holds cublaslt_api.h against NVIDIA's header, where that is installed.
#if __has_include(<cublasLt.h>)
#include <cublasLt.h>

#include <type_traits>

#include "kernels/dense/cublaslt_api.h"

namespace sluice::kernels::dense::cublaslt {

static_assert(kSuccess == static_cast<int>(CUBLAS_STATUS_SUCCESS));
static_assert(kCompute32F == static_cast<int>(CUBLAS_COMPUTE_32F));
static_assert(kNotTransposed == static_cast<int>(CUBLAS_OP_N));
static_assert(kTransposed == static_cast<int>(CUBLAS_OP_T));
static_assert(sizeof(Operation) == sizeof(cublasOperation_t));
static_assert(kTransA == static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSA));
static_assert(kTransB == static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSB));
static_assert(kMaxWorkspaceBytes == static_cast<int>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES));
static_assert(kReductionSchemeMask == static_cast<int>(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK));
static_assert(kMinAlignmentA == static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES));
static_assert(kMinAlignmentB == static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES));
static_assert(kMinAlignmentC == static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES));
static_assert(kMinAlignmentD == static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES));
static_assert(kReduceInComputeType == static_cast<int>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));

static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(alignof(Algorithm) == alignof(cublasLtMatmulAlgo_t));
static_assert(sizeof(HeuristicResult) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(HeuristicResult, workspace_bytes) ==
              offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(HeuristicResult, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));
static_assert(offsetof(HeuristicResult, waves) ==
              offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));

// Our types for NVIDIA's, and every other type as it is: then the signatures must be the same.
template <typename T>
struct OurType {
  using type = T;
};
template <typename T>
using Ours = typename OurType<T>::type;
template <typename T>
struct OurType<T*> {
  using type = Ours<T>*;
};
template <typename T>
struct OurType<const T> {
  using type = const Ours<T>;
};
template <>
struct OurType<cublasLtContext> {
  using type = Context;
};
template <>
struct OurType<cublasLtMatmulDescOpaque_t> {
  using type = MatmulDescOpaque;
};
template <>
struct OurType<cublasLtMatrixLayoutOpaque_t> {
  using type = MatrixLayoutOpaque;
};
template <>
struct OurType<cublasLtMatmulPreferenceOpaque_t> {
  using type = PreferenceOpaque;
};
template <>
struct OurType<cublasLtMatmulAlgo_t> {
  using type = Algorithm;
};
template <>
struct OurType<cublasLtMatmulHeuristicResult_t> {
  using type = HeuristicResult;
};
template <>
struct OurType<cublasStatus_t> {
  using type = Status;
};
template <>
struct OurType<cublasComputeType_t> {
  using type = ComputeType;
};
template <>
struct OurType<cublasLtMatmulDescAttributes_t> {
  using type = MatmulDescAttribute;
};
template <>
struct OurType<cublasLtMatmulPreferenceAttributes_t> {
  using type = PreferenceAttribute;
};
template <typename Result, typename... Params>
struct OurType<Result(Params...)> {
  using type = Ours<Result>(Ours<Params>...);
};

#define SLUICE_SAME(name) \
  static_assert(std::is_same_v<decltype(Api::name), Ours<decltype(&cublasLt##name)>>, #name)
SLUICE_SAME(GetVersion);
SLUICE_SAME(GetStatusString);
SLUICE_SAME(Create);
SLUICE_SAME(Destroy);
SLUICE_SAME(MatmulDescCreate);
SLUICE_SAME(MatmulDescDestroy);
SLUICE_SAME(MatmulDescSetAttribute);
SLUICE_SAME(MatrixLayoutCreate);
SLUICE_SAME(MatrixLayoutDestroy);
SLUICE_SAME(MatmulPreferenceCreate);
SLUICE_SAME(MatmulPreferenceDestroy);
SLUICE_SAME(MatmulPreferenceSetAttribute);
SLUICE_SAME(MatmulAlgoGetHeuristic);
SLUICE_SAME(Matmul);
#undef SLUICE_SAME

}  // namespace sluice::kernels::dense::cublaslt
#endif
