// SPDX-License-Identifier: Apache-2.0
// How cuBLASLt is found, and how it is called, without a GPU: a stand-in library works on host
// memory (stand_in_cublaslt.cc). What the real one computes is tests/kernels/cuda's to say.
#include <cuda_bf16.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "kernels/dense/cublaslt_api.h"
#include "kernels/dense/dense_linear.h"

namespace sluice::kernels::dense {
namespace {

namespace fs = std::filesystem;

std::string FreshFolder(const char* name) {
  const fs::path folder = fs::path(::testing::TempDir()) / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder.string();
}

TEST(LibraryFiles, FoldersThatAreNamedComeFirst) {
  const std::string folder = FreshFolder("named");
  const std::string site = FreshFolder("site-packages");
  fs::create_directories(site + "/nvidia/cu13/lib");
  const std::string wheel = site + "/nvidia/cu13/lib/libcublasLt.so.13";
  std::ofstream(wheel) << "not a library";
  const std::vector<std::string> files = cublaslt::LibraryFiles({folder, site});
  ASSERT_GE(files.size(), 5u);
  EXPECT_EQ(files[0], folder + "/libcublasLt.so.13");
  EXPECT_EQ(files[1], site + "/libcublasLt.so.13");
  EXPECT_EQ(files[2], wheel);
  EXPECT_EQ(files[3], "libcublasLt.so.13") << "the loader's own places";
  EXPECT_NE(std::find(files.begin(), files.end(), "/usr/local/cuda/lib64/libcublasLt.so.13"),
            files.end());
}

TEST(OpenLibrary, SaysWhatItTriedAndWhyNot) {
  const std::string folder = FreshFolder("broken");
  const std::string text = folder + "/text.so";
  std::ofstream(text) << "not a library";
  cublaslt::Api api;
  std::string error;
  EXPECT_FALSE(cublaslt::OpenLibrary({folder + "/absent.so", text, "libm.so.6"}, &api, &error));
  EXPECT_NE(error.find("cuBLASLt (libcublasLt.so.13) cannot be loaded; tried: "), std::string::npos)
      << error;
  EXPECT_NE(error.find(folder + "/absent.so, " + text + " ("), std::string::npos) << error;
  EXPECT_NE(error.find("libm.so.6 (has no cublasLtGetVersion)"), std::string::npos) << error;
}

class CublasLtLinearTest : public ::testing::Test {
 protected:
  void SetUp() override {
    DenseOptions options;
    options.library_folders = {SLUICE_STAND_IN_FOLDER};
    options.workspace = workspace_;
    options.workspace_bytes = sizeof(workspace_);
    options.own_small_products = false;  // they need a GPU
    auto opened = DenseLinear::Open(options);
    ASSERT_NE(opened.linear, nullptr) << opened.error;
    linear_ = std::move(opened.linear);
  }

  alignas(256) uint8_t workspace_[256];
  std::unique_ptr<DenseLinear> linear_;
};

// Small integers: every sum is exact in fp32, and those below 256 in bf16.
std::vector<__nv_bfloat16> Integers(std::mt19937& rng, int size, int limit) {
  std::vector<__nv_bfloat16> values;
  for (int i = 0; i < size; ++i) {
    values.push_back(__float2bfloat16(static_cast<float>(static_cast<int>(rng() % 5) % limit - 1)));
  }
  return values;
}

TEST_F(CublasLtLinearTest, RowsOfYAreRowsOfXTimesRowsOfW) {
  std::mt19937 rng(1);
  for (const auto& [rows, outputs, inputs] :
       std::vector<std::tuple<int, int, int>>{{1, 1, 8}, {3, 5, 16}, {7, 2, 24}, {2, 9, 8}}) {
    // A margin, so that what is written beyond is seen.
    const auto x = Integers(rng, rows * inputs + 8, 4), w = Integers(rng, outputs * inputs + 8, 4);
    alignas(16) float floats[128];
    alignas(16) __nv_bfloat16 rounded[128];
    std::fill(std::begin(floats), std::end(floats), -77.0f);
    std::fill(std::begin(rounded), std::end(rounded), __float2bfloat16(-77.0f));
    DenseProduct product;
    product.shape = {rows, outputs, inputs, OutputType::kFloat};
    product.x = x.data();
    product.weight = w.data();
    product.out = floats;
    const LaunchResult first = linear_->Run(product, nullptr);
    ASSERT_TRUE(first.ok()) << first.problem;
    product.shape.output_type = OutputType::kBf16;
    product.out = rounded;
    ASSERT_TRUE(linear_->Prepare(product.shape).ok());
    ASSERT_TRUE(linear_->Run(product, nullptr).ok());
    for (int row = 0; row < rows; ++row) {
      for (int n = 0; n < outputs; ++n) {
        float sum = 0.0f;
        for (int k = 0; k < inputs; ++k) {
          sum += __bfloat162float(x[static_cast<size_t>(row * inputs + k)]) *
                 __bfloat162float(w[static_cast<size_t>(n * inputs + k)]);
        }
        EXPECT_EQ(floats[row * outputs + n], sum) << row << ", " << n;
        EXPECT_EQ(__bfloat162float(rounded[row * outputs + n]), sum) << row << ", " << n;
      }
    }
    EXPECT_EQ(floats[rows * outputs], -77.0f);
    EXPECT_EQ(__bfloat162float(rounded[rows * outputs]), -77.0f);
  }
}

TEST_F(CublasLtLinearTest, RefusesInWords) {
  EXPECT_STREQ(linear_->Prepare({1, 1, 4096, OutputType::kFloat}).problem,
               "dense linear: cuBLASLt does not compute this shape");
  EXPECT_FALSE(linear_->Prepare({1, 1, 12, OutputType::kFloat}).ok());
  EXPECT_FALSE(linear_->Prepare({0, 1, 8, OutputType::kFloat}).ok());
  DenseProduct product;
  product.shape = {1, 1, 8, OutputType::kFloat};
  product.x = reinterpret_cast<const __nv_bfloat16*>(workspace_ + 2);
  EXPECT_FALSE(linear_->Run(product, nullptr).ok());
  DenseOptions options;
  options.workspace = workspace_ + 16;
  EXPECT_EQ(DenseLinear::Open(options).error, "cuBLASLt's workspace is not aligned to 256 bytes");
}

// Lengths of prompts are many: choices are forgotten at some point and made again.
TEST_F(CublasLtLinearTest, TakesAnyNumberOfShapes) {
  std::mt19937 rng(2);
  const auto x = Integers(rng, 8, 4), w = Integers(rng, 8, 4);
  void* library = dlopen(SLUICE_STAND_IN_FOLDER "/libcublasLt.so.13", RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(library, nullptr);
  const auto live_layouts = reinterpret_cast<int (*)()>(dlsym(library, "StandInLiveLayouts"));
  int most = 0;
  for (int rows = 1; rows <= 10'000; ++rows) {
    ASSERT_TRUE(linear_->Prepare({rows, 1, 8, OutputType::kFloat}).ok());
    most = std::max(most, live_layouts());
  }
  EXPECT_LE(most, 3 * 4097);
  EXPECT_GE(most, 3 * 1024) << "forgotten too soon";
  alignas(16) float out[4];
  DenseProduct product = {{1, 1, 8, OutputType::kFloat}, x.data(), w.data(), out};
  EXPECT_TRUE(linear_->Run(product, nullptr).ok());
  linear_ = nullptr;
  EXPECT_EQ(live_layouts(), 0);
}

}  // namespace
}  // namespace sluice::kernels::dense
