// SPDX-License-Identifier: Apache-2.0
// The stand-in of NCCL that a test of CMake's sluice_use_fake_nccl opens. Thread safe.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "tests/support/fake_nccl.h"

namespace sluice::worker {

// The one of this process, to see and to set what it does.
inline FakeNccl& OpenedFakeNccl() {
  static FakeNccl* const fake = [] {
    void* const library = dlopen(SLUICE_FAKE_NCCL, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) ADD_FAILURE() << dlerror();
    return reinterpret_cast<FakeNcclEntry>(dlsym(library, "sluice_fake_nccl"))();
  }();
  return *fake;
}

}  // namespace sluice::worker
