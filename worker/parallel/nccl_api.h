// SPDX-License-Identifier: Apache-2.0
// The part of NCCL's C interface that we call, declared by ourselves: neither NCCL's header nor its
// library is needed to build, and the library is opened only where a group has several ranks
// (nccl_library.h). Values and layouts are those of NCCL 2.18 to 2.30; where nccl.h is found at
// build time, nccl_api_check.cc compares them with it. Included within worker/parallel and by its
// tests.
#pragma once

#include <cuda_runtime_api.h>

#include <climits>
#include <cstddef>

namespace sluice::worker::nccl {

enum Result : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};
enum DataType : int { kInt8 = 0, kFloat32 = 7 };
enum ReduceOp : int { kSum = 0 };

struct CommState;  // NCCL's own
using Comm = CommState*;

inline constexpr size_t kUniqueIdBytes = 128;
struct UniqueId {
  char internal[kUniqueIdBytes];
};

inline constexpr unsigned kConfigMagic = 0xcafebeef;
inline constexpr unsigned kConfigVersion = 21801;  // as NCCL 2.18.1 counts itself
inline constexpr int kUndefined = INT_MIN;

// The head of ncclConfig_t, as 2.18 laid it out. Later versions only append, and fill in what a
// config of a smaller size and an older version lacks (parseCommConfig in NCCL's src/init.cc). The
// last field is 2.25's, and stands here so that the bytes which were padding are not random.
struct Config {
  size_t size = sizeof(Config);
  unsigned magic = kConfigMagic;
  unsigned version = kConfigVersion;
  int blocking = kUndefined;
  int cga_cluster_size = kUndefined;
  int min_ctas = kUndefined;
  int max_ctas = kUndefined;
  const char* net_name = nullptr;
  int split_share = kUndefined;
  int traffic_class = kUndefined;
};
static_assert(sizeof(Config) == 48);

// Each member is named as the library exports it, less the "nccl".
struct Api {
  Result (*GetVersion)(int* version) = nullptr;
  Result (*GetUniqueId)(UniqueId* id) = nullptr;
  Result (*CommInitRankConfig)(Comm* comm, int world_size, UniqueId id, int rank,
                               Config* config) = nullptr;
  Result (*CommDestroy)(Comm comm) = nullptr;
  Result (*CommAbort)(Comm comm) = nullptr;
  Result (*CommGetAsyncError)(Comm comm, Result* error) = nullptr;
  const char* (*GetErrorString)(Result result) = nullptr;
  const char* (*GetLastError)(Comm comm) = nullptr;
  Result (*AllReduce)(const void* send, void* receive, size_t count, DataType type, ReduceOp op,
                      Comm comm, cudaStream_t stream) = nullptr;
  Result (*Broadcast)(const void* send, void* receive, size_t count, DataType type, int root,
                      Comm comm, cudaStream_t stream) = nullptr;
  Result (*Send)(const void* send, size_t count, DataType type, int peer, Comm comm,
                 cudaStream_t stream) = nullptr;
  Result (*Recv)(void* receive, size_t count, DataType type, int peer, Comm comm,
                 cudaStream_t stream) = nullptr;
  Result (*GroupStart)() = nullptr;
  Result (*GroupEnd)() = nullptr;
};

}  // namespace sluice::worker::nccl
