// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cuda_linear_cases.h"

#include "kernels/awq/dequantize.h"
#include "kernels/awq/medium_linear.h"
#include "kernels/awq/small_linear.h"
#include "kernels/dense/small_dense_linear.h"
#include "kernels/mlp/silu_mul.h"

namespace sluice::kernels {
namespace {

struct Shape {
  const char* name;
  int inputs, outputs;
  bool gated = false;
};
constexpr Shape kShapes[] = {{"qkv", 5120, 7168},
                             {"o", 5120, 5120},
                             {"gate and up", 5120, 34816, true},
                             {"down", 17408, 5120}};
constexpr int kHidden = 5120, kVocabulary = 151936;

double Flops(int rows, const Shape& shape) {
  return 2.0 * rows * shape.inputs * static_cast<double>(shape.outputs);
}
double BytesOfX(int rows, const Shape& shape) { return 2.0 * rows * shape.inputs; }

// AWQ weights of one shape, twice the L2 and more, so that no launch finds its own there.
class Weights {
 public:
  Weights(std::mt19937& rng, const Shape& shape)
      : shape_{nullptr, shape.outputs, shape.inputs},
        copies_(static_cast<int>(std::max<int64_t>(4, 400'000'000 / shape_.bytes()))),
        tiles_(static_cast<size_t>(shape_.bytes()) * static_cast<size_t>(copies_)) {
    tiles_.FillRandomBits(rng);
  }

  int copies() const { return copies_; }
  double bytes() const { return static_cast<double>(shape_.content_bytes()); }
  awq::PackedAwq Copy(int i) const {
    awq::PackedAwq weight = shape_;
    weight.tiles = tiles_.get() + i * shape_.bytes();
    return weight;
  }

