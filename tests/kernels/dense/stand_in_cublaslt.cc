// SPDX-License-Identifier: Apache-2.0
// A shared library with the functions of cuBLASLt that DenseLinear calls, on host memory and with
// loops: column-major matrices, transposition and leading dimensions as NVIDIA documents them. It
// proves how the calls are made where there is no GPU; it knows nothing of DenseLinear.
#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/dense/cublaslt_api.h"

namespace sluice::kernels::dense::cublaslt {

struct Context {};
struct MatmulDescOpaque {
  int32_t transposed[2] = {0, 0};  // a, b
};
struct MatrixLayoutOpaque {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t leading_dimension;
};
struct PreferenceOpaque {
  uint64_t workspace_bytes = 0;
  uint32_t reductions = 7;
  uint32_t alignments[4] = {256, 256, 256, 256};
};

namespace {

int live_layouts = 0;

constexpr Status kInvalid = static_cast<Status>(7);
constexpr Status kNotSupported = static_cast<Status>(15);
// Shapes with so many inputs have no algorithm.
constexpr uint64_t kUnsupportedInputs = 4096;

float Load(const void* matrix, const MatrixLayoutOpaque& layout, uint64_t row, uint64_t column) {
  const uint64_t at = column * static_cast<uint64_t>(layout.leading_dimension) + row;
  if (layout.type == CUDA_R_32F) return static_cast<const float*>(matrix)[at];
  return __bfloat162float(static_cast<const __nv_bfloat16*>(matrix)[at]);
}

template <typename T>
Status Set(const void* from, size_t bytes, T* to) {
  if (bytes != sizeof(T)) return kInvalid;
  *to = *static_cast<const T*>(from);
  return kSuccess;
}

bool Fits(const MatmulDescOpaque& desc, const MatrixLayoutOpaque& a, const MatrixLayoutOpaque& b,
          const MatrixLayoutOpaque& d) {
  const auto rows = [](const MatrixLayoutOpaque& m, bool transposed) {
    return transposed ? m.columns : m.rows;
  };
  const auto columns = [](const MatrixLayoutOpaque& m, bool transposed) {
    return transposed ? m.rows : m.columns;
  };
  const bool ta = desc.transposed[0] == kTransposed, tb = desc.transposed[1] == kTransposed;
  return rows(a, ta) == d.rows && columns(b, tb) == d.columns && columns(a, ta) == rows(b, tb);
}

}  // namespace

extern "C" {
// Of the stand-in alone: layouts that were created and not destroyed.
int StandInLiveLayouts() { return live_layouts; }

size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusString(Status status) {
  return status == kInvalid ? "an invalid value" : "not supported";
}
Status cublasLtCreate(Handle* handle) {
  *handle = new Context;
  return kSuccess;
}
Status cublasLtDestroy(Handle handle) {
  delete handle;
  return kSuccess;
}
Status cublasLtMatmulDescCreate(MatmulDesc* desc, ComputeType compute, cudaDataType_t scale) {
  if (compute != kCompute32F || scale != CUDA_R_32F) return kNotSupported;
  *desc = new MatmulDescOpaque;
  return kSuccess;
}
Status cublasLtMatmulDescDestroy(MatmulDesc desc) {
  delete desc;
  return kSuccess;
}
Status cublasLtMatmulDescSetAttribute(MatmulDesc desc, MatmulDescAttribute attribute,
                                      const void* value, size_t bytes) {
  if (attribute != kTransA && attribute != kTransB) return kInvalid;
  return Set(value, bytes, &desc->transposed[attribute - kTransA]);
}
Status cublasLtMatrixLayoutCreate(MatrixLayout* layout, cudaDataType_t type, uint64_t rows,
                                  uint64_t columns, int64_t leading_dimension) {
  if (leading_dimension < static_cast<int64_t>(rows)) return kInvalid;
  *layout = new MatrixLayoutOpaque{type, rows, columns, leading_dimension};
  ++live_layouts;
  return kSuccess;
}
Status cublasLtMatrixLayoutDestroy(MatrixLayout layout) {
  delete layout;
  --live_layouts;
  return kSuccess;
}
Status cublasLtMatmulPreferenceCreate(Preference* preference) {
  *preference = new PreferenceOpaque;
  return kSuccess;
}
Status cublasLtMatmulPreferenceDestroy(Preference preference) {
  delete preference;
  return kSuccess;
}
Status cublasLtMatmulPreferenceSetAttribute(Preference preference, PreferenceAttribute attribute,
                                            const void* value, size_t bytes) {
  if (attribute == kMaxWorkspaceBytes) return Set(value, bytes, &preference->workspace_bytes);
  if (attribute == kReductionSchemeMask) return Set(value, bytes, &preference->reductions);
  if (attribute < kMinAlignmentA || attribute > kMinAlignmentD) return kInvalid;
  return Set(value, bytes, &preference->alignments[attribute - kMinAlignmentA]);
}
// The algorithm holds what it was chosen under, which Matmul checks.
Status cublasLtMatmulAlgoGetHeuristic(Handle, MatmulDesc desc, MatrixLayout a, MatrixLayout b,
                                      MatrixLayout c, MatrixLayout d, Preference preference,
                                      int requested, HeuristicResult results[], int* returned) {
  if (requested < 1 || !Fits(*desc, *a, *b, *d) || c->rows != d->rows) return kInvalid;
  // Sums that are reduced in place or in the output's type would not be what is asked for.
  if ((preference->reductions & ~uint32_t{kReduceInComputeType}) != 0) return kNotSupported;
  for (const uint32_t alignment : preference->alignments) {
    if (alignment > 16) return kNotSupported;
  }
  *returned = a->rows == kUnsupportedInputs ? 0 : 1;
  if (*returned == 0) return kSuccess;
  results[0] = {};
  results[0].algorithm.data[0] = d->rows;
  results[0].algorithm.data[1] = d->columns;
  results[0].algorithm.data[2] = preference->workspace_bytes;
  return kSuccess;
}
Status cublasLtMatmul(Handle, MatmulDesc desc, const void* alpha, const void* a,
                      MatrixLayout a_layout, const void* b, MatrixLayout b_layout, const void* beta,
                      const void*, MatrixLayout, void* d, MatrixLayout d_layout,
                      const Algorithm* algorithm, void*, size_t workspace_bytes, cudaStream_t) {
  if (!Fits(*desc, *a_layout, *b_layout, *d_layout) || algorithm == nullptr ||
      algorithm->data[0] != d_layout->rows || algorithm->data[1] != d_layout->columns ||
      algorithm->data[2] > workspace_bytes || *static_cast<const float*>(alpha) != 1.0f ||
      *static_cast<const float*>(beta) != 0.0f) {
    return kInvalid;
  }
  const bool ta = desc->transposed[0] == kTransposed, tb = desc->transposed[1] == kTransposed;
  const uint64_t inner = ta ? a_layout->rows : a_layout->columns;
  for (uint64_t row = 0; row < d_layout->rows; ++row) {
    for (uint64_t column = 0; column < d_layout->columns; ++column) {
      float sum = 0.0f;
      for (uint64_t k = 0; k < inner; ++k) {
        sum += (ta ? Load(a, *a_layout, k, row) : Load(a, *a_layout, row, k)) *
               (tb ? Load(b, *b_layout, column, k) : Load(b, *b_layout, k, column));
      }
      const uint64_t at = column * static_cast<uint64_t>(d_layout->leading_dimension) + row;
      if (d_layout->type == CUDA_R_32F) {
        static_cast<float*>(d)[at] = sum;
      } else {
        static_cast<__nv_bfloat16*>(d)[at] = __float2bfloat16(sum);
      }
    }
  }
  return kSuccess;
}
}  // extern "C"

}  // namespace sluice::kernels::dense::cublaslt
