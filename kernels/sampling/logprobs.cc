// SPDX-License-Identifier: Apache-2.0
#include "kernels/sampling/logprobs.h"

#include "kernels/sampling/passes.h"
#include "kernels/sampling/workspace.h"

namespace sluice::kernels::sampling {

LaunchResult RunScoreLogits(const ScoreLogits& score, cudaStream_t stream) {
  if (score.chosen == nullptr || score.top_k == nullptr || score.out == nullptr) {
    return InvalidArguments("scoring: chosen ids, top_k and a place for results are needed");
  }
  Passes passes;
  if (const char* problem =
          PreparePasses(score.logits, score.num_token_ids, score.num_logits, score.num_valid,
                        score.num_sms, score.workspace, &passes)) {
    return InvalidArguments(problem);
  }
  if (score.num_logits == 0) return {};
  passes.chosen = score.chosen;
  passes.top_k = score.top_k;
  passes.logprobs = score.out;
  passes.first_domain = kRaw;
  passes.num_domains = 1;
  LaunchResult result = RunScan(passes, stream);
  if (result.ok()) result = RunWeigh(passes, stream);
  if (result.ok()) result = RunGather(passes, stream);
  if (result.ok()) result = RunSelect(passes, stream);
  return result;
}

size_t SamplerWorkspaceBytes(int max_logits, int vocab) {
  Workspace workspace;
  return DivideWorkspace(nullptr, max_logits, vocab, &workspace);
}

}  // namespace sluice::kernels::sampling
