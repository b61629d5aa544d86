// SPDX-License-Identifier: Apache-2.0
// A config.json of Qwen3-14B-AWQ's shapes, for dummy weights.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace sluice::testing {

// Makes dir and writes config.json into it, with this many of the 14B's 40 layers. Returns dir.
inline std::string WriteQwen3_14BConfig(const std::filesystem::path& dir, int num_layers = 40) {
  std::filesystem::create_directories(dir);
  std::ofstream(dir / "config.json")
      << R"({"model_type": "qwen3", "hidden_size": 5120, "intermediate_size": 17408,
             "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
             "rms_norm_eps": 1e-6, "rope_theta": 1000000, "max_position_embeddings": 40960,
             "tie_word_embeddings": false, "eos_token_id": 0, "torch_dtype": "bfloat16",
             "vocab_size": 151936,
             "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128,
                                     "version": "gemm", "zero_point": true},
             "num_hidden_layers": )"
      << num_layers << "}";
  return dir.string();
}

}  // namespace sluice::testing
