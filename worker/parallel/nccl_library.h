// SPDX-License-Identifier: Apache-2.0
// NcclLibrary: libnccl.so.2, opened at run time, because a group of one rank needs none of it (it
// has 200 MB) and a machine without it must still serve on one GPU. Once opened it stays loaded:
// its threads outlive the communicators. Thread safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/parallel/nccl_api.h"

namespace sluice::worker {

class NcclLibrary {
 public:
  // From where it usually is: the loader's own search (LD_LIBRARY_PATH, ld.so.cache), beside the
  // object that this code is linked into, the CUDA toolkit, Python packages of the system. The
  // first call decides; FAILED_PRECONDITION says in one sentence what was tried.
  static absl::StatusOr<std::shared_ptr<const NcclLibrary>> Open();

  // Tries these in order; a name without a slash is the loader's to find.
  static absl::StatusOr<std::shared_ptr<const NcclLibrary>> OpenAnyOf(
      const std::vector<std::string>& files);

  NcclLibrary(const NcclLibrary&) = delete;
  NcclLibrary& operator=(const NcclLibrary&) = delete;

  const nccl::Api& api() const { return api_; }
  const std::string& file() const { return file_; }  // as it was found
  int version() const { return version_; }           // 22803 is 2.28.3

  // "ncclAllReduce: unhandled cuda error (what NCCL logged last)" as an INTERNAL error; OK for
  // success. The last error belongs to the process: under several communicators it may be
  // another's.
  absl::Status ToStatus(nccl::Result result, const char* what) const;

 private:
  NcclLibrary() = default;

  nccl::Api api_;
  std::string file_;
  int version_ = 0;
};

}  // namespace sluice::worker
