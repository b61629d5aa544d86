// SPDX-License-Identifier: Apache-2.0
// DenseLinear: y = x W^T with bf16 x and W and fp32 sums, through cuBLASLt: for many rows (W is an
// AWQ weight widened into scratch), for checkpoints that are not quantized, and for lm_head. Up to
// 16 rows a kernel of ours reads W (small_dense_linear.h).
//
// cuBLASLt is opened with dlopen, so neither its header nor its library is needed to build or to
// link. How a shape is computed is chosen once, by the library's own heuristic, from what it can do
// without atomic sums: the same shape gives the same bits on one kind of GPU.
//
// Owned by the executor; all calls come from one thread, with the rank's device current.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/host/launch_result.h"

namespace sluice::kernels::dense {

enum class OutputType { kBf16, kFloat };

struct DenseShape {
  int rows = 0;
  int outputs = 0;
  int inputs = 0;  // a multiple of 8
  OutputType output_type = OutputType::kBf16;

  bool operator==(const DenseShape&) const = default;
};

// All pointers are device memory aligned to 16 bytes.
struct DenseProduct {
  DenseShape shape;
  const __nv_bfloat16* x = nullptr;       // [rows][inputs]
  const __nv_bfloat16* weight = nullptr;  // [outputs][inputs]
  void* out = nullptr;                    // [rows][outputs], of shape.output_type
};

struct DenseOptions {
  // Where libcublasLt.so.13 is looked for before the loader's own places and the usual ones of CUDA
  // and pip: folders that hold it, or a Python site-packages folder with NVIDIA's wheels.
  std::vector<std::string> library_folders;
  // Device memory for the library, aligned to 256 bytes; it stays the caller's and must outlive
  // this. Products that share it must not run at the same time.
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  // Whether products that small_dense_linear.h takes are its. Which of the two is faster still has
  // to be measured; a bench asks for both.
  bool own_small_products = true;
};

// What NVIDIA advises for Hopper.
inline constexpr size_t kDenseWorkspaceBytes = size_t{32} << 20;

class DenseLinear {
 public:
  // On failure linear is null, and error is a sentence that names what was tried.
  struct Opened;
  static Opened Open(const DenseOptions& options);

  ~DenseLinear();
  DenseLinear(const DenseLinear&) = delete;
  DenseLinear& operator=(const DenseLinear&) = delete;

  // Chooses how products of this shape are computed. Host work only (some tens of microseconds the
  // first time, a look-up after that).
  LaunchResult Prepare(const DenseShape& shape);

  // Enqueues one product; prepares its shape if nobody has. A CUDA graph can capture it once a
  // product of the same shape has run outside of a capture (the library loads kernels lazily).
  // No rows: nothing to do.
  LaunchResult Run(const DenseProduct& product, cudaStream_t stream);

 private:
  struct State;
  explicit DenseLinear(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

struct DenseLinear::Opened {
  std::unique_ptr<DenseLinear> linear;
  std::string error;
};

}  // namespace sluice::kernels::dense
