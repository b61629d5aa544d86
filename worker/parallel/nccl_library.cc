// SPDX-License-Identifier: Apache-2.0
#include "worker/parallel/nccl_library.h"

#include <dlfcn.h>
#include <glob.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "proto/wire/status_macros.h"

namespace sluice::worker {
namespace {

constexpr char kName[] = "libnccl.so.2";
constexpr int kOldest = 21800;  // 2.18: the config that Config is the head of

// Where a package manager or pip puts it on the systems we know.
constexpr const char* kFolders[] = {
    "/usr/local/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib/python3*/dist-packages/nvidia/nccl/lib",
    "/usr/local/lib/python3*/site-packages/nvidia/nccl/lib",
    "/usr/lib/python3*/site-packages/nvidia/nccl/lib",
    "/opt/conda/lib/python3*/site-packages/nvidia/nccl/lib",
};

// Of the object that this code is linked into: the plugin's, beside which a package may put it.
std::string OwnFolder() {
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&OwnFolder), &info) == 0) return "";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::vector<std::string> UsualFiles() {
  std::vector<std::string> files = {kName};
  const std::string own = OwnFolder();
  if (!own.empty()) files.push_back(absl::StrCat(own, "/", kName));
  for (const char* folder : kFolders) {
    const std::string pattern = absl::StrCat(folder, "/", kName);
    glob_t found = {};
    // A pattern without a match stays in the list, for the error message.
    // NOLINTNEXTLINE(concurrency-mt-unsafe): safe without a tilde in the pattern
    if (glob(pattern.c_str(), GLOB_NOCHECK, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
    }
    globfree(&found);
  }
  return files;
}

template <typename Function>
bool Resolve(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

// The name of the first function that the library lacks, or nullptr.
const char* ResolveAll(void* library, nccl::Api* api) {
#define SLUICE_RESOLVE(name) \
  if (!Resolve(library, "nccl" #name, &api->name)) return "nccl" #name
  SLUICE_RESOLVE(GetVersion);
  SLUICE_RESOLVE(GetUniqueId);
  SLUICE_RESOLVE(CommInitRankConfig);
  SLUICE_RESOLVE(CommDestroy);
  SLUICE_RESOLVE(CommAbort);
  SLUICE_RESOLVE(CommGetAsyncError);
  SLUICE_RESOLVE(GetErrorString);
  SLUICE_RESOLVE(GetLastError);
  SLUICE_RESOLVE(AllReduce);
  SLUICE_RESOLVE(Broadcast);
  SLUICE_RESOLVE(Send);
  SLUICE_RESOLVE(Recv);
  SLUICE_RESOLVE(GroupStart);
  SLUICE_RESOLVE(GroupEnd);
#undef SLUICE_RESOLVE
  return nullptr;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const NcclLibrary>> NcclLibrary::Open() {
  static const auto* const opened =
      new absl::StatusOr<std::shared_ptr<const NcclLibrary>>(OpenAnyOf(UsualFiles()));
  return *opened;
}

absl::StatusOr<std::shared_ptr<const NcclLibrary>> NcclLibrary::OpenAnyOf(
    const std::vector<std::string>& files) {
  void* handle = nullptr;
  std::string file;
  std::vector<std::string> tried;
  for (const std::string& candidate : files) {
    handle = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) {
      file = candidate;
      break;
    }
    // What is there but does not load (another architecture, a library of its own missing) is worth
    // more words than what is not there.
    const absl::string_view why = dlerror();  // NOLINT(concurrency-mt-unsafe): the thread's own
    const bool absent = why.find("No such file") != absl::string_view::npos;
    tried.push_back(absent ? candidate : absl::StrCat(candidate, " (", why, ")"));
  }
  if (handle == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "several ranks on GPUs need NCCL (", kName,
        "), which cannot be loaded; tried: ", absl::StrJoin(tried, ", "),
        "; install it (Debian's libnccl2, or pip's nvidia-nccl-cu13) or name its folder in "
        "LD_LIBRARY_PATH"));
  }
  std::shared_ptr<NcclLibrary> library(new NcclLibrary);
  library->file_ = file;
  if (const char* missing = ResolveAll(handle, &library->api_)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file, " has no ", missing, ": NCCL 2.18 or newer is needed"));
  }
  SLUICE_RETURN_IF_ERROR(
      library->ToStatus(library->api_.GetVersion(&library->version_), "ncclGetVersion"));
  if (library->version_ < kOldest) {
    return absl::FailedPreconditionError(absl::StrCat(file, " is NCCL of version code ",
                                                      library->version_, "; 2.18 (", kOldest,
                                                      ") or newer is needed"));
  }
  return library;
}

absl::Status NcclLibrary::ToStatus(nccl::Result result, const char* what) const {
  if (result == nccl::kSuccess) return absl::OkStatus();
  std::string text = absl::StrCat(what, ": ", api_.GetErrorString(result));
  const char* last = api_.GetLastError(nullptr);
  if (last != nullptr && *last != '\0') absl::StrAppend(&text, " (", last, ")");
  return absl::InternalError(text);
}

}  // namespace sluice::worker
