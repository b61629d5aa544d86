// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/check_command.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "gateway/cli/child_process.h"
#include "gateway/cli/serve_options.h"

namespace sluice::gateway {
namespace {

int Fail(const absl::Status& status, const Terminal& terminal, int exit_status) {
  std::cerr << terminal.Red() << "sluice check: " << status.message() << terminal.Reset() << "\n";
  return exit_status;
}

}  // namespace

int RunCheck(const std::vector<std::string>& args, const Terminal& terminal,
             const std::string& bin_dir) {
  const auto options = ParseServeOptions(args);
  if (!options.ok()) return Fail(options.status(), terminal, 2);
  if (options->help) {
    std::cout << CheckHelp();
    return 0;
  }
  const absl::Status config = CheckConfigFile(*options);
  if (!config.ok()) return Fail(config, terminal, 2);
  // The weights first, then what the gateway reads: tokenizer and chat template. Both always run,
  // so that one look shows everything that is wrong.
  struct Part {
    const char* binary;
    std::vector<std::string> args;
  };
  int exit_status = 0;
  for (Part part : {Part{"sluice-worker", options->worker_args},
                    Part{"sluice-gateway", options->gateway_args}}) {
    part.args.push_back("--check");
    const auto ended = RunAndWait(absl::StrCat(bin_dir, "/", part.binary), part.args);
    if (!ended.ok()) return Fail(ended.status(), terminal, 1);
    // 2 is their word, and ours, for options or a folder that are wrong.
    if (*ended != 0 && exit_status != 2) exit_status = *ended == 2 ? 2 : 1;
  }
  if (exit_status == 0) std::cout << options->model << " can be served." << std::endl;
  return exit_status;
}

}  // namespace sluice::gateway
