// SPDX-License-Identifier: Apache-2.0
// The part of cuBLASLt that DenseLinear calls, declared as NVIDIA's cublasLt.h of CUDA 13 has it
// (cublaslt_api_check.cc compares them where that header is installed), and found at run time: the
// library has 540 MB and belongs to whoever installs CUDA.
#pragma once

#include <cuda_runtime_api.h>
#include <library_types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice::kernels::dense::cublaslt {

using Handle = struct Context*;
using MatmulDesc = struct MatmulDescOpaque*;
using MatrixLayout = struct MatrixLayoutOpaque*;
using Preference = struct PreferenceOpaque*;

enum Status : int { kSuccess = 0 };
enum ComputeType : int { kCompute32F = 68 };
enum Operation : int32_t { kNotTransposed = 0, kTransposed = 1 };
enum MatmulDescAttribute : int { kTransA = 3, kTransB = 4 };
enum PreferenceAttribute : int {
  kMaxWorkspaceBytes = 1,    // uint64_t
  kReductionSchemeMask = 3,  // uint32_t
  kMinAlignmentA = 5,        // uint32_t bytes; B, C and D follow
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8,
};
// How sums that were cut along the inputs come together. The mask 0 leaves those that are not cut.
enum ReductionScheme : uint32_t { kReduceInComputeType = 2 };

struct Algorithm {
  uint64_t data[8];
};

struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace_bytes;
  Status state;
  float waves;
  int reserved[4];
};

// The library's functions, named without their prefix "cublasLt".
struct Api {
  size_t (*GetVersion)() = nullptr;  // 130102 is 13.1.2
  const char* (*GetStatusString)(Status) = nullptr;
  Status (*Create)(Handle*) = nullptr;
  Status (*Destroy)(Handle) = nullptr;
  Status (*MatmulDescCreate)(MatmulDesc*, ComputeType, cudaDataType_t scale) = nullptr;
  Status (*MatmulDescDestroy)(MatmulDesc) = nullptr;
  Status (*MatmulDescSetAttribute)(MatmulDesc, MatmulDescAttribute, const void*, size_t) = nullptr;
  Status (*MatrixLayoutCreate)(MatrixLayout*, cudaDataType_t, uint64_t rows, uint64_t columns,
                               int64_t leading_dimension) = nullptr;
  Status (*MatrixLayoutDestroy)(MatrixLayout) = nullptr;
  Status (*MatmulPreferenceCreate)(Preference*) = nullptr;
  Status (*MatmulPreferenceDestroy)(Preference) = nullptr;
  Status (*MatmulPreferenceSetAttribute)(Preference, PreferenceAttribute, const void*,
                                         size_t) = nullptr;
  Status (*MatmulAlgoGetHeuristic)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b,
                                   MatrixLayout c, MatrixLayout d, Preference, int requested,
                                   HeuristicResult results[], int* returned) = nullptr;
  Status (*Matmul)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout,
                   const void* b, MatrixLayout, const void* beta, const void* c, MatrixLayout,
                   void* d, MatrixLayout, const Algorithm*, void* workspace, size_t workspace_bytes,
                   cudaStream_t) = nullptr;
};

// The files to try, in order: in these folders (or in the wheels of a Python site-packages folder
// given here), where the loader finds it itself, and where CUDA and pip usually put it.
std::vector<std::string> LibraryFiles(const std::vector<std::string>& folders);

// Opens the first file that can be, and finds its functions. It stays loaded. On failure *error is
// one sentence that names what was tried.
bool OpenLibrary(const std::vector<std::string>& files, Api* api, std::string* error);

}  // namespace sluice::kernels::dense::cublaslt
