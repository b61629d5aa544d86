// SPDX-License-Identifier: Apache-2.0
// Stream and Event: order on the device, and what the host waits for. Both belong to the device
// that was current when they were made. One thread uses a stream at a time; an event may be waited
// for by another thread than the one that records it.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::worker::device {

class Event {
 public:
  enum class Timing { kOff, kOn };  // without timing an event is cheaper

  Event() = default;
  static absl::StatusOr<Event> Create(Timing timing = Timing::kOff);
  ~Event();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }

  cudaEvent_t get() const { return event_; }
  absl::Status Record(cudaStream_t stream);
  // Blocks until what was recorded last has run; OK at once when nothing was.
  absl::Status Synchronize() const;
  // Whether it has run; an error of the device otherwise.
  absl::StatusOr<bool> HasRun() const;
  // REQUIRES: both with timing, recorded and run.
  absl::StatusOr<float> MillisecondsSince(const Event& earlier) const;

 private:
  cudaEvent_t event_ = nullptr;
};

class Stream {
 public:
  Stream() = default;
  // Does not wait for the default stream, nor that for it.
  static absl::StatusOr<Stream> Create();
  ~Stream();
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }

  cudaStream_t get() const { return stream_; }
  absl::Status Synchronize() const;
  // Work enqueued from now on waits for what the event recorded last.
  absl::Status WaitFor(const Event& event) const;

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace sluice::worker::device
