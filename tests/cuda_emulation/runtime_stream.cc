// SPDX-License-Identifier: Apache-2.0
// The emulated runtime: streams, events, graphs and launches.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/launch.h"
#include "tests/cuda_emulation/stream.h"
#include "tests/cuda_emulation/submit.h"

namespace sluice::cuda_emulation {
namespace {

// What the runtime's functions share. Never destroyed: the default stream's thread outlives main.
struct Runtime {
  std::mutex mutex;  // guards everything here and in the handles
  const std::shared_ptr<WorkQueue> default_queue = std::make_shared<WorkQueue>();
  std::vector<cudaStream_t> streams;  // without the default one
};

// Dynamic shared memory that each kernel may have. Of a device, in CUDA; here of a thread, since
// ranks that are threads, each with a GPU of its own there, share the one emulated device.
thread_local std::map<const void*, size_t> shared_bytes_of;

Runtime& TheRuntime() {
  static Runtime* runtime = new Runtime;
  return *runtime;
}

Mark LastOf(const std::shared_ptr<WorkQueue>& queue) { return {queue, queue->LastNumber()}; }

// REQUIRES: the mutex.
Mark LastOfStream(cudaStream_t stream) {
  return LastOf(stream == nullptr ? TheRuntime().default_queue : stream->queue);
}

// REQUIRES: the mutex.
cudaError_t SubmitLocked(cudaStream_t stream, Work work) {
  Runtime& runtime = TheRuntime();
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->work.push_back(std::move(work));
    return cudaSuccess;
  }
  std::vector<Mark> before;
  if (stream != nullptr) {
    if (stream->waits_for_default_stream) before.push_back(LastOf(runtime.default_queue));
  } else {
    for (const cudaStream_t other : runtime.streams) {
      if (!other->waits_for_default_stream) continue;
      if (other->capture != nullptr) {
        other->capture->invalidated = true;
        return Report(cudaErrorStreamCaptureImplicit);
      }
      before.push_back(LastOf(other->queue));
    }
  }
  std::erase_if(before, [](const Mark& mark) { return mark.IsDone(); });
  WorkQueue& queue = stream == nullptr ? *runtime.default_queue : *stream->queue;
  if (before.empty()) {
    queue.Enqueue(std::move(work));
  } else {
    queue.Enqueue([before = std::move(before), work = std::move(work)] {
      for (const Mark& mark : before) mark.Wait();
      work();
    });
  }
  return cudaSuccess;
}

bool IsLaunchable(const GridConfig& config) {
  const dim3 &grid = config.grid, &block = config.block;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= kMaxBlockThreads && block.z <= 64 && grid.x >= 1 &&
         grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
}

}  // namespace

cudaError_t Submit(cudaStream_t stream, Work work) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  return SubmitLocked(stream, std::move(work));
}

bool IsCapturing(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  return stream != nullptr && stream->capture != nullptr;
}

cudaError_t RefuseWhileCapturing() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  for (const cudaStream_t stream : runtime.streams) {
    // Thread-local captures forbid the same to their own thread; whose it is, is not kept.
    if (stream->capture != nullptr && stream->capture->mode == cudaStreamCaptureModeGlobal) {
      stream->capture->invalidated = true;
      return Report(cudaErrorStreamCaptureUnsupported);
    }
  }
  return cudaSuccess;
}

void WaitForStream(cudaStream_t stream) {
  Mark mark;
  {
    const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
    mark = LastOfStream(stream);
  }
  mark.Wait();
}

void WaitForAllStreams() {
  Runtime& runtime = TheRuntime();
  std::vector<Mark> marks;
  {
    const std::lock_guard<std::mutex> lock(runtime.mutex);
    marks.push_back(LastOf(runtime.default_queue));
    for (const cudaStream_t stream : runtime.streams) {
      if (stream->device == CurrentDevice()) marks.push_back(LastOf(stream->queue));
    }
  }
  for (const Mark& mark : marks) mark.Wait();
}

cudaError_t Launch(const GridConfig& config, cudaStream_t stream, KernelCall call,
                   std::shared_ptr<const void> arguments) {
  if (!IsLaunchable(config)) return Report(cudaErrorInvalidConfiguration);
  const auto allowed = shared_bytes_of.find(config.kernel);
  if (config.shared_bytes >
      (allowed == shared_bytes_of.end() ? kDefaultSharedBytes : allowed->second)) {
    return Report(cudaErrorInvalidValue);
  }
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  return SubmitLocked(stream, [config, call, arguments = std::move(arguments)] {
    RunGrid(config, [&] { call(config.kernel, arguments.get()); });
  });
}

