// SPDX-License-Identifier: Apache-2.0
#include "worker/device/stream.h"

#include "proto/wire/status_macros.h"
#include "worker/device/cuda_status.h"

namespace sluice::worker::device {

absl::StatusOr<Event> Event::Create(Timing timing) {
  Event event;
  const unsigned flags = timing == Timing::kOn ? cudaEventDefault : cudaEventDisableTiming;
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaEventCreateWithFlags(&event.event_, flags), "creating an event"));
  return event;
}

Event::~Event() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

absl::Status Event::Record(cudaStream_t stream) {
  return ToStatus(cudaEventRecord(event_, stream), "recording an event");
}

absl::Status Event::Synchronize() const {
  return ToStatus(cudaEventSynchronize(event_), "waiting for an event");
}

absl::StatusOr<bool> Event::HasRun() const {
  const cudaError_t error = cudaEventQuery(event_);
  if (error == cudaErrorNotReady) return false;
  SLUICE_RETURN_IF_ERROR(ToStatus(error, "asking for an event"));
  return true;
}

absl::StatusOr<float> Event::MillisecondsSince(const Event& earlier) const {
  float milliseconds = 0.0f;
  SLUICE_RETURN_IF_ERROR(ToStatus(cudaEventElapsedTime(&milliseconds, earlier.event_, event_),
                                  "measuring the time between events"));
  return milliseconds;
}

absl::StatusOr<Stream> Stream::Create() {
  Stream stream;
  SLUICE_RETURN_IF_ERROR(
      ToStatus(cudaStreamCreateWithFlags(&stream.stream_, cudaStreamNonBlocking),
               "creating a stream"));
  return stream;
}

Stream::~Stream() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::Status Stream::Synchronize() const {
  return ToStatus(cudaStreamSynchronize(stream_), "waiting for a stream");
}

absl::Status Stream::WaitFor(const Event& event) const {
  return ToStatus(cudaStreamWaitEvent(stream_, event.get(), 0), "waiting for an event on a stream");
}

}  // namespace sluice::worker::device
