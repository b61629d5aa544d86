// SPDX-License-Identifier: Apache-2.0
// A stand-in for libsluice_cuda.so whose build id is not the worker's. It gives away what it would
// have filled in: nothing.
#include <cstring>

#include "worker/executor/cuda/plugin.h"

extern "C" const char* sluice_cuda_plugin(const char* build_id, sluice::worker::CudaPlugin*);

const char* sluice_cuda_plugin(const char* build_id, sluice::worker::CudaPlugin*) {
  return std::strlen(build_id) > 16 ? "it is of another build" : "the worker gave no id";
}