 private:
  awq::PackedAwq shape_;
  int copies_;
  Memory<uint8_t> tiles_;
};

std::string Name(const Shape& shape, const char* way, int rows) {
  return std::string(shape.name) + " " + way + " rows " + std::to_string(rows);
}

// Small and Medium: awq::SmallLinear and the like, which have the same fields.
template <typename Linear, typename Plan, typename Run>
void BenchPieces(const Shape& shape, const char* way, int rows, const Weights& weights,
                 const __nv_bfloat16* x, const Gpu& gpu, Plan plan_of, Run run, Report& report) {
  const awq::SplitPlan plan = plan_of(shape.outputs, shape.inputs, rows, gpu.num_sms);
  const Memory<float> partials(static_cast<size_t>(plan.PartialFloats(rows, shape.outputs)));
  const double us = GraphMicroseconds(weights.copies(), [&](int i, cudaStream_t stream) {
    Linear linear;
    linear.weight = weights.Copy(i);
    linear.x = x;
    linear.rows = rows;
    linear.plan = plan;
    linear.partials = partials.get();
    Check(run(linear, stream));
  });
  report.Case(Name(shape, way, rows), us, weights.bytes() + BytesOfX(rows, shape),
              Flops(rows, shape));
}

void BenchGated(const Shape& shape, int rows, const Weights& weights, const __nv_bfloat16* x,
                const Gpu& gpu, Report& report) {
  const int width = shape.outputs / 2;
  awq::LinearOutput pieces;
  pieces.plan = awq::PlanMediumLinear(shape.outputs, shape.inputs, rows, gpu.num_sms);
  pieces.rows = rows;
  pieces.outputs = shape.outputs;
  const Memory<float> partials(static_cast<size_t>(pieces.plan.PartialFloats(rows, shape.outputs)));
  pieces.partials = partials.get();
  const Memory<__nv_bfloat16> gated(size_t{1} * rows * width);
  awq::MediumLinear linear;
  linear.x = x;
  linear.rows = rows;
  const double bytes = weights.bytes() + BytesOfX(rows, shape) + 2.0 * rows * width;

  linear.plan = pieces.plan;
  linear.partials = partials.get();
  double us = GraphMicroseconds(weights.copies(), [&](int i, cudaStream_t stream) {
    linear.weight = weights.Copy(i);
    Check(awq::RunMediumLinear(linear, stream));
    Check(mlp::SiluMul(pieces, width, gated.get(), stream));
  });
  report.Case(Name(shape, "medium and SiLU", rows), us, bytes, Flops(rows, shape));

  linear.plan = awq::WithWholeTiles(pieces.plan);
  linear.partials = nullptr;
  linear.gated = gated.get();
  us = GraphMicroseconds(weights.copies(), [&](int i, cudaStream_t stream) {
    linear.weight = weights.Copy(i);
    Check(awq::RunMediumLinear(linear, stream));
  });
  report.Case(Name(shape, "medium gated", rows), us, bytes, Flops(rows, shape));
}

void BenchDense(const Shape& shape, const std::vector<int>& row_counts, const Weights& weights,
                const __nv_bfloat16* x, dense::DenseLinear& linear, Report& report) {
  const double dense_bytes = 2.0 * shape.inputs * shape.outputs;
  const Memory<__nv_bfloat16> scratch(size_t{1} * shape.inputs * shape.outputs);
  report.Case(std::string(shape.name) + " dequantize",
              GraphMicroseconds(weights.copies(),
                                [&](int i, cudaStream_t stream) {
                                  Check(awq::Dequantize(weights.Copy(i), scratch.get(), stream));
                                }),
              weights.bytes() + dense_bytes);
  for (const int rows : row_counts) {
    const Memory<__nv_bfloat16> out(size_t{1} * rows * shape.outputs);
    const dense::DenseProduct product = {
        {rows, shape.outputs, shape.inputs}, x, scratch.get(), out.get()};
    const double bytes = BytesOfX(rows, shape) + 2.0 * rows * shape.outputs;
    double us =
        GraphMicroseconds(4, [&](int, cudaStream_t stream) { Check(linear.Run(product, stream)); });
    report.Case(Name(shape, "dense", rows), us, dense_bytes + bytes, Flops(rows, shape));
    us = GraphMicroseconds(weights.copies(), [&](int i, cudaStream_t stream) {
      Check(awq::Dequantize(weights.Copy(i), scratch.get(), stream));
      Check(linear.Run(product, stream));
    });
    report.Case(Name(shape, "dequantize and dense", rows), us, weights.bytes() + bytes,
                Flops(rows, shape));
  }
}

void BenchLmHead(dense::DenseLinear* linear, Report& report) {
  std::mt19937 rng(4);
  const Shape shape = {"lm_head", kHidden, kVocabulary};
  Memory<__nv_bfloat16> weight(size_t{kHidden} * kVocabulary), x(size_t{64} * kHidden);
  weight.FillNormal(rng);
  x.FillNormal(rng);
  for (const int rows : {1, 4, 16, 64}) {
    const Memory<float> out(size_t{1} * rows * kVocabulary);
    const dense::DenseProduct product = {
        {rows, kVocabulary, kHidden, dense::OutputType::kFloat}, x.get(), weight.get(), out.get()};
    const double bytes =
        2.0 * kHidden * kVocabulary + BytesOfX(rows, shape) + 4.0 * rows * kVocabulary;
    if (linear != nullptr) {
      const double us = GraphMicroseconds(
          4, [&](int, cudaStream_t stream) { Check(linear->Run(product, stream)); });
      report.Case(Name(shape, "cuBLASLt", rows), us, bytes, Flops(rows, shape));
    }
    if (dense::TakesSmallDense(product.shape)) {
      const double us = GraphMicroseconds(
          4, [&](int, cudaStream_t stream) { Check(dense::RunSmallDense(product, stream)); });
      report.Case(Name(shape, "small dense", rows), us, bytes, Flops(rows, shape));
    }
  }
}

}  // namespace

void BenchLinears(const LinearCases& cases, const Gpu& gpu, dense::DenseLinear* linear,
                  Report& report) {
  int most_rows = std::max(awq::kMaxSmallRows, awq::kMaxMediumRows);
  for (const int rows : cases.dense_rows) most_rows = std::max(most_rows, rows);
  for (const Shape& shape : kShapes) {
    if (!cases.small && !cases.medium && !cases.dense) break;
    std::mt19937 rng(1);
    const Weights weights(rng, shape);
    Memory<__nv_bfloat16> x(size_t{1} * most_rows * shape.inputs);
    x.FillNormal(rng);
    for (const int rows : cases.small_rows) {
      if (!cases.small || rows > awq::kMaxSmallRows) continue;
      BenchPieces<awq::SmallLinear>(shape, "small", rows, weights, x.get(), gpu,
                                    awq::PlanSmallLinear, awq::RunSmallLinear, report);
    }
    for (const int rows : cases.medium_rows) {
      if (!cases.medium || rows > awq::kMaxMediumRows) continue;
      BenchPieces<awq::MediumLinear>(shape, "medium", rows, weights, x.get(), gpu,
                                     awq::PlanMediumLinear, awq::RunMediumLinear, report);
    }
    for (const int rows : cases.gated_rows) {
      if (!cases.medium || !shape.gated || rows > awq::kMaxMediumRows) continue;
      BenchGated(shape, rows, weights, x.get(), gpu, report);
    }
    if (cases.dense && linear != nullptr) {
      BenchDense(shape, cases.dense_rows, weights, x.get(), *linear, report);
    }
  }
  if (cases.lm_head) BenchLmHead(linear, report);
}

}  // namespace sluice::kernels
