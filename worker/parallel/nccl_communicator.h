// SPDX-License-Identifier: Apache-2.0
// NcclCommunicator: the collectives of a group of several GPUs, through NCCL. Rank 0 makes the
// group's id, which travels to the others (JoinAccepted); then every rank starts its communicator,
// and each is ready when all are: about a second, beside which a rank loads its weights.
//
// Init runs on a thread of its own, in NCCL's blocking mode. Its nonblocking mode, made for init
// with a deadline, would also hand every later collective to a new thread, to be enqueued some time
// after the call has returned (ncclGroupEndInternal in NCCL's src/group.cc): no stream order to
// rely on, and a thread a call. So the caller waits with a deadline, and an init that does not come
// back is left behind: the process is about to exit, as after every failure of a group.
//
// Same bits: a group chooses algorithm, protocol and channels of an all-reduce from its size in
// bytes and the machine's topology alone (getAlgoInfo in src/enqueue.cc; no tuner plugin, one
// operation a group call), and reduces in place, which keeps captured and eager calls on the same
// path (buffers are not registered then: ncclRegisterCollBuffers in src/register/coll_reg.cc). Ring
// and tree form each element's sum once, in one order, and copy it to all ranks. Hence equal
// operands give equal bits, on every rank, in every step and every process of that group. Not
// promised: the same bits under another version of NCCL, other NCCL_* variables or other GPUs; and,
// from three ranks on, the order of the CPU's collectives (two operands have only one).
// The sources named are NCCL 2.28.3's.
//
// Threads as DeviceCommunicator says.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/device_communicator.h"
#include "worker/parallel/nccl_library.h"

namespace sluice::worker {

struct NcclOptions {
  int rank = 0;
  int world_size = 2;
  int device = 0;  // CUDA ordinal of this rank; no other rank's. All ranks' devices stay visible
  // How long WaitReady waits for the peers; zero: until Abort.
  std::chrono::milliseconds init_timeout{120'000};
};

class NcclCommunicator final : public DeviceCommunicator {
 public:
  // Rank 0: the id of one new group, 128 bytes. It listens for the others from here on.
  static absl::StatusOr<std::string> MakeUniqueId(const NcclLibrary& library);

  // Starts to meet the peers and returns; fails only for arguments that cannot be right.
  static absl::StatusOr<std::unique_ptr<NcclCommunicator>> Start(
      std::shared_ptr<const NcclLibrary> library, const std::string& unique_id,
      const NcclOptions& options);

  // Returns at once, and leaves NCCL's communicator to the end of the process, unless the group is
  // well: then it waits for enqueued collectives, for every graph that captured one to be
  // destroyed, and for the other ranks of this host to end theirs.
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override;
  int world_size() const override;
  // Ready means that one of each collective has given the right values, too, which also makes every
  // connection that later ones use. DEADLINE_EXCEEDED after init_timeout, and aborts.
  absl::Status WaitReady() override;
  absl::Status AllReduceSum(float* data, int64_t count, cudaStream_t stream) override;
  absl::Status GatherToRoot(const float* local, float* out, int64_t count,
                            cudaStream_t stream) override;
  absl::Status Broadcast(void* data, int64_t bytes, cudaStream_t stream) override;
  absl::Status Check() override;
  void Abort() override;

 private:
  class Group;  // shared with the threads that may have to be left behind
  explicit NcclCommunicator(std::shared_ptr<Group> group);
  const std::shared_ptr<Group> group_;
};

}  // namespace sluice::worker
