// SPDX-License-Identifier: Apache-2.0
// DeviceCommunicator: the collectives of one tensor-parallel group over device memory, seen from
// one rank. Every call enqueues on the stream and returns: it neither waits nor allocates, and may
// be captured in a CUDA graph. All ranks enqueue (and replay) the same operations in the same order
// with the same sizes; a rank that does not come leaves its peers' streams waiting, without an
// error, until Abort.
//
// One thread per rank calls; Abort may come from any thread. A communicator is of the device that
// was current when it was made, and that device is current whenever it is called. Memory belongs
// to the caller and lives until the stream has passed the operation, or as long as a graph that
// captured it.
//
// The end of a group that is well: every rank has collected its steps, then destroys its graphs,
// then the communicator, on a thread of its own, for that may wait until all ranks of the host do.
// The end of a group that is not: Abort, and the process exits; nothing is destroyed in order and
// no communicator is used again.
//
// Needs the CUDA headers: included only by what is linked into the plugin, and by its tests.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/awq/linear_output.h"
#include "kernels/collective/peer_all_reduce_norm.h"
#include "kernels/norm/add_rms_norm.h"

namespace sluice::worker {

class DeviceCommunicator {
 public:
  virtual ~DeviceCommunicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  // Waits until all ranks have met; the collectives may be called once it has returned OK. Meeting
  // takes about a second and goes on beside whatever the caller does first. CANCELLED after Abort.
  virtual absl::Status WaitReady() { return absl::OkStatus(); }

  // data ([count], aligned to 16 bytes) becomes the sum over ranks, elementwise, with the same bits
  // on every rank and for the same operands the same bits every time.
  virtual absl::Status AllReduceSum(float* data, int64_t count, cudaStream_t stream) = 0;

  // The same of what a linear has left, in pieces or whole: out ([rows][outputs], aligned to 16
  // bytes) becomes the sum over ranks of part, which may be out itself.
  virtual absl::Status AllReduceLinear(const kernels::awq::LinearOutput& part, float* out,
                                       cudaStream_t stream);

  // The sum over ranks of part is added to norm.residual, as AllReduceLinear and an addition would
  // do to the bit, and norm.out becomes the RMSNorm of that without its factor: what the next
  // linear reads, whose output is then to be multiplied as the returned scale says: it points into
  // norm.squares (of awq::kMaxScaledRows rows) and holds until they are written again. Nothing was
  // enqueued where nothing is returned, on all ranks alike: AllReduceAddRmsNorm may do it, else the
  // sum is to be had from AllReduceLinear, and the norm is the caller's.
  virtual absl::StatusOr<std::optional<kernels::awq::RowScale>> AllReduceScaledNorm(
      const kernels::awq::LinearOutput& part, const kernels::collective::ScaledNorm& norm,
      cudaStream_t stream);

  // norm.delta is this rank's part: the sum over ranks of it is added to the residual, and norm.out
  // becomes the norm on every rank, but the residual in a share of the rows only. So all that is
  // added to it in a step has as many rows; then either all goes this way or nothing does. Returns
  // whether it did, the same on all ranks: if not, nothing was enqueued.
  virtual absl::StatusOr<bool> AllReduceAddRmsNorm(const kernels::norm::AddRmsNorm& norm,
                                                   cudaStream_t stream);

  // Rank 0's out ([world_size][count], rank by rank) receives every rank's local ([count]); other
  // ranks pass nullptr. local and out do not overlap, except that rank 0's local may be out itself.
  virtual absl::Status GatherToRoot(const float* local, float* out, int64_t count,
                                    cudaStream_t stream) = 0;

  // Every rank's data becomes rank 0's.
  virtual absl::Status Broadcast(void* data, int64_t bytes, cudaStream_t stream) = 0;

  // What went wrong on the device or the wire so far, CANCELLED after Abort; OK means only that
  // nothing is known. Never waits.
  virtual absl::Status Check() = 0;

  // Makes enqueued collectives of this rank end, so that its streams go on (with meaningless
  // values), and later calls return CANCELLED. It tells no peer: each rank of the group is
  // aborted by its own process. Thread safe; returns at once, the streams end a moment later.
  virtual void Abort() = 0;

  // How sums travel, for the log; once WaitReady has returned.
  virtual std::string Describe() const { return ""; }
};

// For tp-size 1: nobody to wait for, and so nothing to abort.
class SingleDeviceCommunicator final : public DeviceCommunicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }
  absl::Status AllReduceSum(float*, int64_t, cudaStream_t) override { return absl::OkStatus(); }
  absl::Status GatherToRoot(const float* local, float* out, int64_t count,
                            cudaStream_t stream) override;
  absl::Status Broadcast(void*, int64_t, cudaStream_t) override { return absl::OkStatus(); }
  absl::Status Check() override { return absl::OkStatus(); }
  void Abort() override {}
};

}  // namespace sluice::worker