cudaError_t AllowSharedBytes(const void* kernel, size_t bytes) {
  if (bytes > kMaxSharedBytes) return Report(cudaErrorInvalidValue);
  size_t& allowed = shared_bytes_of[kernel];
  // Stricter than a GPU, which takes it, and may then refuse a launch that a graph holds.
  if (bytes < allowed) return Report(cudaErrorInvalidValue);
  allowed = std::max(bytes, kDefaultSharedBytes);
  return cudaSuccess;
}

}  // namespace sluice::cuda_emulation

using namespace sluice::cuda_emulation;

// ---- streams

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  Runtime& runtime = TheRuntime();
  *stream = new CUstream_st{.waits_for_default_stream = flags != cudaStreamNonBlocking,
                            .device = CurrentDevice()};
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  runtime.streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return Report(cudaErrorInvalidResourceHandle);
  WaitForStream(stream);
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  std::erase(runtime.streams, stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (IsCapturing(stream)) {
    stream->capture->invalidated = true;
    return Report(cudaErrorStreamCaptureUnsupported);
  }
  if (stream == nullptr) {
    if (const cudaError_t error = RefuseWhileCapturing(); error != cudaSuccess) return error;
    // The default stream is done when those that it waits for are.
    if (const cudaError_t error = Submit(nullptr, [] {}); error != cudaSuccess) return error;
  }
  WaitForStream(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->invalidated = true;
    return Report(cudaErrorStreamCaptureUnsupported);
  }
  return LastOfStream(stream).IsDone() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  if (event->capture != nullptr) {
    if (stream == nullptr || (stream->capture != nullptr && stream->capture != event->capture)) {
      event->capture->invalidated = true;
      return Report(cudaErrorStreamCaptureIsolation);
    }
    stream->capture = event->capture;  // joins, and the order of the calls is kept anyway
    return cudaSuccess;
  }
  if (stream != nullptr && stream->capture != nullptr) {
    stream->capture->invalidated = true;
    return Report(cudaErrorStreamCaptureIsolation);
  }
  return SubmitLocked(stream, [mark = event->mark] { mark.Wait(); });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return Submit(stream, [=] { function(argument); });
}

// ---- events

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  if ((flags & cudaEventDisableTiming) == 0) {
    (*event)->time = std::make_shared<std::chrono::steady_clock::time_point>();
  }
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event == nullptr) return Report(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  event->capture = stream == nullptr ? nullptr : stream->capture;
  if (event->capture != nullptr) return cudaSuccess;
  const cudaError_t error = SubmitLocked(stream, [time = event->time] {
    if (time != nullptr) *time = std::chrono::steady_clock::now();
  });
  if (error == cudaSuccess) event->mark = LastOfStream(stream);
  return error;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  if (event->capture != nullptr) return Report(cudaErrorCapturedEvent);
  return event->mark.IsDone() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  Mark mark;
  {
    const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
    if (event->capture != nullptr) return Report(cudaErrorCapturedEvent);
    mark = event->mark;
  }
  mark.Wait();
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  if (begin->time == nullptr || end->time == nullptr || begin->mark.queue == nullptr ||
      end->mark.queue == nullptr) {
    return Report(cudaErrorInvalidResourceHandle);
  }
  if (!begin->mark.IsDone() || !end->mark.IsDone()) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *begin->time).count();
  return cudaSuccess;
}

// ---- graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  if (stream == nullptr) return Report(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return Report(cudaErrorIllegalState);
  stream->capture = new CUgraph_st;
  stream->capture->mode = mode;
  stream->began_capture = true;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr || !stream->began_capture) {
    return Report(cudaErrorIllegalState);
  }
  CUgraph_st* captured = stream->capture;
  for (const cudaStream_t other : runtime.streams) {
    if (other->capture == captured) other->capture = nullptr;
  }
  stream->began_capture = false;
  if (captured->invalidated) {
    delete captured;
    return Report(cudaErrorStreamCaptureInvalidated);
  }
  *graph = captured;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard<std::mutex> lock(TheRuntime().mutex);
  *status = stream == nullptr || stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->invalidated                  ? cudaStreamCaptureStatusInvalidated
                                                            : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{std::make_shared<const std::vector<Work>>(graph->work)};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return Submit(stream, [work = exec->work] {
    for (const Work& one : *work) {
      BeginWork(false);
      one();
    }
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
