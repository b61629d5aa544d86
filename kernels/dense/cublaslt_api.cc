// SPDX-License-Identifier: Apache-2.0
#include "kernels/dense/cublaslt_api.h"

#include <dlfcn.h>
#include <glob.h>

namespace sluice::kernels::dense::cublaslt {
namespace {

constexpr char kName[] = "libcublasLt.so.13";
constexpr size_t kMajorVersion = 13;

// Where a package manager or pip puts it on the systems we know.
constexpr const char* kUsualFolders[] = {
    "/usr/local/cuda/lib64",
    "/usr/local/cuda-13*/lib64",
    "/usr/local/lib/python3*/dist-packages/nvidia/cu13/lib",
    "/usr/local/lib/python3*/site-packages/nvidia/cu13/lib",
    "/opt/conda/lib/python3*/site-packages/nvidia/cu13/lib",
};

// The files that match; a pattern without a match is kept for the error's sentence if `keep`.
void AddMatches(const std::string& pattern, bool keep, std::vector<std::string>* files) {
  glob_t found = {};
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe without a tilde in the pattern
  if (glob(pattern.c_str(), keep ? GLOB_NOCHECK : 0, nullptr, &found) == 0) {
    files->insert(files->end(), found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  globfree(&found);
}

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

// The name of the first function that the library lacks, or nullptr.
const char* FindAll(void* library, Api* api) {
#define SLUICE_FIND(name) \
  if (!Find(library, "cublasLt" #name, &api->name)) return "cublasLt" #name
  SLUICE_FIND(GetVersion);
  SLUICE_FIND(GetStatusString);
  SLUICE_FIND(Create);
  SLUICE_FIND(Destroy);
  SLUICE_FIND(MatmulDescCreate);
  SLUICE_FIND(MatmulDescDestroy);
  SLUICE_FIND(MatmulDescSetAttribute);
  SLUICE_FIND(MatrixLayoutCreate);
  SLUICE_FIND(MatrixLayoutDestroy);
  SLUICE_FIND(MatmulPreferenceCreate);
  SLUICE_FIND(MatmulPreferenceDestroy);
  SLUICE_FIND(MatmulPreferenceSetAttribute);
  SLUICE_FIND(MatmulAlgoGetHeuristic);
  SLUICE_FIND(Matmul);
#undef SLUICE_FIND
  return nullptr;
}

// Empty if the file is a cuBLASLt that can be used; else why not.
std::string WhyNot(const std::string& file, Api* api) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    // What is there but does not load is worth more words than what is not there.
    const std::string why = dlerror();  // NOLINT(concurrency-mt-unsafe): the thread's own
    return why.find("No such file") != std::string::npos ? file : file + " (" + why + ")";
  }
  if (const char* missing = FindAll(library, api)) return file + " (has no " + missing + ")";
  const size_t version = api->GetVersion();
  if (version / 10000 == kMajorVersion) return "";
  return file + " (is version " + std::to_string(version) + ", not 13)";
}

}  // namespace

std::vector<std::string> LibraryFiles(const std::vector<std::string>& folders) {
  std::vector<std::string> files;
  for (const std::string& folder : folders) {
    AddMatches(folder + "/" + kName, /*keep=*/true, &files);
    AddMatches(folder + "/nvidia/*/lib/" + kName, /*keep=*/false, &files);
  }
  files.emplace_back(kName);
  for (const char* folder : kUsualFolders) {
    AddMatches(std::string(folder) + "/" + kName, /*keep=*/true, &files);
  }
  files.emplace_back("libcublasLt.so");
  return files;
}

bool OpenLibrary(const std::vector<std::string>& files, Api* api, std::string* error) {
  std::string tried;
  for (const std::string& file : files) {
    const std::string why_not = WhyNot(file, api);
    if (why_not.empty()) return true;
    tried += (tried.empty() ? "" : ", ") + why_not;
  }
  *error = "cuBLASLt (" + std::string(kName) + ") cannot be loaded; tried: " + tried +
           "; install it (NVIDIA's libcublas-13-0, or pip's nvidia-cublas) or name its folder in "
           "LD_LIBRARY_PATH";
  return false;
}

}  // namespace sluice::kernels::dense::cublaslt
