// SPDX-License-Identifier: Apache-2.0
// Compares nccl_api.h with NCCL's own header, where that is installed; else this file is empty.
#if __has_include(<nccl.h>)

#include <nccl.h>

#include <cstddef>
#include <type_traits>

#include "worker/parallel/nccl_api.h"

namespace sluice::worker::nccl {
namespace {

static_assert(kSuccess == static_cast<int>(ncclSuccess));
static_assert(kUnhandledCudaError == static_cast<int>(ncclUnhandledCudaError));
static_assert(kSystemError == static_cast<int>(ncclSystemError));
static_assert(kInternalError == static_cast<int>(ncclInternalError));
static_assert(kInvalidArgument == static_cast<int>(ncclInvalidArgument));
static_assert(kInvalidUsage == static_cast<int>(ncclInvalidUsage));
static_assert(kRemoteError == static_cast<int>(ncclRemoteError));
static_assert(kInProgress == static_cast<int>(ncclInProgress));
static_assert(sizeof(Result) == sizeof(ncclResult_t));

static_assert(kInt8 == static_cast<int>(ncclInt8));
static_assert(kFloat32 == static_cast<int>(ncclFloat32));
static_assert(kSum == static_cast<int>(ncclSum));
static_assert(sizeof(DataType) == sizeof(ncclDataType_t));
static_assert(sizeof(ReduceOp) == sizeof(ncclRedOp_t));

static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId));
static_assert(alignof(UniqueId) == alignof(ncclUniqueId));

// Theirs may be longer, never shorter or in another order.
static_assert(sizeof(Config) <= sizeof(ncclConfig_t));
static_assert(kConfigVersion <= NCCL_VERSION_CODE);
static_assert(kUndefined == NCCL_CONFIG_UNDEF_INT);
static_assert(offsetof(Config, size) == offsetof(ncclConfig_t, size));
static_assert(offsetof(Config, magic) == offsetof(ncclConfig_t, magic));
static_assert(offsetof(Config, version) == offsetof(ncclConfig_t, version));
static_assert(offsetof(Config, blocking) == offsetof(ncclConfig_t, blocking));
static_assert(offsetof(Config, cga_cluster_size) == offsetof(ncclConfig_t, cgaClusterSize));
static_assert(offsetof(Config, min_ctas) == offsetof(ncclConfig_t, minCTAs));
static_assert(offsetof(Config, max_ctas) == offsetof(ncclConfig_t, maxCTAs));
static_assert(offsetof(Config, net_name) == offsetof(ncclConfig_t, netName));
static_assert(offsetof(Config, split_share) == offsetof(ncclConfig_t, splitShare));
#if NCCL_VERSION_CODE >= 22500
static_assert(offsetof(Config, traffic_class) == offsetof(ncclConfig_t, trafficClass));
#endif
constexpr ncclConfig_t kInitializer = NCCL_CONFIG_INITIALIZER;
static_assert(kConfigMagic == kInitializer.magic);

// Ours with theirs' types put in place of ours: equal signatures.
template <typename Ours>
struct Theirs {
  using Type = Ours;
};
template <>
struct Theirs<Result> {
  using Type = ncclResult_t;
};
template <>
struct Theirs<Result*> {
  using Type = ncclResult_t*;
};
template <>
struct Theirs<DataType> {
  using Type = ncclDataType_t;
};
template <>
struct Theirs<ReduceOp> {
  using Type = ncclRedOp_t;
};
template <>
struct Theirs<Comm> {
  using Type = ncclComm_t;
};
template <>
struct Theirs<Comm*> {
  using Type = ncclComm_t*;
};
template <>
struct Theirs<UniqueId> {
  using Type = ncclUniqueId;
};
template <>
struct Theirs<UniqueId*> {
  using Type = ncclUniqueId*;
};
template <>
struct Theirs<Config*> {
  using Type = ncclConfig_t*;
};
template <typename Return, typename... Arguments>
struct Theirs<Return (*)(Arguments...)> {
  using Type = typename Theirs<Return>::Type (*)(typename Theirs<Arguments>::Type...);
};

#define SLUICE_SAME(name) \
  static_assert(std::is_same_v<Theirs<decltype(Api::name)>::Type, decltype(&nccl##name)>)
SLUICE_SAME(GetVersion);
SLUICE_SAME(GetUniqueId);
SLUICE_SAME(CommInitRankConfig);
SLUICE_SAME(CommDestroy);
SLUICE_SAME(CommAbort);
SLUICE_SAME(CommGetAsyncError);
SLUICE_SAME(GetErrorString);
SLUICE_SAME(GetLastError);
SLUICE_SAME(AllReduce);
SLUICE_SAME(Broadcast);
SLUICE_SAME(Send);
SLUICE_SAME(Recv);
SLUICE_SAME(GroupStart);
SLUICE_SAME(GroupEnd);
#undef SLUICE_SAME

}  // namespace
}  // namespace sluice::worker::nccl

#endif
